r"""The equations of a medium without matrices at the points of a contour.

At z = 0 the equations are solved with matrices; alpha_j = 1/(1 + a h_j) there. In the orthonormal
basis in which

    sum_j c_j alpha_j S_j + N_0 - V V^T = diag(rho)                                          (1)

and V^T diag(1/rho) V are diagonal, off-diagonal elements of R^{-1} - V V^T are proportional to
changes of 1/(1 + a h_j), vanish at z = 0, and are left out elsewhere: with sigma_jA = S_j,AA,

    R = G - G V C V^T G,    C = (1 + V^T G V)^{-1},
    1/G_A = rho_A - z + sum_j c_j (1/(1 + a h_j) - alpha_j) sigma_jA.

V is not in (1) because its part of N_0 is large and has off-diagonal elements of its size once a
weight changes; it is low in rank. Two-point functions are sums over A of G at z_1, z_2 and

    P_jk = sum_AB G_A S_jAB S_kAB G_B + p_jk [what contains C],    K_j = k_j Tr V^T R S_j R V/d,
    M_j = Tr S_j R diag(rho) R + d K_j - sum_k c_k alpha_k P_jk,

the last because of (1), which N_0 is taken from. In what contains C in Tr S_j R, P_jk and
Tr S_j R diag(rho) R the elements of S_j and of C off the diagonal are left out, and it is scaled by
the numbers that make it exact at z = 0. So is all that is read off z = 0: the losses at the end of
training. For large z, G is -1/z, and all but K_j exact to leading order. docs/theory.md, section
18.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.images.inverse import symmetric_inverse
from dmft_rf.images.medium import Medium
from dmft_rf.images.pairs import AtPoints, assembled
from dmft_rf.images.path import complex_part

# relative size of the last step of h; steps without a derivative, and at most
_TOLERANCE, _FIRST_STEPS, _MOST_STEPS = 1e-10, 6, 60


class Scales(NamedTuple):
    """What makes the parts that contain C exact at z = 0.

    Attributes
    ----------
    responses : (J,) array
        Of Tr S_j R.
    products : (J, J) array
        p_jk.
    learned : (J,) array
        k_j.
    noise : (J,) array
        Of Tr S_j R diag(rho) R.
    """

    responses: Array
    products: Array
    learned: Array
    noise: Array


@dataclass(frozen=True, eq=False)
class Modes(Frozen):
    """A medium in the basis of (1).

    Attributes
    ----------
    medium : Medium
    alpha : (J,) array
        c_j alpha_j.
    rho : (p,) array
    S : (J, p, p) array
    sizes : (J, p) array
        sigma.
    V : (p, d) array
    scales : Scales
    """

    medium: Medium
    alpha: Array
    rho: Array
    S: Array
    sizes: Array
    V: Array
    scales: Scales

    @classmethod
    def of(cls, medium: Medium, h: Array) -> Modes:
        """From the leverages (J,) at z = 0.

        Raises
        ------
        ConvergenceError
            If N_0 - V V^T is not positive on the diagonal.
        """
        J, d = h.size, medium.V.shape[1]
        alpha = medium.shares / (1.0 + medium.a * h)
        inverse = medium.matrix(h, 0.0)
        rho, Q = np.linalg.eigh(inverse - medium.V @ medium.V.T)
        V = Q.T @ medium.V
        V = V @ np.linalg.eigh(V.T @ (V / rho[:, None]))[1]
        S = np.stack([Q.T @ one @ Q for one in medium.S])
        ones = Scales(np.ones(J), np.ones((J, J)), np.ones(J), np.ones(J))
        first = cls(medium, alpha, rho, S, np.einsum("jaa->ja", S).copy(), V, ones)
        if not first.lowest > 0.0:
            raise ConvergenceError(
                "the noise part of the features is linear, N_0 = V V^T, in some direction, where "
                "the scalar route has nothing to divide by: route='equations'"
            )
        point = _Points.of(first, np.zeros(1), h[None])
        sums = next(_sums(first, point))
        # the same from matrices; Tr S_j R N_0 R = Tr S_j R - sum_k c_k alpha_k P_jk
        R = symmetric_inverse(inverse)
        X, RV = medium.S @ R, R @ medium.V
        products = np.einsum("jab,kba->jk", X, X, optimize=True)
        responses = np.einsum("jaa->j", X)
        learned = np.einsum("jac,ac->j", medium.S @ RV, RV) / d
        scales = Scales(
            (point.G @ first.sizes.T - responses)[0] / point.hidden_responses[0],
            (products - sums.products[0, 0]) / sums.hidden_products[0, 0],
            learned / sums.learned[0, 0],
            (responses - d * learned - sums.noise[0, 0]) / sums.hidden_noise[0, 0],
        )
        return replace(first, scales=scales)

    @property
    def lowest(self) -> float:
        """Least diagonal element of N_0 - V V^T, below which G has no pole."""
        return float(np.min(self.rho - self.alpha @ self.sizes))

    def G(self, z: complex, h: NDArray[Any]) -> NDArray[Any]:
        """G at one point, shape (p,)."""
        moved = self.medium.shares / (1.0 + self.medium.a * h) - self.alpha
        found: NDArray[Any] = 1.0 / (self.rho - z + moved @ self.sizes)
        return found

    def responses(self, G: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Tr S_j R and the derivatives Tr S_j R S_k R at one point, shapes (J,) and (J, J)."""
        sizes, squares, scale = self.sizes, self.V**2, self.scales.responses
        C = 1.0 / (1.0 + _real_times(G, squares))
        weighted = sizes * (G * G)
        shared = _real_times(weighted, squares)
        found = sizes @ G - scale * (shared @ C)
        inner = (weighted * (G * _real_times(C, squares.T))) @ sizes.T
        products = weighted @ sizes.T - scale[:, None] * (2.0 * inner - (shared * C**2) @ shared.T)
        return found, products


class _Points(NamedTuple):
    """What is known at each point.

    G (n_z, p), the diagonal of C (n_z, d), R V (n_z, p, d), the diagonal of G V C V^T G (n_z, p),
    and what Tr S_j R loses by it, unscaled (n_z, J).
    """

    G: NDArray[Any]
    C: NDArray[Any]
    RV: NDArray[Any]
    hidden: NDArray[Any]
    hidden_responses: NDArray[Any]

    @classmethod
    def of(cls, modes: Modes, z: NDArray[Any], h: NDArray[Any]) -> _Points:
        G = np.stack([modes.G(*at) for at in zip(z, h, strict=True)])
        squares = modes.V**2
        GV = G[..., None] * modes.V
        RV = GV @ np.linalg.inv(np.eye(GV.shape[2]) + modes.V.T @ GV)
        C = 1.0 / (1.0 + _real_times(G, squares))
        lost = _real_times(G * G * _real_times(C, squares.T), modes.sizes.T)
        return cls(G, C, RV, np.einsum("zab,zab->za", RV, GV), lost)


class _Sums(NamedTuple):
    """Sums at pairs of points: (n_z, n_z, J, J), (n_z, n_z, J) and, the last, (n_z, n_z)."""

    products: NDArray[Any]
    hidden_products: NDArray[Any]
    noise: NDArray[Any]
    hidden_noise: NDArray[Any]
    learned: NDArray[Any]
    start: NDArray[Any]


def _sums(modes: Modes, at: _Points) -> Iterator[_Sums]:
    """At (z_i, z_j), then at (z_i, conj z_j)."""
    sizes, rho, S, (p, d) = modes.sizes, modes.rho, modes.S, modes.V.shape
    J, count = len(sizes), len(at.G)
    diagonals = np.concatenate([sizes, rho[None]])
    # weights of G_1 G_2: with V^2 for what has C on both sides, and alone
    both = (diagonals[:, :, None] * modes.V**2).transpose(1, 0, 2).reshape(p, -1)
    weights = np.concatenate([both, (sizes * rho).T], axis=1)
    across = {(j, k): _real_times(at.G, S[j] * S[k]) for j in range(J) for k in range(j, J)}
    learned = [_pairs_of(at.RV, one) for one in diagonals]
    for conjugate in (False, True):
        G, hidden, C = (x.conj() if conjugate else x for x in (at.G, at.hidden, at.C))
        products = np.empty((count, count, J, J), dtype=G.dtype)
        for (j, k), left in across.items():
            products[..., j, k] = products[..., k, j] = left @ G.T
        found = np.stack([_real_times(one * G, weights) for one in at.G])
        shared, noise = found[..., :-J].reshape(count, count, J + 1, d), found[..., -J:]
        lost = (shared[..., :J, :] * (at.C[:, None] * C)[:, :, None]) @ shared.swapaxes(2, 3)
        for j, k in np.ndindex(J, J + 1):
            weight = sizes[j] * diagonals[k]
            lost[..., j, k] -= (at.G * weight) @ hidden.T + (at.hidden * weight) @ G.T
        RVs = np.stack([complex_part(one, conjugate) for one in learned], axis=-1) / d
        yield _Sums(products, lost[..., :J], noise, lost[..., J], RVs[..., :J], RVs[..., J])


def _pairs_of(RV: NDArray[Any], weight: Array) -> Array:
    """Tr (R V)^T diag(weight) R V of all real and imaginary parts: (parts, n_z) twice."""
    parts = np.stack([RV.real, RV.imag]) if np.iscomplexobj(RV) else RV[None]
    rows = parts.reshape(-1, RV[0].size)
    left = (parts * weight[:, None]).reshape(rows.shape)
    return (left @ rows.T).reshape(parts.shape[:2] * 2)


def _real_times(values: NDArray[Any], matrix: Array) -> NDArray[Any]:
    """The product of complex numbers with a real matrix."""
    if not np.iscomplexobj(values):
        return values @ matrix
    found = np.empty((*values.shape[:-1], *matrix.shape[1:]), dtype=complex)
    found.real, found.imag = values.real @ matrix, values.imag @ matrix
    return found


def scalar_points(modes: Modes, z: NDArray[Any]) -> AtPoints:
    """The equations at points ``z``, a path of the upper half-plane that ends far from 0.

    Raises
    ------
    ConvergenceError
        If no solution of the upper half-plane is found at a point.
    """
    m, scales = modes.medium, modes.scales
    h, residual, steps = _leverages(modes, z)
    at = _Points.of(modes, z, h)
    d = modes.V.shape[1]
    responses = at.G @ modes.sizes.T - scales.responses * at.hidden_responses
    learned = (modes.V.T @ at.RV).reshape(z.size, -1)  # V^T R V
    S_VV = learned[:, :: d + 1].sum(axis=1) / d
    kept = at.G - at.hidden
    noise = kept @ modes.rho + d * S_VV - responses @ modes.alpha
    pairs = []
    for sums, other in zip(_sums(modes, at), (h, h.conj()), strict=True):
        P = sums.products + scales.products * sums.hidden_products
        K = scales.learned * sums.learned
        M = sums.noise + scales.noise * sums.hidden_noise + d * K - P @ modes.alpha
        own = learned.conj() if other is not h else learned
        # Tr V^T R N_0 R V/d
        start = sums.start + (learned @ own.T) / d - K @ modes.alpha
        pairs.append(assembled(m, h[:, None], other[None], P, K, M, start))
    plain, mixed = pairs
    return AtPoints(
        h, S_VV, kept.mean(axis=1), (noise + m.n * (h @ m.shares)) / d,
        plain, mixed, residual, steps, 0.0,
    )  # fmt: skip


def _leverages(modes: Modes, z: NDArray[Any]) -> tuple[NDArray[Any], Array, int]:
    """h at every point (n_z, J) by Newton's method, the size of its last steps, and all steps."""
    m = modes.medium
    h = np.zeros(m.shares.size, dtype=z.dtype)
    found, residual = np.empty((z.size, h.size), dtype=z.dtype), np.empty(z.size)
    steps = 0
    for i in range(z.size - 1, -1, -1):
        if i == z.size - 1:
            # far from the spectrum each step brings it nearer
            for _ in range(_FIRST_STEPS):
                h = m.nearer(h, modes.responses(modes.G(z[i], h))[0] / m.n)
        for _ in range(_MOST_STEPS):
            responses, products = modes.responses(modes.G(z[i], h))
            step = -np.linalg.solve(m.jacobian(h, products), responses / m.n - m.held(h))
            h = h + step
            steps += 1
            residual[i] = np.max(np.abs(step) / np.abs(h))
            if residual[i] <= _TOLERANCE:
                break
        if not (residual[i] <= _TOLERANCE and (h.imag > 0.0).all()):
            raise ConvergenceError(
                f"the leverages at z = {z[i]} were not found for n = {m.n:g} by the scalar route",
                residual=float(residual[i]),
            )
        found[i] = h
    return found, residual, steps
