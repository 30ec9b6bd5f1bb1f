r"""Finite networks against the theory: extrapolated values, z-scores, chi-square, and the verdict.

Judged per case, jointly: the train and test losses of every rule at the judged times (where the
noise is drawn, also the loss on the training samples under fresh noise), and
(1/p) Tr z/(U + z) at five z across the spectrum (the one-point equations). With the difference D
between the extrapolation and the theory and its covariance C (statistical, with nu degrees of
freedom, plus the model uncertainty of the fit), D^T C^{-1} D is Hotelling's T^2 under the
hypothesis that the theory is right,

    T^2 (nu - q + 1)/(nu q) ~ F(q, nu - q + 1),

and its probability is turned into the chi-square of q degrees of freedom with the same
probability; these add up to the global chi-square. Score errors are listed and not judged: on
Gaussian data they are (L_test - L_floor)/Delta_t exactly and would count the test loss twice.

PASS, if and only if
  1. the global chi-square has a probability above 1e-3, and
  2. no single case has a probability below 1e-3/(number of cases), and
  3. the spectrum has the predicted shape in every case: outside the neighbourhood of the atom, the
     Kolmogorov distance of the eigenvalues to the law, extrapolated, is zero within its error,
     and so is the difference of the mass of the atom (see `validation.compare.spectra`).
"""

import math
from dataclasses import dataclass, field

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from dmft_rf._typing import Array
from validation.compare.extrapolate import Extrapolation, extrapolate, hotelling
from validation.compare.spectra import Shape, compare_spectra
from validation.compare.theory import Prediction, predict
from validation.finite.case import Case
from validation.finite.simulate import Cell

GLOBAL_LEVEL = 1e-3


@dataclass(frozen=True)
class Row:
    """One number of the comparison."""

    rule: str
    quantity: str
    tau: float
    theory: float
    value: float
    error: float
    judged: bool

    @property
    def z(self) -> float:
        """(extrapolated - theory)/error."""
        return (self.value - self.theory) / self.error if self.error > 0.0 else math.nan


@dataclass(frozen=True)
class Comparison:
    """One case: every row, and the joint test of the judged ones.

    Attributes
    ----------
    chi2, dof, probability
        Equivalent chi-square of the judged rows, the number of directions among them that are
        resolved, and its probability.
    rows : list of Row
    shape : Shape
        The spectrum.
    fits : dict
        Extrapolation by (rule label, quantity), one value per time.
    pooled : array
        Eigenvalues of all draws at the largest d.
    """

    case: Case
    prediction: Prediction
    chi2: float
    dof: int
    probability: float
    rows: list[Row]
    shape: Shape | None
    fits: dict[tuple[str, str], Extrapolation] = field(default_factory=dict)
    pooled: Array = field(default_factory=lambda: np.empty(0))

    def worst(self) -> Row:
        """The judged row with the largest |z|."""
        return max((row for row in self.rows if row.judged), key=lambda row: abs(row.z))


@dataclass(frozen=True)
class Verdict:
    """All cases together."""

    comparisons: list[Comparison]

    @property
    def judged(self) -> list[Comparison]:
        """The cases that decide."""
        return [c for c in self.comparisons if c.case.verdict]

    @property
    def chi2(self) -> float:
        """Global chi-square."""
        return sum(c.chi2 for c in self.judged)

    @property
    def dof(self) -> int:
        """Its degrees of freedom."""
        return sum(c.dof for c in self.judged)

    @property
    def probability(self) -> float:
        """Probability of a larger global chi-square if the theory is right."""
        return float(scipy.stats.chi2.sf(self.chi2, self.dof))

    @property
    def reasons(self) -> list[str]:
        """Why it fails; empty for PASS."""
        out = []
        if self.probability < GLOBAL_LEVEL:
            out.append(
                f"global chi-square {self.chi2:.1f} for {self.dof} degrees of freedom, "
                f"probability {self.probability:.1e}"
            )
        level = GLOBAL_LEVEL / max(1, len(self.judged))
        for c in self.judged:
            if c.probability < level:
                row = c.worst()
                out.append(
                    f"{c.case.name}: chi-square {c.chi2:.1f} for {c.dof} degrees of freedom; worst "
                    f"{row.quantity} ({row.rule}, tau = {row.tau:g}) at z = {row.z:+.1f}"
                )
            if c.shape is not None:
                out += [f"{c.case.name}: {reason}" for reason in c.shape.reasons]
        return out

    @property
    def passed(self) -> bool:
        """PASS or FAIL."""
        return not self.reasons


def quantities(case: Case, label: str, cells: list[Cell], name: str) -> Array:
    """Values of one quantity of one rule, shape (n_cells, n_tau)."""
    i = list(case.rules).index(label)
    return np.stack([cell.arrays[f"{i}/{name}"] for cell in cells])


def resolvents(case: Case, cells: list[Cell]) -> Array:
    """(1/p) Tr z/(U + z) of each cell, shape (n_cells, n_points)."""
    z = case.resolvent_points[:, None]
    return np.stack([np.mean(z / (cell.arrays["eigenvalues"] + z), axis=1) for cell in cells])


def compare(
    case: Case, cells: list[Cell], prediction: Prediction | None = None, *, shape: bool = True
) -> Comparison:
    """Compare the finished cells of ``case`` with the theory.

    Parameters
    ----------
    cells : list of Cell
        At least two sizes.
    prediction : Prediction
        The theory; computed if not given. Rules without a curve in it are left out.
    shape
        Whether to compare distribution functions as well.
    """
    prediction = predict(case) if prediction is None else prediction
    d = np.array([cell.d for cell in cells], dtype=float)
    rows: list[Row] = []
    fits: dict[tuple[str, str], Extrapolation] = {}
    judged_theory = []

    def add(
        label: str, name: str, tau: Array, theory: Array, values: Array, judged: NDArray[np.bool_]
    ) -> None:
        fit = extrapolate(d, values)
        fits[label, name] = fit
        for i in range(tau.size):
            rows.append(
                Row(label, name, float(tau[i]), float(theory[i]), float(fit.value[i]),
                    float(fit.error[i]), bool(judged[i]))
            )  # fmt: skip
        judged_theory.append(theory[judged])

    for label in prediction.curves:
        rule = case.rules[label]
        tau = case.tau(rule)
        chosen = case.is_judged(rule, tau)
        for name in case.quantities:
            values = quantities(case, label, cells, name)
            judged = chosen & (name not in case.listed)
            add(label, name, tau, prediction.values(label, name), values, judged)
    points = case.resolvent_points
    everywhere = np.ones(points.size, dtype=bool)
    if points.size:
        found = resolvents(case, cells)
        add("spectrum", "resolvent", points, prediction.resolvent, found, everywhere)

    theory = np.concatenate(judged_theory)
    joint = extrapolate(d, _judged_values(case, prediction, cells))
    chi2, dof, probability = hotelling(joint.value - theory, joint.covariance, joint.dof)
    known = shape and prediction.spectrum is not None
    spectra = compare_spectra(prediction, cells) if known else None
    pooled = np.concatenate([c.arrays["eigenvalues"] for c in cells if c.d == d.max()])
    return Comparison(case, prediction, chi2, dof, probability, rows, spectra, fits, pooled)


def _judged_values(case: Case, prediction: Prediction, cells: list[Cell]) -> Array:
    """Everything that is judged, of each cell, shape (n_cells, q)."""
    columns = []
    for label in prediction.curves:
        rule = case.rules[label]
        chosen = case.is_judged(rule, case.tau(rule))
        columns += [
            quantities(case, label, cells, name)[:, chosen]
            for name in case.quantities
            if name not in case.listed
        ]
    return np.concatenate([*columns, resolvents(case, cells)], axis=1)


def judge(comparisons: list[Comparison]) -> Verdict:
    """The verdict over all cases."""
    return Verdict(comparisons)
