"""What a finite dimension does to the limit: exact networks on Gaussian data of the same law."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance, whole
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import Shown, Table, table_over_times
from dmft_rf._typing import Array
from dmft_rf.curves.image_nodes import DrawnNodes
from dmft_rf.curves.losses import checked_times, curves_on
from dmft_rf.curves.solve import Solution, solve
from dmft_rf.curves.timescales import timescales
from dmft_rf.errors import ModelError
from dmft_rf.images.image_model import ImageModel
from dmft_rf.images.networks import DRAWS
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import Rule, checked_rule

# sets of weights and data, on each of which ten networks are trained
_DRAWS = 3
# samples to test on at least, and features at most
_TESTED, _MOST_FEATURES = 1000, 2000
_NAMES = ("train", "test", "generalization_gap", "score_error")
_TIMES = ("tau_opt", "tau_mem", "final_gap", "test_min")


@ieee
def finite_size(model: ScoreModel, d: int | None = None, seed: int = 0) -> FiniteSize:
    """Networks of dimension ``d`` on Gaussian data of the covariance of ``model``.

    The theory is that of the limit d -> infinity, which is reached like 1/d_eff. This draws three
    sets of p = psi_p d features and as many of Gaussian data, trains ten networks of each on
    n = psi_n d samples, exactly, and compares. What is left between these networks and those on
    your own data is that your data are not Gaussian: see `ImageModel`.

    Parameters
    ----------
    model : ScoreModel
        Of finite width, with noise that is averaged exactly and one class of data.
    d : int, optional
        Dimension; by default that of the covariance. A covariance of another dimension is stood
        for by the d quantiles of its eigenvalues.
    seed : int, default 0
        Of features and data.

    Returns
    -------
    FiniteSize
        Mean and spread of every curve, and of the times.

    Raises
    ------
    ModelError
        If an argument is outside its domain, d is not known, or psi_p d is over 2000.

    Examples
    --------
    >>> from dmft_rf import ScoreModel, finite_size, solve
    >>> model = ScoreModel(t=0.1, psi_p=4, psi_n=2)
    >>> finite = finite_size(model, d=16)
    >>> curves = finite.learning_curves([10.0, 100.0])
    >>> curves.mean["test"].shape, curves.spread["test"].shape
    ((2,), (2,))
    """
    instance(model, ScoreModel, "model", "ScoreModel(0.1, 4, 2)")
    covariance = model.covariance
    if not isinstance(covariance, Covariance):
        raise ModelError("finite_size draws Gaussian data of one class, not of a Mixture")
    if d is None and covariance.dimension is None:
        raise ModelError("this covariance has no dimension: finite_size(model, d=64)")
    size = whole(covariance.dimension if d is None else d, "d", least=2)
    first = whole(seed, "seed", least=0)
    if not (math.isfinite(model.psi_p) and math.isinf(model.noise_draws)):
        raise ModelError(
            f"psi_p is {model.psi_p} and noise_draws {model.noise_draws}; finite_size draws "
            "networks of finite width whose noise is averaged exactly"
        )
    p, n = max(1, round(model.psi_p * size)), max(1, round(model.psi_n * size))
    if p > _MOST_FEATURES:
        raise ModelError(
            f"psi_p d is {p}; networks of at most {_MOST_FEATURES} features are drawn: a d of "
            f"{int(_MOST_FEATURES / model.psi_p)} at most"
        )
    sizes = np.sqrt(_quantiles(covariance, size))
    solutions = []
    for draw in range(_DRAWS):
        rng = np.random.default_rng([first, draw, size])
        rows = rng.standard_normal((n + max(_TESTED, n // 4), size)) * sizes
        drawn = ImageModel(
            rows, model.t, n, weights=rng.standard_normal((p, size)),
            activation=model.activation, route="networks",
        )  # fmt: skip
        solutions.append(solve(drawn))
    exact = model.replace(covariance=Covariance(sizes**2))
    return FiniteSize(model, size, exact.floor, tuple(solutions))


def _quantiles(covariance: Covariance, d: int) -> Array:
    """d eigenvalues with the law of the covariance, those of its own where there are d."""
    if covariance.n_atoms == d and np.ptp(covariance.weights) < 1e-12:
        return covariance.eigenvalues
    below = np.cumsum(covariance.weights)
    at = np.searchsorted(below, (np.arange(d) + 0.5) / d * below[-1])
    found: Array = covariance.eigenvalues[at]
    return found


@dataclass(frozen=True, eq=False, repr=False)
class FiniteCurves(Shown):
    """Losses of networks of finite size at the times ``tau``.

    Attributes
    ----------
    tau : array
    mean, spread, error : dict of arrays shaped like tau
        Of train, test, generalization_gap and score_error: mean, standard deviation of one network,
        and standard error of the mean.
    """

    tau: Array
    mean: FrozenDict[str, Array]
    spread: FrozenDict[str, Array]
    error: FrozenDict[str, Array]

    def _about(self) -> str:
        return "mean, spread and standard error of networks of a finite size"

    def _table(self) -> Table:
        parts = {"": self.mean, "_spread": self.spread, "_error": self.error}
        return table_over_times(
            self.tau, {name + part: held[name] for name in _NAMES for part, held in parts.items()}
        )


@dataclass(frozen=True, eq=False, repr=False)
class FiniteSize(Shown):
    """Drawn networks of one dimension, and what they say of the limit.

    Attributes
    ----------
    model : ScoreModel
    dimension : int
    floor : float
        Test loss of the exact score.
    solutions : tuple of Solution
        Ten networks each, of three sets of features and data.
    """

    model: ScoreModel
    dimension: int
    floor: float
    solutions: tuple[Solution, ...]

    def _about(self) -> str:
        count = DRAWS * len(self.solutions)
        return f"{self.model.label}; {count} networks of d = {self.dimension}"

    def _table(self) -> Table:
        rows = ("quantity",)
        columns = {"mean": [v[0] for v in self.times.values()]}
        columns["error"] = [v[1] for v in self.times.values()]
        return Table(
            rows,
            {"quantity": (rows, list(self.times))},
            {k: (rows, np.array(v)) for k, v in columns.items()},
        )

    def learning_curves(self, tau: ArrayLike, rule: Rule | None = None) -> FiniteCurves:
        """Mean and spread of the losses at ``tau`` under a deterministic ``rule``.

        Raises ModelError as `Solution.learning_curves`.
        """
        times, rule = checked_times(tau), checked_rule(rule)
        found: dict[str, list[list[Array]]] = {name: [] for name in _NAMES}
        for solution in self.solutions:
            if rule.can_diverge:
                rule.check(solution.spectrum.ends[1], solution.model.rate)
            nodes = solution.nodes
            assert isinstance(nodes, DrawnNodes)
            each = [curves_on(one, times, rule) for one in nodes.each()]
            for name in _NAMES[:3]:
                found[name].append([getattr(one, name) for one in each])
        off, scale = self.floor, self.model.Delta_t
        values = {name: np.array(parts) for name, parts in found.items() if parts}
        values["score_error"] = (values["test"] - off) / scale
        mean = {name: value.mean(axis=(0, 1)) for name, value in values.items()}
        spread = {name: value.std(axis=(0, 1), ddof=1) for name, value in values.items()}
        # networks of one set of features and data share their scatter
        root = math.sqrt(len(self.solutions))
        error = {name: v.mean(axis=1).std(axis=0, ddof=1) / root for name, v in values.items()}
        return FiniteCurves(times, FrozenDict(mean), FrozenDict(spread), FrozenDict(error))

    @lazy
    def times(self) -> FrozenDict[str, tuple[float, float]]:
        """Mean and standard error of tau_opt, tau_mem, final_gap and test_min, gradient flow."""
        found = [timescales(solution) for solution in self.solutions]
        root = math.sqrt(len(found))
        values = {name: [one.value(name) for one in found] for name in _TIMES}
        return FrozenDict(
            {
                name: (float(np.mean(some)), float(np.std(some, ddof=1)) / root)
                for name, some in values.items()
            }
        )
