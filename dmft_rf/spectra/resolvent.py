r"""Stieltjes transforms of the feature matrix U, anywhere off its support and on the real axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import complexes, floats, instance
from dmft_rf._frozen import Frozen
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.kernels import closed_form as fixed_point
from dmft_rf.kernels import grouped
from dmft_rf.model.columns import SampleGroups
from dmft_rf.model.score_model import ScoreModel

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@ieee
@dataclass(frozen=True, eq=False)
class Resolvent(Frozen):
    r"""Solution of the one-point equations at an array of points z.

    Attributes (complex arrays shaped like z)
    -----------------------------------------
    z
        The points; real ones are taken as the limit from above.
    k, E
        The two unknowns: k = -1/(psi_p q), and E, which carries what the finite training set
        changes (E = 1 for psi_n -> infinity).
    dk, dE
        Their derivatives with respect to z.
    residual
        Relative size of Newton's last step (float).
    iterations
        Newton steps in total (int).
    """

    model: ScoreModel
    z: Complex
    k: Complex
    E: Complex
    dk: Complex
    dE: Complex
    residual: NDArray[np.float64]
    iterations: int

    @property
    @ieee
    def q(self) -> Complex:
        """Stieltjes transform (1/p) Tr (U - z)^{-1} of the law of U."""
        return -1.0 / (self.model.psi_p * self.k)

    @property
    @ieee
    def dq(self) -> Complex:
        """dq/dz = (1/p) Tr (U - z)^{-2}."""
        return self.dk / (self.model.psi_p * self.k**2)

    def S(self, Q: ArrayLike = 1.0) -> Complex:
        """(1/d) Tr[Q W^T (U - z)^{-1} W]/d for a function Q of Sigma, given at its eigenvalues.

        sum_k w_k Q(lambda_k)/(x + y~ lambda_k), x = b^2 - k, y~ = gamma^2/E.
        """
        cov = self.model.covariance
        par = self.model.parameters
        flat = fixed_point_weights(self.k.ravel(), self.E.ravel(), par, cov.eigenvalues)
        return (flat @ (cov.weights * _at_atoms(Q, cov.n_atoms))).reshape(self.z.shape)


def fixed_point_weights(
    k: Complex, E: Complex, par: NDArray[np.float64], lam: NDArray[np.float64]
) -> Complex:
    """1/(b^2 - k + gamma^2 lambda/E), shape (n_points, n_atoms)."""
    return 1.0 / ((par[2] - k)[:, None] + np.multiply.outer(par[5] / E, lam))


@ieee
@dataclass(frozen=True, eq=False)
class GroupedResolvent(Frozen):
    r"""Solution of the one-point equations for samples in groups at an array of points z.

    Attributes
    ----------
    z, k, dk : complex arrays shaped like z
        The points, k = -1/(psi_p q) and dk/dz.
    E, excess : (..., J) complex arrays
        E_j = 1 + f^T (U_{-f} - z)^{-1} f/n for a column f of each group; E_j - 1 with its digits.
    weights : (..., n_atoms) complex array
        r = 1/(beta - k) at the atoms of Sigma.
    residual : float array
        Relative size of Newton's last step.
    iterations : int
        Newton steps in total.
    """

    model: ScoreModel
    groups: SampleGroups
    z: Complex
    k: Complex
    dk: Complex
    E: Complex
    excess: Complex
    weights: Complex
    residual: Array
    iterations: int

    @property
    @ieee
    def q(self) -> Complex:
        """Stieltjes transform (1/p) Tr (U - z)^{-1} of the law of U."""
        return -1.0 / (self.model.psi_p * self.k)

    @property
    @ieee
    def dq(self) -> Complex:
        """dq/dz = (1/p) Tr (U - z)^{-2}."""
        return self.dk / (self.model.psi_p * self.k**2)

    def S(self, Q: ArrayLike = 1.0) -> Complex:
        """(1/d) Tr[Q W^T (U - z)^{-1} W]/d for a function Q of Sigma, given at its atoms."""
        return self.weights @ (self.groups.weights * _at_atoms(Q, self.groups.weights.size))


def _at_atoms(Q: ArrayLike, n_atoms: int) -> Array:
    """A function of Sigma: one number, or one for each eigenvalue."""
    values = floats(Q, "Q")
    if values.shape not in ((), (n_atoms,)):
        raise ModelError(
            f"Q has the shape {values.shape}; it must be one number, or one for each of the "
            f"{n_atoms} eigenvalues"
        )
    return values


@ieee
def resolvent(model: ScoreModel, z: ArrayLike) -> Resolvent | GroupedResolvent:
    """Solve the one-point equations at the points ``z``.

    Parameters
    ----------
    z : complex array
        Points of the upper or lower half-plane; a real point stands for z + i0. At an eigenvalue
        atom or an edge of the support the limit does not exist.

    Raises
    ------
    ModelError
        If a point is not a finite number.
    ConvergenceError
        If no solution on the physical branch was found at some point; ``partial`` holds what was
        found.
    """
    instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)")
    if model.closed_form:
        return closed_form_resolvent(model, z)
    return grouped_resolvent(model, z)


def closed_form_resolvent(model: ScoreModel, z: ArrayLike) -> Resolvent:
    """``resolvent`` for one class of data and noise that is averaged exactly."""
    points, upper, lower = _upper(z)
    cov, par = model.covariance, model.parameters
    k, E, dk, dE, residual, status, total = fixed_point.solve_path(
        upper, par, cov.eigenvalues, cov.weights
    )

    def shaped(values: Complex) -> Complex:
        values = np.where(lower, values.conj(), values) if any_lower else values
        return values.reshape(points.shape)

    any_lower = lower.any()
    result = Resolvent(
        model,
        points,
        shaped(k),
        shaped(E),
        shaped(dk),
        shaped(dE),
        residual.reshape(points.shape),
        int(total),
    )
    _require(status, residual, points, result)
    return result


def grouped_resolvent(model: ScoreModel, z: ArrayLike) -> GroupedResolvent:
    """``resolvent`` for samples in groups."""
    points, upper, lower = _upper(z)
    groups = model.groups
    k, e, dk, _, residual, status, total = grouped.solve_path(upper, *groups.one_point)

    def shaped(values: Complex) -> Complex:
        flip = lower.reshape(lower.shape + (1,) * (values.ndim - 1))
        return np.where(flip, values.conj(), values).reshape(points.shape + values.shape[1:])

    inverse = groups.count / (-e / k[:, None])
    weights = 1.0 / ((groups.par[2] - k)[:, None] + inverse @ groups.covariances)
    # E - 1 = (<C r> - o^2/k)/psi_n
    excess = (weights @ (groups.covariances * groups.weights).T - groups.noise / k[:, None]) / (
        groups.par[1]
    )
    result = GroupedResolvent(
        model,
        groups,
        points,
        shaped(k),
        shaped(dk),
        shaped(-e / k[:, None]),
        shaped(excess),
        shaped(weights),
        residual.reshape(points.shape),
        int(total),
    )
    _require(status, residual, points, result)
    return result


def _upper(z: ArrayLike) -> tuple[Complex, Complex, NDArray[np.bool_]]:
    """The points, their mirror images in the upper half-plane (flat), and which were mirrored."""
    points = complexes(z, "z")
    flat = points.ravel()
    lower = flat.imag < 0.0
    return points, np.where(lower, flat.conj(), flat), lower


def _require(
    status: NDArray[np.int64],
    residual: Array,
    points: Complex,
    result: Resolvent | GroupedResolvent,
) -> None:
    if np.any(status != fixed_point.CONVERGED):
        bad = int(np.flatnonzero(status != fixed_point.CONVERGED)[0])
        model = result.model
        raise ConvergenceError(
            "no solution of the one-point equations on the physical branch at "
            f"z = {points.ravel()[bad]} (t = {model.t}, psi_p = {model.psi_p}, "
            f"psi_n = {model.psi_n}, noise_draws = {model.noise_draws:g})",
            partial=result,
            residual=float(residual[bad]),
        )
