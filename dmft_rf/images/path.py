r"""The one-point equations of a medium, solved along a path, with the matrices at every point.

Along a contour a point starts from those before it: h and its derivative, which costs no further
inverse,

    (d/dz): J dh/dz = -Tr(S_j R^2)/n,    J the Jacobian of (1) of `dmft_rf.images.medium`,

are carried on by a polynomial. Two inverses a point are then enough.

In single precision R^{-1} = X + i Y is turned by a phase until its real part P is positive
definite: the arguments of its parts alpha_j = 1/(1 + a h_j) and N_0 - z span less than pi for
q <= 1. With Q the imaginary part, P = L L^T and C = L^{-1} Q,

    (P + i Q)^{-1} = G - i L^{-T} C G,    G = (P + C^T C)^{-1},

which is twice as fast as elimination.
"""

from __future__ import annotations

import math
import mmap
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError

if TYPE_CHECKING:
    from dmft_rf.images.medium import Medium

#: Relative size of the step that the one-point equations would take next, on a contour and off.
FINE, FINEST = 1e-8, 1e-12
#: From here on matrices are in single precision.
COARSE = 1e-6
_FIRST_STEPS, _MOST_STEPS = 6, 60
# points before, whose h and Jacobian are carried on
_BEFORE, _BEFORE_JACOBIAN = 4, 6
# bytes of matrices at all points that are held in memory; more are held in a temporary file
_IN_MEMORY = 2**30


@dataclass(frozen=True, eq=False)
class Solved(Frozen):
    """The solution of (1) at points z (n_z,), with the matrices that everything is made of.

    Attributes
    ----------
    medium : Medium
    z : (n_z,) array
    h : (n_z, J) array
    R : (n_z, p, p) array
    X : (n_z, J, p, p) array
        S_j R.
    residual : (n_z,) array
        Relative size of the last step.
    iterations : int
        Inverses in total.
    """

    medium: Medium
    z: NDArray[Any]
    h: NDArray[Any]
    R: NDArray[Any]
    X: NDArray[Any]
    residual: Array
    iterations: int

    @lazy
    def RV(self) -> NDArray[Any]:
        """R V, shape (n_z, p, d)."""
        return self.R @ self.medium.V.astype(self.R.real.dtype)

    @lazy
    def S_VV(self) -> NDArray[Any]:
        """Tr V^T R V/d at the points."""
        V = self.medium.V
        return np.einsum("ia,zia->z", V, self.RV) / V.shape[1]

    @lazy
    def rounding(self) -> float:
        """Relative rounding of the transforms in single precision; 0 in double.

        Three times what that nearest to zero is off by, and at least three times the precision: a
        bound by the condition of R is too large by orders, because rows of R^{-1} differ in size.
        """
        m = self.medium
        if self.R.dtype != np.complex64:
            return 0.0
        exact = np.linalg.inv(m.matrix(self.h[0], self.z[0]))
        off = np.einsum("ia,ia->", m.V, exact @ m.V) / m.V.shape[1] / self.S_VV[0] - 1.0
        return 3.0 * max(float(abs(off)), float(np.finfo(np.float32).eps))

    @lazy
    def trace(self) -> NDArray[Any]:
        """Tr R/p at the points."""
        return np.einsum("zii->z", self.R) / self.R.shape[1]

    @lazy
    def seen(self) -> NDArray[Any]:
        """Tr R U_test/d = (Tr R N_0 + n sum c h)/d at the points."""
        m = self.medium
        noise = np.einsum("zii,i->z", self.R, m.noise)
        return (noise + m.n * (self.h @ m.shares)) / m.V.shape[1]


def solved_on(
    medium: Medium,
    z: NDArray[Any],
    pace: NDArray[Any] | None = None,
    tolerance: float | None = None,
) -> Solved:
    """Solve (1) along a path ``z`` of the upper half-plane, or at real points below the spectrum.

    Parameters
    ----------
    pace : (n_z,) complex array, optional
        dz by the number of the point, of a smooth path; points that are apart are each
        started from the one before.
    tolerance : float, optional
        Allowed relative error of the leverages: by default 1e-8 at complex points, 1e-12 at real
        ones. From 1e-5 on the matrices are in single precision.

    Raises
    ------
    ConvergenceError
        If no solution of the upper half-plane is found at a point.
    """
    J, p = medium.shares.size, medium.noise.size
    kind = z.dtype
    if tolerance is None:
        tolerance = FINE if kind.kind == "c" else FINEST
    single = tolerance >= COARSE and kind.kind == "c" and medium.q <= 1.0
    stored = np.dtype(np.complex64) if single else kind
    S = medium.S.astype(stored.type(0).real.dtype, copy=False).reshape(J * p, p)
    inverse = _Inverse(medium, single)
    h = np.empty((z.size, J), dtype=kind)
    R, X = _space((z.size, p, p), stored), _space((z.size, J, p, p), stored)
    residual = np.empty(z.size)
    iterations = 0
    slopes, jacobians = np.zeros((z.size, J), dtype=kind), np.empty((z.size, J, J), dtype=kind)
    # from the upper end on, where little is resolved
    for i in range(z.size - 1, -1, -1):
        before = slice(i + 1, z.size)
        if i == z.size - 1:
            first, jacobian = np.zeros(J, dtype=kind), None
        elif pace is None:
            first, jacobian = h[i + 1], jacobians[i + 1]
        else:
            first = _carried(h[before][:_BEFORE], slopes[before][:_BEFORE])
            jacobian = _carried(jacobians[before][:_BEFORE_JACOBIAN])
        h[i], R[i], residual[i], steps = _root(inverse, z[i], first, jacobian, tolerance)
        iterations += steps
        for part in ("real", "imag") if kind.kind == "c" else ("real",):
            target = getattr(X[i].reshape(J * p, p), part)
            target[...] = S @ getattr(R[i], part)
        products, squares = _dots(X[i], X[i]), _dots(X[i], R[i][None])[:, 0]
        jacobians[i] = medium.jacobian(h[i], products)
        if pace is not None:
            slopes[i] = np.linalg.solve(jacobians[i], -squares / medium.n) * pace[i]
        put_away(R, X)
    return Solved(medium, z, h, R, X, residual, iterations)


def _space(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Room for matrices: in memory, or in a file without a name where they are too many."""
    if math.prod(shape) * kind.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="dmft_rf") as file:
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


def put_away(*stored: NDArray[Any]) -> None:
    """Free the memory of matrices that are held in a file; they are read from it again."""
    for one in stored:
        pages: Any = one.base
        if isinstance(pages, mmap.mmap) and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED)


def _dots(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Tr A_j B_k of matrices (J, p, p) and (K, p, p), shape (J, K)."""
    turned = np.ascontiguousarray(right.swapaxes(1, 2)).reshape(right.shape[0], -1)
    total: NDArray[Any] = left.reshape(left.shape[0], -1) @ turned.T
    return total


def _carried(values: NDArray[Any], slopes: NDArray[Any] | None = None) -> NDArray[Any]:
    """The polynomial through values (and slopes) at 1, 2, ..., at 0."""
    count = values.shape[0]
    at = np.arange(1, count + 1)
    # Lagrange's basis at 0, and the derivative of each of its members at its own node
    basis = np.array([-((-1.0) ** k) * math.comb(count, k) for k in at])
    if slopes is None:
        return np.tensordot(basis, values, 1)
    apart = at[:, None] - at + np.eye(count)
    steep = (1.0 / apart - np.eye(count)).sum(axis=1)
    found: NDArray[Any] = np.tensordot(basis**2 * (1.0 + 2.0 * steep * at), values, 1)
    return found - np.tensordot(basis**2 * at, slopes, 1)


@dataclass(frozen=True)
class _Inverse:
    """R of (1), in single or double precision."""

    medium: Medium
    single: bool

    def __call__(self, h: NDArray[Any], z: complex) -> NDArray[Any]:
        if not self.single:
            return np.linalg.inv(self.medium.matrix(h, z))
        return self._turned(h, z)

    @lazy
    def _flat(self) -> NDArray[Any]:
        S = self.medium.S
        return S.reshape(S.shape[0], -1).astype(np.float32)

    def _turned(self, h: NDArray[Any], z: complex) -> NDArray[Any]:
        from scipy.linalg import blas, lapack

        m = self.medium
        alpha = 1.0 / (1.0 + m.a * h)
        args = np.angle(np.concatenate([alpha, m.noise[[0, -1]] - z]))
        turn = np.exp(-0.5j * (args.min() + args.max()))
        weights, p = turn * m.shares * alpha, m.noise.size
        diagonal = turn * (m.noise - z)
        P, Q = (
            (part.astype(np.float32) @ self._flat).reshape(p, p)
            for part in (weights.real, weights.imag)
        )
        P[np.diag_indices(p)] += diagonal.real
        Q[np.diag_indices(p)] += diagonal.imag
        L, wrong = lapack.spotrf(P.T, lower=1)
        C = blas.strsm(1.0, L, Q.T, lower=1)
        G = blas.ssyrk(1.0, C, beta=1.0, c=P.T, trans=1, lower=1)
        factor, also_wrong = lapack.spotrf(G, lower=1, overwrite_a=1)
        if wrong or also_wrong:
            raise ConvergenceError(
                f"the matrix of the leverages at z = {z} is singular to single precision"
            )
        G = lapack.spotri(factor, lower=1, overwrite_c=1)[0]
        G = np.tril(G) + np.tril(G, -1).T
        found = np.empty((p, p), dtype=np.complex64)
        found.real = G
        found.imag = -blas.strsm(1.0, L, C @ G, lower=1, trans_a=1)
        found *= np.complex64(turn)
        return found


def _root(
    inverse: _Inverse,
    z: complex,
    h: NDArray[Any],
    jacobian: NDArray[Any] | None,
    tolerance: float,
) -> tuple[NDArray[Any], NDArray[Any], float, int]:
    """h and R at one point by Broyden's method from h; without a jacobian h is iterated first."""
    medium, steps = inverse.medium, 0
    if jacobian is None:
        # far from the spectrum, or below it, each step brings it nearer
        for _ in range(_FIRST_STEPS):
            h = medium.released(medium.response(inverse(h, z)))
        steps = _FIRST_STEPS
        jacobian = -np.diag(medium.slope(h))
    R = inverse(h, z)
    g = medium.response(R) - medium.held(h)
    size = math.inf
    for _ in range(_MOST_STEPS):
        step = -np.linalg.solve(jacobian, g)
        size = float(np.max(np.abs(step) / (np.abs(h) + 1e-300)))
        if not size > tolerance:
            break
        h = h + step
        steps += 1
        R = inverse(h, z)
        before, g = g, medium.response(R) - medium.held(h)
        change = g - before - jacobian @ step
        jacobian = jacobian + np.outer(change, step.conj()) / np.vdot(step, step)
    physical = bool(np.all(h.imag > 0.0)) if np.iscomplexobj(h) else bool(np.all(h > -1.0))
    if not (size <= tolerance and physical):
        pool = f"{medium.n / medium.q:g} samples" if medium.q else "an endless pool"
        raise ConvergenceError(
            f"the leverages at z = {z} were not found for n = {medium.n:g} of {pool}",
            residual=size,
        )
    return h, R, size, steps + 1


def row_leverages(medium: Medium, means: Array) -> Array:
    """h of every row (N,) at z = 0, for a pool in one class."""
    R = solved_on(medium, np.zeros(1)).R[0]
    held = np.einsum("in,in->n", means, R @ means) / medium.n
    return np.asarray(medium.released(held))
