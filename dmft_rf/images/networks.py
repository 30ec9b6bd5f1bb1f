"""Exact networks on drawn rows of a pool: plain Monte Carlo of what the equations average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.images.averages import noise_moments

if TYPE_CHECKING:
    from dmft_rf.images.image_model import ImageModel

#: Networks that are drawn, unless another number is asked for.
DRAWS = 10


@dataclass(frozen=True, eq=False)
class DrawnNetworks(Frozen):
    """Networks in the eigenbases of their U = Q diag(lambda) Q^T, with V' = Q^T V.

    Attributes
    ----------
    places : (R, p) array
        lambda.
    learned : (R, p) array
        sum_a V'_ia^2/d, the weights of S_VV.
    known : (R, p) array
        sum_a V'_ia (Q^T V_test)_ia/d.
    seen : (R, p) array
        (Q^T U_test Q)_ii/d.
    pairs : (R, p, p) array
        (Q^T U_test Q)_ij (V' V'^T)_ij/d.
    """

    places: Array
    learned: Array
    known: Array
    seen: Array
    pairs: Array


def drawn_networks(model: ImageModel, draws: int = DRAWS) -> DrawnNetworks:
    """Networks of a model: W is its own, the rows are drawn from (seed, number of the draw)."""
    pool, moments = model.pool, model.moments
    (N, d), n = pool.rows.shape, model.n
    U_pool = moments.basis @ (moments.S + np.diag(moments.noise)) @ moments.basis.T
    V_pool = moments.basis @ moments.V
    found = []
    for draw in range(draws):
        inside = np.random.default_rng([model.seed, draw]).permutation(N)[:n]
        own = noise_moments(pool.W, pool.rows[inside], pool.t, pool.activation)
        U, V = own.U, own.V
        places, Q = np.linalg.eigh(U)
        modes = Q.T @ V
        test = Q.T @ ((N * U_pool - n * U) / (N - n)) @ Q
        known = Q.T @ ((N * V_pool - n * V) / (N - n))
        found.append(
            (
                places,
                np.einsum("ia,ia->i", modes, modes) / d,
                np.einsum("ia,ia->i", modes, known) / d,
                np.diag(test) / d,
                test * (modes @ modes.T) / d,
            )
        )
    return DrawnNetworks(*(np.stack(part) for part in zip(*found, strict=True)))
