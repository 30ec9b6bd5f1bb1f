r"""The one-point equations of a medium, solved along a path, with the matrices at every point.

Along a contour a point starts from those before it: h and its derivative, which costs no further
inverse,

    (d/dz): J dh/dz = -Tr(S_j R^2)/n,    J the Jacobian of (1) of `dmft_rf.images.medium`,

are carried on by a polynomial. Two inverses a point are then enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.images.inverse import symmetric_inverse
from dmft_rf.images.tiles import Tiles

if TYPE_CHECKING:
    from dmft_rf.images.medium import Medium

#: Step of 1 + h that the one-point equations would take next, relative, on a contour and off.
FINE, FINEST = 1e-8, 1e-12
#: From here on matrices are in single precision.
COARSE = 1e-6
# steps that bring h near before its Jacobian is made use of, until one is so small
_FIRST_STEPS, _NEAR, _MOST_STEPS = 6, 1e-2, 60
# points before, whose h and Jacobians are carried on
_BEFORE = 4
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
    X : Tiles
        S_j R: the real parts and, off the real axis, the imaginary parts of all j.
    RV : (n_z, p, d) array
        R V.
    XV : (n_z, J, p, d) array
        S_j R V.
    responses, squares : (n_z, J) arrays
        Tr S_j R and Tr S_j R^2.
    traces : (2, n_z) array
        Tr R and Tr N_0 R.
    residual : (n_z,) array
        The next step of 1 + h, relative.
    iterations : int
        Inverses in total.
    """

    medium: Medium
    z: NDArray[Any]
    h: NDArray[Any]
    X: Tiles
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

    @property
    def trace(self) -> NDArray[Any]:
        """Tr R/p at the points."""
        p: int = self.RV.shape[1]
        return self.traces[0] / p

    @property
    def seen(self) -> NDArray[Any]:
        """Tr R U_test/d = (Tr R N_0 + n sum c h)/d at the points."""
        m = self.medium
        # small h are not accurate themselves, but what R makes of them is
        h = m.nearer(self.h, self.responses / m.n)
        return (self.traces[1] + m.n * (h @ m.shares)) / m.V.shape[1]


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
        Allowed error of the leverages, relative to 1 + h: by default 1e-8 at complex points, 1e-12
        at real ones. From 1e-6 on the matrices are in single precision.

    Raises
    ------
    ConvergenceError
        If no solution of the upper half-plane is found at a point.
    """
    if tolerance is None:
        tolerance = FINE if z.dtype.kind == "c" else FINEST
    single = tolerance >= COARSE and z.dtype.kind == "c" and medium.q <= 1.0
    room = _Room(_Inverse.of(medium, single), z)
    h, J = room.h, medium.shares.size
    slopes, jacobians = np.zeros((z.size, J), z.dtype), np.empty((z.size, J, J), z.dtype)
    iterations = 0
    # from the upper end on, where little is resolved
    for i in range(z.size - 1, -1, -1):
        before = slice(i + 1, z.size)
        if i == z.size - 1:
            first, jacobian = np.zeros(J, z.dtype), None
        elif pace is None:
            first, jacobian = h[i + 1], jacobians[i + 1]
        else:
            first = _carried(h[before][:_BEFORE], slopes[before][:_BEFORE])
            jacobian = _carried(jacobians[before][:_BEFORE])
        found, R, room.residual[i], steps = _root(room.inverse, z[i], first, jacobian, tolerance)
        iterations += steps
        jacobians[i] = medium.jacobian(found, room.put(i, found, R))
        if pace is not None:
            slopes[i] = np.linalg.solve(jacobians[i], -room.squares[i] / medium.n) * pace[i]
    return room.solved(iterations)


def evaluated(medium: Medium, z: NDArray[Any], h: NDArray[Any]) -> Solved:
    """What `solved_on` gives at points whose h (n_z, J) are known, in double precision."""
    room = _Room(_Inverse.of(medium, False), z)
    for i in range(z.size):
        room.put(i, h[i], room.inverse(h[i], z[i]))
    return room.solved(0)


class _Room:
    """Arrays for what is kept of each of the points z."""

    def __init__(self, inverse: _Inverse, z: NDArray[Any]):
        self.inverse, self.z = inverse, z
        (p, d), J = inverse.medium.V.shape, inverse.medium.shares.size
        real = inverse.flat.dtype
        self._parts = ("real", "imag") if z.dtype.kind == "c" else ("real",)
        stored = np.result_type(real, np.complex64 if z.dtype.kind == "c" else real)
        self._S = inverse.flat.reshape(J * p, p)
        self._V = inverse.medium.V.astype(real, copy=False)
        self._one = np.empty((len(self._parts), J, p, p), dtype=real)
        self.h = np.empty((z.size, J), dtype=z.dtype)
        self.X = Tiles(z.size, len(self._parts) * J, p, real)
        self.RV = np.empty((z.size, p, d), dtype=stored)
        self.XV = np.empty((z.size, J, p, d), dtype=stored)
        self.responses, self.squares = np.empty((2, z.size, J), dtype=z.dtype)
        self.traces = np.empty((2, z.size), dtype=z.dtype)
        self.residual = np.zeros(z.size)

    def put(self, i: int, h: NDArray[Any], R: NDArray[Any]) -> NDArray[Any]:
        """Keep what belongs to point i; Tr S_j R S_k R, shape (J, J)."""
        X, medium = self._one, self.inverse.medium
        parts, J, p, _ = X.shape
        own = np.stack([getattr(R, part) for part in self._parts])
        for k, part in enumerate(self._parts):
            np.matmul(self._S, own[k], out=X[k].reshape(J * p, p))
            setattr(self.XV[i], part, X[k] @ self._V)
        self.h[i], self.RV[i] = h, R @ self._V
        self.responses[i] = self.inverse.responses(R)
        self.traces[:, i] = np.trace(R), np.diagonal(R) @ medium.noise
        squares = X.reshape(parts * J, -1) @ own.reshape(parts, -1).T
        self.squares[i] = complex_part(squares.reshape(parts, J, parts, 1))[:, 0]
        products = self.X.put(i, X.reshape(parts * J, p, p))
        return complex_part(products.reshape(parts, J, parts, J))

    def solved(self, iterations: int) -> Solved:
        return Solved(
            self.inverse.medium, self.z, self.h, self.X, self.RV, self.XV, self.responses,
            self.squares, self.traces, self.residual, iterations,
        )  # fmt: skip


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
        moved = math.inf
        while steps < _FIRST_STEPS and moved > _NEAR:
            before = h
            h = medium.nearer(h, inverse.responses(inverse(h, z)) / medium.n)
            moved = medium.distance(h, h - before)
            steps += 1
        jacobian = -np.diag(medium.slope(h))
    R = inverse(h, z)
    g = inverse.responses(R) / medium.n - medium.held(h)
    size = math.inf
    for _ in range(_MOST_STEPS):
        step = -np.linalg.solve(jacobian, g)
        size = medium.distance(h, step)
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
