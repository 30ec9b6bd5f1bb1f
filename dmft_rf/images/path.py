r"""The one-point equations of a medium, solved along a path, with the matrices at every point.

Along a contour a point starts from those before it: h and its derivative, which costs no further
inverse,

    (d/dz): J dh/dz = -Tr(S_j R^2)/n,    J the Jacobian of (1) of `dmft_rf.images.medium`,

are carried on by a polynomial. Two inverses a point are then enough.
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
from dmft_rf.images.inverse import symmetric_inverse

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
_IN_MEMORY = 2**29
# what R^{-1} R may be off by where it was inverted without pivots beyond the pool
_UNHARMED = 1e-9


@dataclass(frozen=True, eq=False)
class Solved(Frozen):
    """The solution of (1) at points z (n_z,), with the matrices that everything is made of.

    Attributes
    ----------
    medium : Medium
    z : (n_z,) array
    h : (n_z, J) array
    X : (n_z, parts, J, p, p) array
        S_j R: its real part and, off the real axis, its imaginary part.
    RV : (n_z, p, d) array
        R V.
    XV : (n_z, J, p, d) array
        S_j R V.
    responses, squares : (n_z, J) arrays
        Tr S_j R and Tr S_j R^2.
    traces : (2, n_z) array
        Tr R and Tr N_0 R.
    residual : (n_z,) array
        Relative size of the last step.
    iterations : int
        Inverses in total.
    """

    medium: Medium
    z: NDArray[Any]
    h: NDArray[Any]
    X: NDArray[Any]
    RV: NDArray[Any]
    XV: NDArray[Any]
    responses: NDArray[Any]
    squares: NDArray[Any]
    traces: NDArray[Any]
    residual: Array
    iterations: int

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
        if self.X.dtype != np.float32:
            return 0.0
        exact = symmetric_inverse(m.matrix(self.h[0], self.z[0]))
        off = np.einsum("ia,ia->", m.V, exact @ m.V) / m.V.shape[1] / self.S_VV[0] - 1.0
        return 3.0 * max(float(abs(off)), float(np.finfo(np.float32).eps))

    @property
    def trace(self) -> NDArray[Any]:
        """Tr R/p at the points."""
        p: int = self.RV.shape[1]
        return self.traces[0] / p

    @property
    def seen(self) -> NDArray[Any]:
        """Tr R U_test/d = (Tr R N_0 + n sum c h)/d at the points."""
        m = self.medium
        return (self.traces[1] + m.n * (self.h @ m.shares)) / m.V.shape[1]


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
    (p, d), J = medium.V.shape, medium.shares.size
    kind = z.dtype
    if tolerance is None:
        tolerance = FINE if kind.kind == "c" else FINEST
    single = tolerance >= COARSE and kind.kind == "c" and medium.q <= 1.0
    inverse = _Inverse.of(medium, single)
    real = inverse.flat.dtype
    stored = np.result_type(real, kind.type(0)) if not single else np.dtype(np.complex64)
    S, V = inverse.flat.reshape(J * p, p), medium.V.astype(real, copy=False)
    parts = ("real", "imag") if kind.kind == "c" else ("real",)
    h = np.empty((z.size, J), dtype=kind)
    RV, XV = np.empty((z.size, p, d), dtype=stored), np.empty((z.size, J, p, d), dtype=stored)
    X = _space((z.size, len(parts), J, p, p), real)
    responses, squares = np.empty((2, z.size, J), dtype=kind)
    traces = np.empty((2, z.size), dtype=kind)
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
        h[i], R, residual[i], steps = _root(inverse, z[i], first, jacobian, tolerance)
        iterations += steps
        for k, part in enumerate(parts):
            own = np.ascontiguousarray(getattr(R, part))
            np.matmul(S, own, out=X[i, k].reshape(J * p, p))
            setattr(XV[i], part, X[i, k] @ V)
        RV[i] = R @ V
        responses[i] = inverse.responses(R)
        traces[:, i] = np.trace(R), np.diagonal(R) @ medium.noise
        products, squares[i] = _products(X[i], R)
        jacobians[i] = medium.jacobian(h[i], products)
        if pace is not None:
            slopes[i] = np.linalg.solve(jacobians[i], -squares[i] / medium.n) * pace[i]
        put_away(X)
    return Solved(medium, z, h, X, RV, XV, responses, squares, traces, residual, iterations)


def _space(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Room for matrices: in memory, or in a file without a name where they are too many."""
    if math.prod(shape) * kind.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="dmft_rf") as file:
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


def put_away(stored: NDArray[Any]) -> None:
    """Free the memory of matrices that are held in a file; they are read from it again."""
    pages: Any = stored.base
    if isinstance(pages, mmap.mmap) and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)


def _products(X: NDArray[Any], R: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tr X_j X_k and Tr X_j R of one point, shapes (J, J) and (J,)."""
    parts, J, p, _ = X.shape
    left = X.reshape(parts * J, p * p)
    turned = np.ascontiguousarray(X.swapaxes(2, 3)).reshape(parts * J, p * p)
    own = np.stack([R.real, R.imag] if parts == 2 else [R]).reshape(parts, p * p)
    return (
        complex_part((left @ turned.T).reshape(parts, J, parts, J)),
        complex_part((left @ own.T).reshape(parts, J, parts, 1))[:, 0],
    )


def complex_part(sums: NDArray[Any], conjugate: bool = False) -> NDArray[Any]:
    """Products of complex numbers from those of their parts (parts, ..., parts, ...)."""
    half = sums.ndim // 2
    if sums.shape[0] == 1:
        return np.squeeze(sums, (0, half))
    sums = np.moveaxis(sums, half, 1).astype(float, copy=False)
    (rr, ri), (ir, ii) = sums
    return rr + ii + 1j * (ir - ri) if conjugate else rr - ii + 1j * (ri + ir)


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
    """R of (1), in single or double precision, from S (J, p^2)."""

    medium: Medium
    flat: NDArray[Any]

    @classmethod
    def of(cls, medium: Medium, single: bool) -> _Inverse:
        flat = medium.S.reshape(medium.shares.size, -1)
        return cls(medium, flat.astype(np.float32 if single else float, copy=False))

    def __call__(self, h: NDArray[Any], z: complex) -> NDArray[Any]:
        matrix = self.medium.matrix(h, z, self.flat)
        R = symmetric_inverse(matrix)
        if self.medium.q > 1.0:
            # beyond the pool nothing keeps quarters of the matrix away from singular ones
            row_sums = matrix @ R.sum(axis=1)
            if not float(np.abs(row_sums - 1.0).max()) <= _UNHARMED:
                R = np.linalg.inv(matrix)
        return R

    def responses(self, R: NDArray[Any]) -> NDArray[Any]:
        """Tr S_j R, shape (J,)."""
        if np.iscomplexobj(R):
            return self.flat @ R.real.ravel() + 1j * (self.flat @ R.imag.ravel())
        found: NDArray[Any] = self.flat @ R.ravel()
        return found


def _root(
    inverse: _Inverse, z: complex, h: NDArray[Any], jacobian: NDArray[Any] | None, tolerance: float
) -> tuple[NDArray[Any], NDArray[Any], float, int]:
    """h and R at one point by Broyden's method from h; without a jacobian h is iterated first."""
    medium, steps = inverse.medium, 0
    if jacobian is None:
        # far from the spectrum, or below it, each step brings it nearer
        for _ in range(_FIRST_STEPS):
            h = medium.nearer(h, inverse.responses(inverse(h, z)) / medium.n)
        steps = _FIRST_STEPS
        jacobian = -np.diag(medium.slope(h))
    R = inverse(h, z)
    g = inverse.responses(R) / medium.n - medium.held(h)
    size = math.inf
    for _ in range(_MOST_STEPS):
        step = -np.linalg.solve(jacobian, g)
        size = float(np.max(np.abs(step) / (np.abs(h) + 1e-300)))
        if not size > tolerance:
            break
        h = h + step
        steps += 1
        R = inverse(h, z)
        before, g = g, inverse.responses(R) / medium.n - medium.held(h)
        change = g - before - jacobian @ step
        jacobian = jacobian + np.outer(change, step.conj()) / np.vdot(step, step)
    physical = bool(np.all(h.imag > 0.0)) if np.iscomplexobj(h) else bool(np.all(h > -1.0))
    if not (size <= tolerance and physical):
        pool = f"{medium.n / medium.q:g} samples" if medium.q else "an endless pool"
        raise ConvergenceError(
            f"the leverages at z = {z} were not found for n = {medium.n:g} of {pool}", residual=size
        )
    return h, R, size, steps + 1


def row_leverages(medium: Medium, means: Array) -> Array:
    """h of every row (N,) at z = 0, for a pool in one class."""
    R = _root(_Inverse.of(medium, False), 0.0, np.zeros(1), None, FINEST)[1]
    held = np.einsum("in,in->n", means, R @ means) / medium.n
    return np.asarray(medium.released(held))
