r"""The one-point equations, solved: Stieltjes transforms of U, V and M anywhere off the support.

With r = 1/(beta - k) at the atoms of Sigma, M = W/sqrt(d) and b_V = eta_0 + sum_j c_j eta_j/E_j,

    V^T (U - z)^{-1} M  ~  b_V r(Sigma),
    S_VV = sum_j c_j tau_j (1 - 1/E_j) + b_V^2 <r>:

a column that is left out of U leaves its own label behind (docs/theory.md). Where the noise is
averaged exactly V is equivalent to b M, and S_VV is b^2 <r>.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import complexes, floats, instance
from dmft_rf._show import Shown, Table
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.kernels import closed_form, grouped
from dmft_rf.model.columns import SampleGroups
from dmft_rf.model.feature_model import FeatureModel


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class Resolvent(Shown):
    r"""The one-point object: the solution at an array of points, and the transforms made of it.

    Everything after it (two-point functions, losses, densities) reads this object alone, whichever
    equations filled it. A model takes part by its ``groups`` (`SampleGroups`: the columns that U
    and V are sums of); a solver of its own has to fill z, k, dk and E.

    Attributes
    ----------
    groups : SampleGroups
        J groups of columns.
    z, k, dk : complex arrays of one shape
        The points (real ones are taken as the limit from above), k = -1/(psi_p q) and dk/dz.
    E : (..., J) complex array
        E_j = 1 + f^T (U_{-f} - z)^{-1} f/n for a column f of each group: what the finite training
        set changes (E = 1 for psi_n -> infinity).
    residual : float array
        Relative size of Newton's last step.
    iterations : int
        Newton steps in total.
    """

    groups: SampleGroups
    z: Complex
    k: Complex
    dk: Complex
    E: Complex
    residual: Array
    iterations: int

    def _about(self) -> str:
        return f"transforms of U at {self.z.size} points, {self.iterations} Newton steps"

    def _table(self) -> Table:
        rows = tuple(f"point_{k}" for k in range(self.z.ndim))
        columns: dict[str, tuple[Any, ...]] = {
            name: (rows, getattr(self, name))
            for name in ("z", "q", "dq", "S_VV", "S_VW", "residual")
        }
        return Table(rows, {}, {**columns, "E": ((*rows, "group"), self.E)})

    @property
    @ieee
    def q(self) -> Complex:
        """Stieltjes transform (1/p) Tr (U - z)^{-1} of the law of U."""
        return -1.0 / (self.groups.par[0] * self.k)

    @property
    @ieee
    def dq(self) -> Complex:
        """dq/dz = (1/p) Tr (U - z)^{-2}."""
        return self.dk / (self.groups.par[0] * self.k**2)

    @lazy
    def r(self) -> Complex:
        """1/(beta - k) at the atoms of Sigma, shape (..., n_atoms)."""
        g, rest = self.groups, (self.groups.par[2] - self.k)[..., None]
        if g.closed_form:  # with the rounding of gamma^2/E, which partial fractions share
            par, lam, _ = g.two_unknowns
            return 1.0 / (rest + np.multiply.outer(par[5] / self.E[..., 0], lam))
        return 1.0 / (rest + (g.count / self.E) @ g.covariances)

    def S(self, Q: ArrayLike = 1.0) -> Complex:
        """(1/d) Tr[Q W^T (U - z)^{-1} W]/d for a function Q of Sigma, given at its eigenvalues."""
        weights = self.groups.weights
        values = floats(Q, "Q")
        if values.shape not in ((), weights.shape):
            raise ModelError(
                f"Q has the shape {values.shape}; it must be one number, or one for each of the "
                f"{weights.size} eigenvalues"
            )
        return self.r @ (weights * values)

    @lazy
    def excess(self) -> Complex:
        """E_j - 1 = (<C_j r> - o_j^2/k)/psi_n with its digits, shape (..., J)."""
        g = self.groups
        return (self.r @ (g.covariances * g.weights).T - g.noise / self.k[..., None]) / g.par[1]

    @lazy
    def label(self) -> Complex:
        """b_V at the points."""
        g = self.groups
        return g.label + (1.0 / self.E) @ (g.count * g.labels)

    @lazy
    def mean(self) -> Complex:
        """<r>, which is (1/d) Tr M^T (U - z)^{-1} M."""
        return self.r @ self.groups.weights

    @lazy
    def signal(self) -> Complex:
        """V^T (U - z)^{-1} M at the eigenvalues of Sigma, b_V r, shape (..., n_atoms)."""
        g = self.groups
        return (self.label[..., None] if g.labels.any() else g.label) * self.r

    @lazy
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V."""
        g = self.groups
        shared = self.label**2 * self.mean
        return shared + (self.excess / self.E) @ (g.count * g.sizes) if g.sizes.any() else shared

    @lazy
    def S_VW(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} M."""
        return self.label * self.mean

    @lazy
    def S_test(self) -> Complex:
        """(1/d) Tr Q M^T (U - z)^{-1} M with the covariance Q of the test loss."""
        g = self.groups
        return self.r @ (g.weights * (g.test @ g.basis))

    @lazy
    def cancelled(self) -> Array:
        """What r = 1/(beta - k) makes of rounding at most: |r| times the sizes of its terms."""
        g = self.groups
        sizes = np.abs(g.count / self.E) @ g.covariances
        sizes += (g.par[2] + np.abs(self.k))[..., None]
        cancelled: Array = (np.abs(self.r) * sizes).max(axis=-1)
        return cancelled


@ieee
def resolvent(model: FeatureModel, z: ArrayLike) -> Resolvent:
    """Solve the one-point equations at the points ``z``.

    Parameters
    ----------
    z : complex array
        Points of the upper or lower half-plane; a real point stands for z + i0. At an eigenvalue
        atom or an edge of the support the limit does not exist.

    Returns
    -------
    Resolvent
        Its arrays have the shape of ``z``.

    Raises
    ------
    ModelError
        If a point is not a finite number, or psi_p is inf.
    ConvergenceError
        If no solution on the physical branch was found at some point; ``partial`` holds what was
        found.
    """
    instance(model, FeatureModel, "model", "ScoreModel(0.01, 64, 8)")
    if math.isinf(model.psi_p):
        raise ModelError("psi_p is inf; the resolvent of U is solved for at finite width only")
    return solved_at(model, complexes(z, "z"))


def solved_at(model: FeatureModel, z: Complex, *, general: bool = False) -> Resolvent:
    """``resolvent`` at points that are complex already; ``general`` as in `on_path`."""
    flat, groups = z.ravel(), model.groups
    lower = flat.imag < 0.0
    path = np.where(lower, flat.conj(), flat)
    k, E, dk, residual, status, iterations = on_path(groups, path, general=general)
    if lower.any():
        k, dk = np.where(lower, k.conj(), k), np.where(lower, dk.conj(), dk)
        E = np.where(lower[:, None], E.conj(), E)
    shape = z.shape
    found = Resolvent(
        groups, z, k.reshape(shape), dk.reshape(shape), E.reshape(*shape, E.shape[1]),
        residual.reshape(shape), iterations,
    )  # fmt: skip
    bad = np.flatnonzero(status != closed_form.CONVERGED)
    if bad.size:
        raise ConvergenceError(
            f"no solution of the one-point equations on the physical branch at z = {flat[bad[0]]} "
            f"(t = {model.t}, psi_p = {model.psi_p}, psi_n = {model.psi_n}, "
            f"noise_draws = {model.noise_draws:g})",
            partial=found,
            residual=float(residual[bad[0]]),
        )
    return found


def on_path(
    groups: SampleGroups, z: Complex, *, general: bool = False, checked: bool = True
) -> tuple[Complex, Complex, Complex, Array, NDArray[np.int64], int]:
    """k, E (n, J), dk/dz, Newton's last steps, status and Newton steps in total on a path z (n,).

    The points lie in the upper half-plane or on the real axis. One group is solved by its two
    unknowns, which is faster, or, if ``general``, by the equations of any number of groups. Unless
    ``checked`` it may stop as soon as what remains is rounding, with slopes of fewer digits.
    """
    if groups.closed_form and not general:
        k, E, dk, _, residual, status, total = closed_form.solve_path(
            z, *groups.two_unknowns, checked
        )
        return k, E[:, None], dk, residual, status, int(total)
    k, e, dk, _, residual, status, total = grouped.solve_path(z, *groups.one_point)
    return k, -e / k[:, None], dk, residual, status, int(total)
