r"""The average over which samples of a pool are trained on, for features that are drawn.

n samples of a pool of N are trained on, q = n/N, a = 1 - q. With f_nu = E_xi[sigma] of sample nu
and N_0, V averaged over the pool (`NoiseMoments`),

    U = N_0 + (1/n) sum_{trained on} f f^T.

The rows are in J classes of share c_j within which they count as alike, S_j is the mean of f f^T
over class j. A row that is trained on has f^T (U - z)^{-1} f/n = h/(1 + h), one that is not has h,
and the average (U - z)^{-1} = R is that in which each row counts by its mean scattering,

    R = (sum_j c_j S_j/(1 + a h_j) + N_0 - z)^{-1},
    Tr(S_j R)/n = h_j (1 + a h_j)/(1 + h_j).                                                 (1)

q = 0 is an endless pool, and q > 1 continues it beyond the pool. Two resolvents meet the same rows,
which correlates them. With w = q/(1 + a h), u = 1 + w h, at z_1 and z_2,

    t = (1 - w_1)(1 - w_2) u_1 u_2/((1 + h_1)(1 + h_2)) + (a/q) w_1 w_2 u_1 u_2,
    s = 1/(1 + q t h_1 h_2/(u_1 u_2)),    eps = t s,
    P_jk = Tr S_j R_1 S_k R_2,  K_j = Tr V^T R_1 S_j R_2 V/d,  M_j = Tr S_j R_1 N_0 R_2,
    Y_j - (1/n) sum_k P_jk c_k eps_k Y_k = K_j,

    T = Tr V^T R_1 N_0 R_2 V/d + sum_j c_j u_1 u_2 s_j Y_j + (1/n) sum_j c_j eps_j Y_j M_j   (2)

is the average of Tr V^T (U - z_1)^{-1} U_test (U - z_2)^{-1} V/d with U_test of the samples that
are not trained on. docs/theory.md, section 18.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError

# relative size of the step that the one-point equations would take next
_TOLERANCE = {"c": 1e-8, "f": 1e-12}
_FIRST_STEPS, _MOST_STEPS = 6, 60
# extrapolation of h along a contour from the nodes before, by their number
_AHEAD = tuple(
    tuple(-((-1.0) ** k) * math.comb(count, k) for k in range(1, count + 1)) for count in range(8)
)
# rows of the matrices that are multiplied at once, times numbers in a row (bounds the memory)
_BLOCK = 2**22
# bytes of matrices at all points that are held in memory; more are held in a temporary file
_IN_MEMORY = 2**30


@dataclass(frozen=True, eq=False)
class Medium(Frozen):
    """A pool in classes, in the basis in which N_0 is diagonal.

    Attributes
    ----------
    n : float
        Samples trained on.
    q : float
        n/N.
    shares : (J,) array
        c_j.
    S : (J, p, p) array
    noise : (p,) array
        Eigenvalues of N_0.
    V : (p, d) array
    """

    n: float
    q: float
    shares: Array
    S: Array
    noise: Array
    V: Array

    @property
    def a(self) -> float:
        """1 - q."""
        return 1.0 - self.q

    def matrix(self, h: NDArray[Any], z: complex) -> NDArray[Any]:
        """R^{-1} of (1) for h (J,), shape (p, p)."""
        weights = self.shares / (1.0 + self.a * h)
        flat, p = self.S.reshape(weights.size, -1), self.noise.size
        total: NDArray[Any] = np.empty((p, p), dtype=weights.dtype)
        if np.iscomplexobj(weights):
            total.real, total.imag = (
                (part @ flat).reshape(p, p) for part in (weights.real.copy(), weights.imag.copy())
            )
        else:
            total[...] = (weights @ flat).reshape(p, p)
        total[np.diag_indices(p)] += self.noise - z
        return total

    def held(self, h: NDArray[Any]) -> NDArray[Any]:
        """Right side of (1)."""
        return h * (1.0 + self.a * h) / (1.0 + h)

    def response(self, R: NDArray[Any]) -> NDArray[Any]:
        """Left side of (1), shape (J,)."""
        flat = self.S.reshape(self.shares.size, -1)
        if np.iscomplexobj(R):
            return (flat @ R.real.ravel() + 1j * (flat @ R.imag.ravel())) / self.n
        return flat @ R.ravel() / self.n

    def released(self, held: NDArray[Any]) -> NDArray[Any]:
        """h of the right side of (1): the root that vanishes with it."""
        # a h^2 + (1 - held) h - held = 0
        b = 1.0 - held
        root: NDArray[Any] = 2.0 * held / (b + np.sqrt(b * b + 4.0 * self.a * held))
        return root

    def slope(self, h: NDArray[Any]) -> NDArray[Any]:
        """Derivative of the right side of (1)."""
        return (1.0 + 2.0 * self.a * h + self.a * h * h) / (1.0 + h) ** 2

    def jacobian(self, h: NDArray[Any], XX: NDArray[Any]) -> NDArray[Any]:
        """Of the left side minus the right side of (1) by h, with XX_jk = Tr S_j R S_k R."""
        a = self.a
        moved = a * self.shares / (1.0 + a * h) ** 2
        total: NDArray[Any] = XX * moved / self.n - np.diag(self.slope(h))
        return total


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
        Steps in total.
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
        return self.R @ self.medium.V

    @lazy
    def S_VV(self) -> NDArray[Any]:
        """Tr V^T R V/d at the points."""
        V = self.medium.V
        return np.einsum("ia,zia->z", V, self.RV) / V.shape[1]

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

    @lazy
    def pairs(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """T of (2) at (z_i, z_j) and at (z_i, conj z_j), each (n_z, n_z)."""
        m = self.medium
        J, count = m.shares.size, self.z.size
        plain, mixed = _traces(self.X, self.R, m.noise)
        d = m.V.shape[1]
        left = (self.X @ m.V).reshape(count * J, -1)
        middle = (m.noise[:, None] * self.RV).reshape(count, -1)
        right = self.RV.reshape(count, -1)
        found = []
        for traces, other, h in ((plain, right, self.h), (mixed, right.conj(), self.h.conj())):
            K = (left @ other.T / d).reshape(count, J, count).transpose(0, 2, 1)
            start = middle @ other.T / d
            found.append(self._assembled(traces, K, start, h))
        return found[0], found[1]

    def _assembled(
        self,
        traces: NDArray[Any],
        K: NDArray[Any],
        start: NDArray[Any],
        other: NDArray[Any],
    ) -> NDArray[Any]:
        m = self.medium
        J = m.shares.size
        h1, h2 = self.h[:, None, :], other[None, :, :]
        w1, w2 = m.q / (1.0 + m.a * h1), m.q / (1.0 + m.a * h2)
        u = (1.0 + w1 * h1) * (1.0 + w2 * h2)
        # (a/q) w_1 w_2, without the division where q = 0
        again = m.a * m.q / ((1.0 + m.a * h1) * (1.0 + m.a * h2))
        t = u * ((1.0 - w1) * (1.0 - w2) / ((1.0 + h1) * (1.0 + h2)) + again)
        s = 1.0 / (1.0 + m.q * t * h1 * h2 / u)
        factor = m.shares * t * s / m.n
        P, M = traces[..., :J], traces[..., J]
        system = np.eye(J) - P * factor[..., None, :]
        Y = np.linalg.solve(system, K[..., None])[..., 0]
        total: NDArray[Any] = start + ((m.shares * u * s + factor * M) * Y).sum(axis=-1)
        return total


def _traces(X: NDArray[Any], R: NDArray[Any], noise: Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tr X_j(1) X_k(2) for k < J and Tr X_j(1) N_0 R_2 for k = J, plain and with conj of 2.

    Each (n_z, n_z, J, J + 1).
    """
    count, J, p, _ = X.shape
    size = max(1, _BLOCK // (count * (J + 1) * p))
    total: NDArray[Any] = np.zeros((2, count * J, 2, count * (J + 1)))
    for start in range(0, p, size):
        rows = slice(start, min(start + size, p))
        left = X[:, :, rows, :].reshape(count * J, -1)
        right = np.empty((count, J + 1, rows.stop - start, p), dtype=X.dtype)
        right[:, :J] = X[:, :, :, rows].swapaxes(2, 3)
        right[:, J] = R[:, rows, :] * noise  # R is symmetric
        right = right.reshape(count * (J + 1), -1)
        stacked = [np.concatenate([part.real, part.imag]) for part in (left, right)]
        total += (stacked[0] @ stacked[1].T).reshape(total.shape)
    rr, ri, ir, ii = total[0, :, 0], total[0, :, 1], total[1, :, 0], total[1, :, 1]
    both = (rr - ii + 1j * (ri + ir), rr + ii + 1j * (ir - ri))
    shaped = [one.reshape(count, J, count, J + 1).transpose(0, 2, 1, 3) for one in both]
    return shaped[0], shaped[1]


def solved_on(medium: Medium, z: NDArray[Any]) -> Solved:
    """Solve (1) along a path ``z`` of the upper half-plane, or at real points below the spectrum.

    At complex points the leverages are off by 1e-8 of themselves at most, at real ones by 1e-12.

    Raises
    ------
    ConvergenceError
        If no solution of the upper half-plane is found at a point.
    """
    J, p = medium.shares.size, medium.noise.size
    kind = z.dtype
    h = np.empty((z.size, J), dtype=kind)
    R, X = _space((z.size, p, p), kind), _space((z.size, J, p, p), kind)
    residual = np.empty(z.size)
    iterations, jacobian = 0, None
    # from the upper end on, where little is resolved
    for done, i in enumerate(range(z.size - 1, -1, -1)):
        ahead = _AHEAD[min(done, len(_AHEAD) - 1)]
        first = sum((c * h[i + 1 + k] for k, c in enumerate(ahead)), np.zeros(J, dtype=kind))
        h[i], R[i], residual[i], steps = _root(medium, complex(z[i]), first, jacobian, kind)
        iterations += steps
        for j in range(J):
            X[i, j] = _product(medium.S[j], R[i])
        turned = np.ascontiguousarray(X[i].swapaxes(1, 2)).reshape(J, -1)
        XX = X[i].reshape(J, -1) @ turned.T
        jacobian = medium.jacobian(h[i], XX)
    return Solved(medium, z, h, R, X, residual, iterations)


def _space(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Room for matrices: in memory, or in a file without a name where they are too many."""
    if math.prod(shape) * kind.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="dmft_rf") as file:
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


def _product(S: Array, R: NDArray[Any]) -> NDArray[Any]:
    if np.iscomplexobj(R):
        return (S @ R.real) + 1j * (S @ R.imag)
    return S @ R


def _root(
    medium: Medium,
    z: complex,
    h: NDArray[Any],
    jacobian: NDArray[Any] | None,
    kind: np.dtype[Any],
) -> tuple[NDArray[Any], NDArray[Any], float, int]:
    """h and R at one point by Broyden's method from h; without a jacobian h is iterated first."""
    at = z if kind.kind == "c" else z.real

    def off(h: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        R = np.linalg.inv(medium.matrix(h, at))
        return medium.response(R), R

    steps = 0
    if jacobian is None:
        # far from the spectrum, or below it, each step brings it nearer
        for _ in range(_FIRST_STEPS):
            h = medium.released(off(h)[0])
        steps = _FIRST_STEPS
        jacobian = -np.diag(medium.slope(h))
    held, R = off(h)
    g = held - medium.held(h)
    size = math.inf
    for _ in range(_MOST_STEPS):
        step = -np.linalg.solve(jacobian, g)
        size = float(np.max(np.abs(step) / (np.abs(h) + 1e-300)))
        if not size > _TOLERANCE[kind.kind]:
            break
        h = h + step
        steps += 1
        held, R = off(h)
        before, g = g, held - medium.held(h)
        change = g - before - jacobian @ step
        jacobian = jacobian + np.outer(change, step.conj()) / np.vdot(step, step)
    physical = bool(np.all(h.imag > 0.0)) if kind.kind == "c" else bool(np.all(h > -1.0))
    if not (size <= _TOLERANCE[kind.kind] and physical):
        pool = f"{medium.n / medium.q:g} samples" if medium.q else "an endless pool"
        raise ConvergenceError(
            f"the leverages at z = {at} were not found for n = {medium.n:g} of {pool}",
            residual=size,
        )
    return h, R, size, steps


@dataclass(frozen=True, eq=False)
class AtPoints(Frozen):
    """What losses need of the solution at points z (n_z,): numbers, no matrices.

    Attributes
    ----------
    h : (n_z, J) array
    S_VV, trace, seen : (n_z,) arrays
        Tr V^T R V/d, Tr R/p and Tr R U_test/d.
    plain, mixed : (n_z, n_z) arrays
        T at (z_i, z_j) and at (z_i, conj z_j).
    residual : (n_z,) array
        Relative size of the last step.
    iterations : int
        Steps in total.
    """

    h: NDArray[Any]
    S_VV: NDArray[Any]
    trace: NDArray[Any]
    seen: NDArray[Any]
    plain: NDArray[Any]
    mixed: NDArray[Any]
    residual: Array
    iterations: int


def at_points(medium: Medium, z: NDArray[Any]) -> AtPoints:
    """Solve (1) and (2) at points ``z``, which are those of `solved_on`; as that raises."""
    s = solved_on(medium, z)
    return AtPoints(s.h, s.S_VV, s.trace, s.seen, *s.pairs, s.residual, s.iterations)


def row_leverages(medium: Medium, means: Array) -> Array:
    """h of every row (N,) at z = 0, for a pool in one class."""
    R = solved_on(medium, np.zeros(1)).R[0]
    held = np.einsum("in,in->n", means, R @ means) / medium.n
    return np.asarray(medium.released(held))
