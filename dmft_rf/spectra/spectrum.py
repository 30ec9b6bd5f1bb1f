r"""Limiting spectral law of the feature matrix U: edges, bulks, atoms, density and moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import floats, instance, values_of, whole
from dmft_rf._show import Shown, Table, table_of_law
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf._typing import Array, Mask
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.kernels.closed_form import CONVERGED
from dmft_rf.kernels.fused_support import ends
from dmft_rf.kernels.infinite_width import sample_parameters
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.score_model import stored_model
from dmft_rf.numerics.edge_map import edge_map
from dmft_rf.numerics.estimate import EPS, ROUNDING
from dmft_rf.numerics.panels import ByHalves, resolved
from dmft_rf.spectra.closed_form_support import SupportFinder
from dmft_rf.spectra.grouped_support import GroupedSupportFinder
from dmft_rf.spectra.law import Panels, power_mean, stored_law
from dmft_rf.spectra.resolvent import on_path
from dmft_rf.spectra.sample_law import KernelSupport, SampleLaw, sample_law
from dmft_rf.spectra.support import Finder, Support, ZeroPoint

# Gauss-Legendre nodes of a panel
_NODES = 16
_FIRST_PANELS = 3
_MOST_PANELS = 4000
_MOST_POINTS = 10**7
# relative to the mass of the bulk: halves of a panel against the panel, and the bulk as a whole
_MASS_TOLERANCE = 1e-13
_MASS_ERROR = 1e-11
# rounding of the exact masses of bulks, which is far less
_OF_MASS = 1e-9


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Shown):
    r"""Spectral law of U = (1/n) sum_nu E_xi[sigma sigma^T] in the limit, in units of U.

    The law has an atom at s_t^2 of mass max(0, 1 - (1 + psi_n)/psi_p) (for v_t > 0) and one or
    more bulks above it. For psi_p > psi_n >> 1 and a narrow Sigma there are, from below, a bulk of
    mass 1/psi_p just above s_t^2, one of mass (psi_n - 1)/psi_p (together the paper's rho_1:
    memorisation) and one of mass 1/psi_p (rho_2, the population law: generalisation).

    Source: Bonnaire et al., arXiv:2505.17638, Theorem 3.1; edges after Silverstein and Choi (1995),
    masses after Bai and Silverstein (1999).
    """

    kind: ClassVar[str] = "spectrum"

    #: whether it is that of networks that were drawn, in place of an average over them
    drawn: ClassVar[bool] = False
    #: how much larger the error of the first contour that is tried may be, than by the usual rule
    slack: ClassVar[float] = 1.0
    #: the same with equations that are solved more accurately, where that is possible
    finer: ClassVar[Spectrum | None] = None

    model: FeatureModel

    def __post_init__(self) -> None:
        instance(self.model, FeatureModel, "model", "ScoreModel(0.01, 64, 8)")
        if type(self) is Spectrum and math.isinf(self.model.psi_p):
            raise ModelError("psi_p is inf; spectrum(model) has the law of U in units of psi_p")

    @lazy
    def support(self) -> Support:
        """Edges and masses, measured from ``floor``."""
        return self._finder.support()

    @lazy
    def _finder(self) -> Finder:
        groups = self.model.groups
        if groups.closed_form:
            return SupportFinder(*groups.two_unknowns, ends)
        return GroupedSupportFinder(groups)

    @lazy
    def ends(self) -> tuple[float, float]:
        """Lowest and highest edge, without the search for inner gaps."""
        low, high = self._finder.ends
        return low + self.floor, high + self.floor

    @property
    def floor(self) -> float:
        """Where an atom can be: s_t^2 if the noise is averaged exactly, else 0."""
        return float(self.model.groups.par[3])

    @property
    @ieee
    def edges(self) -> Array:
        """Edges of the bulks, ascending, shape (n_bulks, 2)."""
        return self.support.offsets + self.floor

    @property
    def bulk_masses(self) -> Array:
        """Exact mass of each bulk, shape (n_bulks,)."""
        return self.support.masses

    @property
    def atoms(self) -> Array:
        """(location, mass) of each atom, shape (n_atoms, 2); there is at most one, at s_t^2."""
        mass = self._finder.atom
        return np.array([[self.floor, mass]]) if mass > 0.0 else np.empty((0, 2))

    @property
    def total(self) -> float:
        """The exact mass of the law."""
        return 1.0

    @property
    def learning_bulks(self) -> Mask | None:
        """Which bulks belong to the directions of the data (rho_2); None while merged."""
        return self.support.learning_bulks

    @property
    def lowest_data_direction(self) -> float:
        """Lower edge of the bulks of the data directions; nan while merged with the others."""
        learning = self.learning_bulks
        return math.nan if learning is None else float(self.edges[learning][0, 0])

    @property
    @ieee
    def bulk_names(self) -> tuple[str, ...]:
        """What each bulk does in training, from the lowest to the highest.

        "data": the directions of the data, learned first. "memorizes last": the thin bulk of d
        modes at the bottom, which fits the noise of the training samples. "nearly inert": the n - d
        other modes of single samples, which carry next to nothing of the loss. "samples": modes of
        samples that are not separated into these two. "merged": all of them. docs/theory.md,
        section 9.
        """
        learning = self.learning_bulks
        if learning is None:
            return ("merged",) * len(self.bulk_masses)
        m = self.model
        split = m.groups.closed_form and m.psi_p > 1.0 + m.psi_n and m.psi_n > 1.0
        of_one = 1.0 if math.isinf(m.psi_p) else m.psi_p  # masses are then per dimension
        last = (1.0 + _OF_MASS) / of_one if split else 0.0
        inert = (1.0 - _OF_MASS) / of_one if split else math.inf
        names, below = [], 0.0
        for data, mass in zip(learning, self.bulk_masses, strict=True):
            name = "nearly inert" if below >= inert else "samples"
            name = "memorizes last" if below + mass <= last else name
            names.append("data" if data else name)
            below += mass
        return tuple(names)

    def density(self, lam: ArrayLike) -> Array:
        """Density of the continuous part at real ``lam``, shaped like it, at zero offset.

        Im q(lambda + i0)/pi inside the bulks, 0 exactly outside them; infinite on a hard edge.

        Raises
        ------
        ModelError
            If ``lam`` is not an array of finite real numbers.
        ConvergenceError
            If the one-point equations cannot be solved at some point.
        """
        return self._density_at(np.asarray(floats(lam, "lam") - self.floor))

    def _density_at(self, offset: Array) -> Array:
        """Density at lambda - s^2 = ``offset`` (the kernels need no more than this difference)."""
        flat = offset.ravel()
        out = np.zeros(flat.size)
        if self.support.offsets[0, 0] == 0.0:
            out[flat == 0.0] = math.inf
        inside = np.zeros(flat.size, dtype=np.bool_)
        for low, high in self.support.offsets:
            inside |= (flat > low) & (flat < high)
        where = np.flatnonzero(inside)
        where = where[np.argsort(flat[where], kind="stable")]
        out[where] = self._densities(flat[where])
        return out.reshape(offset.shape)

    def _densities(self, offset: Array) -> Array:
        """The density at ascending points inside the bulks, shape (n,)."""
        k, _, _, residual, status, _ = on_path(
            self.model.groups.from_floor, offset.astype(np.complex128), checked=False
        )
        rho: Array = np.maximum((-1.0 / k).imag, 0.0) / (math.pi * self.model.psi_p)
        # within rounding of a soft edge the solution is real and the density is zero
        for i in np.flatnonzero(status != CONVERGED):
            gap = np.min(np.abs(self.support.offsets - offset[i]))
            if gap > 1e-10 * abs(offset[i]):
                raise ConvergenceError(
                    f"density at lambda - s^2 = {float(offset[i])!r} did not converge",
                    residual=float(residual[i]),
                )
            rho[i] = 0.0
        return rho

    def grid(self, points: int = 400) -> Array:
        """About ``points`` values inside the bulks, dense towards every edge, ascending."""
        points = whole(points, "points", most=_MOST_POINTS)
        each = max(8, points // len(self.bulk_masses))
        theta = math.pi * (np.arange(each) + 0.5) / each
        parts = [edge_map(low, high, theta)[0] for low, high in self.support.offsets]
        return np.concatenate(parts) + self.floor

    @lazy
    def panels(self) -> Panels:
        """Panels on which the density, times the edge map, is resolved to rounding."""
        parts = [
            self._bulk_panels(float(low), float(high), float(mass))
            for (low, high), mass in zip(self.support.offsets, self.bulk_masses, strict=True)
        ]
        return Panels(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @lazy
    def _quadrature(self) -> tuple[Array, Array, float]:
        """Nodes lambda - s^2, weights with the density in them, and the error of the mass."""
        x, w = self.panels.rule(_NODES)
        w = w * self._density_at(x)
        # the exact masses, and the sum that checks them, have rounding of their own
        error = ROUNDING + abs(float(self.bulk_masses.sum() + self.atoms[:, 1].sum()) - self.total)
        for (low, high), mass in zip(self.support.offsets, self.bulk_masses, strict=True):
            error += abs(float(w[(x > low) & (x < high)].sum()) - float(mass))
        return x, w, error

    def _bulk_panels(self, low: float, high: float, mass: float) -> tuple[Array, ...]:
        """Panels of one bulk: each is replaced by its halves until the two agree with it.

        The halves are what is kept, and together they must carry the exact mass.
        """
        # the density of a narrow bulk carries the rounding of its place
        if not high > low:
            raise ConvergenceError(f"a bulk at lambda - s^2 = {high:g} is narrower than rounding")
        rounding = 5.0 * EPS * high / (high - low)
        halves = ByHalves(
            lambda left, right: self._panel_masses(low, high, left, right),
            lambda _: (_MASS_TOLERANCE + rounding) * mass,
        )
        first = np.linspace(0.0, math.pi, _FIRST_PANELS + 1)
        ends, complete = resolved(halves, first, _MOST_PANELS)
        missing = abs(halves.total - mass)
        if not complete or missing > (_MASS_ERROR + 20.0 * rounding) * max(mass, 1e-3):
            raise ConvergenceError(
                f"the density between {low} and {high} above s^2 integrates to {halves.total!r}; "
                f"its exact mass is {mass!r}",
                partial=ends,
                residual=missing,
            )
        size = np.ones(ends.size - 1)
        return low * size, high * size, ends[:-1], ends[1:]

    def _panel_masses(self, low: float, high: float, left: Array, right: Array) -> Array:
        size = np.ones(left.size)
        x, w = Panels(low * size, high * size, left, right).rule(_NODES)
        return (w * self._density_at(x)).reshape(left.size, _NODES).sum(axis=1)

    @lazy
    def at_zero(self) -> ZeroPoint:
        """The solution at z = 0, on or below the support, where least squares has its resolvent."""
        return self._finder.at_zero()

    def integrate(self, f: Callable[[Array], Array]) -> float:
        """Integral of ``f(lambda)`` against the whole law, bulks and atom.

        ``f`` must be smooth on each bulk; the rule is refined until it carries the exact masses.
        """
        x, w, _ = self._quadrature
        total = float(np.sum(w * values_of(f, x + self.floor, "f")))
        for location, mass in self.atoms:
            total += float(mass) * float(values_of(f, np.array([location]), "f")[0])
        return total

    @property
    def mass(self) -> float:
        """Numerical integral of the density plus the atoms; ``total`` up to ``mass_error``."""
        return self.integrate(np.ones_like)

    @property
    def mass_error(self) -> float:
        """Sum over the bulks of |integral of the density - exact mass|, and rounding."""
        return self._quadrature[2]

    def moment(self, k: int) -> float:
        """Integral of lambda^k; the first is E[sigma^2] - mu_0^2."""
        return power_mean(self.integrate, k)

    def _about(self) -> str:
        return self.model.label

    def _table(self) -> Table:
        return table_of_law(self.edges, self.bulk_masses, self.atoms, self.bulk_names)

    def stored(self) -> Stored:
        """What a file holds of the law: edges, masses, atoms and the density on a grid."""
        attributes, arrays = self.model.stored()
        mine, law = stored_law(self)
        if self.learning_bulks is not None:
            law["learning_bulks"] = self.learning_bulks
        return {**attributes, **mine}, {**arrays, **law}


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class WideSpectrum(Spectrum):
    """Spectral law of U/psi_p for psi_p = inf, the law of the kernel K of the data.

    Masses are per dimension: U has infinitely many more eigenvalues at its floor. An eigenvalue k
    relaxes on the time 1/(2 Delta_t k). There are two bulks for each one of the sample covariance:
    those of the samples (k_-, memorisation) below, those of the data directions (k_+) above them;
    atoms at b_t^2 for directions that no sample has and at v_t^2/psi_n
    for samples beyond the dimension.
    """

    @lazy
    def sample(self) -> SampleLaw:
        """The law of the sample covariance."""
        _, lam, w = self.model.groups.two_unknowns
        return sample_law(self.model.psi_n, lam, w)

    @property
    def constants(self) -> tuple[float, float, float]:
        """b^2, v^2/psi_n and gamma^2."""
        par = self.model.groups.two_unknowns[0]
        return float(par[2]), float(par[3] / par[1]), float(par[5])

    @lazy
    def _kernel(self) -> KernelSupport:
        b2, vn, gamma2 = self.constants
        return self.sample.kernel(b2, vn * self.model.psi_n, gamma2)

    @lazy
    def support(self) -> Support:
        """Edges and masses."""
        k = self._kernel
        return Support(k.edges, k.masses, 0.0, k.learning_bulks)

    @lazy
    def ends(self) -> tuple[float, float]:
        """Lowest and highest eigenvalue, atoms among them."""
        places = np.concatenate([self._kernel.edges.ravel(), self._kernel.atoms[:, 0]])
        return float(places.min()), float(places.max())

    @property
    def floor(self) -> float:
        """0: s_t^2 in units of psi_p."""
        return 0.0

    @property
    def atoms(self) -> Array:
        """(location, mass) of each atom, shape (n_atoms, 2)."""
        return self._kernel.atoms

    @property
    def total(self) -> float:
        """Eigenvalues per dimension: 1 + psi_n for v > 0, else 1."""
        return 1.0 + (self.model.psi_n if self.constants[1] > 0.0 else 0.0)

    @property
    def lowest_data_direction(self) -> float:
        """The same, directions that no sample has (b^2) among them."""
        b2 = self.constants[0]
        lowest = super().lowest_data_direction
        return min(lowest, b2) if b2 in self.atoms[:, 0] else lowest

    def _densities(self, lam: Array) -> Array:
        """That of the sample covariance at its eigenvalue x = c(k), times |dx/dk|."""
        b2, vn, gamma2 = self.constants
        x = sample_parameters(lam, b2, vn, gamma2).real
        rho = self.sample.w @ self.sample.densities(np.maximum(x, math.ulp(0.0)))
        return rho * np.abs(1.0 - b2 * vn / lam**2) / gamma2


def spectrum(model: FeatureModel) -> Spectrum:
    """Spectral law of U for ``model``: exact edges, bulks, masses, atom and density, on demand.

    At infinite width that of U in units of psi_p, with masses per dimension (`WideSpectrum`).

    Returns
    -------
    Spectrum
        Nothing is computed before it is asked for.

    Raises
    ------
    ConvergenceError
        (from its properties) if an edge is not found or the density cannot be resolved.
    """
    instance(model, FeatureModel, "model", "ScoreModel(0.01, 64, 8)")
    return Spectrum(model) if math.isfinite(model.psi_p) else WideSpectrum(model)


def stored_spectrum(attributes: Attributes, arrays: Arrays) -> Spectrum:
    """The law of `Spectrum.stored`, which is that of its model."""
    return spectrum(stored_model(attributes, arrays))
