r"""The law of the sample covariance C = X X^T/n, and that of U at infinite width.

Everything of a network of infinite width is a function of C (kernels.infinite_width). Traces with a
function of Sigma need the law of C as it is seen from each eigenspace lambda of Sigma,

    mu_lambda: transform kappa/(zeta (lambda + kappa)) at zeta = -x,
    density lambda (-Im kappa)/(pi x |lambda + kappa|^2) at x + i0,

whose average over Sigma is the law of C. With fewer samples than directions of the data it has an
atom at x = 0 of mass kappa_0/(lambda + kappa_0), <lambda/(lambda + kappa_0)> = psi_n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.fused_support import ends
from dmft_rf.kernels.infinite_width import effective_ridges, seen_from
from dmft_rf.kernels.sample_covariance import effective_ridge
from dmft_rf.numerics.edge_map import edge_map
from dmft_rf.spectra.closed_form_support import SupportFinder

# nodes per panel of the rule on the axis, the size of the last coefficients that resolves a density
# (twice as many orders are integrated exactly), and how often panels are halved at most
_PANEL, _RESOLVED, _MOST_HALVINGS = 20, 1e-7, 20


@dataclass(frozen=True, eq=False)
class KernelSupport(Frozen):
    """Support of the law of U at infinite width, in units of psi_p and with masses per dimension.

    These are the eigenvalues of the kernel K of the data; U has infinitely many more at its floor.

    Attributes
    ----------
    edges : (n, 2) array
        Bulks, ascending: the family k_- of the samples first, then k_+ of the data directions.
    masses : (n,) array
        Mass of each bulk, in eigenvalues per dimension.
    atoms : (n, 2) array
        Location and mass of b^2 (data directions that the sample misses) and of v_n (samples beyond
        the rank of C), where they are.
    learning_bulks : (n,) array of bool
        Whether a bulk belongs to the family k_+.
    """

    edges: Array
    masses: Array
    atoms: Array
    learning_bulks: NDArray[np.bool_]


class SampleLaw(Frozen):
    """The law of C for ``psi_n`` samples per dimension of data with these eigenvalues.

    Parameters
    ----------
    psi_n : float
    lam, w : (n_atoms,) arrays
        Eigenvalues (ascending, distinct) and weights of Sigma.
    """

    _content = ("psi_n", "lam", "w")

    def __init__(self, psi_n: float, lam: Array, w: Array):
        self.psi_n, self.lam, self.w = psi_n, lam, w
        self._finder = SupportFinder(np.array([1.0, psi_n, 1.0, 0.0, 0.0, 1.0]), lam, w, ends)
        self.seal()

    @lazy
    def edges(self) -> Array:
        """Edges of the bulks of C, ascending, shape (n_bulks, 2)."""
        return np.maximum(self._finder.sample_bulks[0], 0.0)

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of the support, an atom at 0 included."""
        low = 0.0 if self.atoms.any() else float(self.edges[0, 0])
        return low, float(self.edges[-1, 1])

    @lazy
    def atoms(self) -> Array:
        """Mass of the atom at x = 0 in the law seen from each eigenvalue of Sigma, (n_atoms,)."""
        if self.psi_n < float(self._finder.data_w.sum()):
            kappa = self.ridge(0.0)
            return kappa / (self.lam + kappa)
        return np.where(self.lam == 0.0, 1.0, 0.0)

    def seen(self, x: Complex) -> Complex:
        """Stieltjes transform of the law seen from each lambda, (n_atoms, n), Im x > 0."""
        return seen_from(x, self.ridges(x), self.lam)

    def ridge(self, zeta: float) -> float:
        """The effective ridge at zeta = -x >= 0, left of the support."""
        data = self._finder.data_lam, self._finder.data_w
        return float(effective_ridge(zeta, False, self.psi_n, *data))

    def ridges(self, x: Complex) -> Complex:
        """The effective ridge kappa at the points x, Im x >= 0."""
        kappa = effective_ridges(x, self.psi_n, self._finder.data_lam, self._finder.data_w)
        if not np.isfinite(kappa).all():
            bad = complex(x[int(np.argmin(np.isfinite(kappa)))])
            raise ConvergenceError(f"no effective ridge of the sample covariance at x = {bad!r}")
        return kappa

    def densities(self, x: Array) -> Array:
        """Density of the law seen from each lambda at real x > 0, (n_atoms, n)."""
        kappa = self.ridges(x.astype(complex))
        lam = self.lam[:, None]
        found: Array = -kappa.imag * lam / (math.pi * x * np.abs(lam + kappa) ** 2)
        return found

    @lazy
    def on_axis(self) -> tuple[Array, Array]:
        """A rule on the support itself: points x, shape (n,), and weights, shape (n_atoms, n).

        sum_j weights[a, j] f(x_j) is the integral of f against the law seen from lambda_a: the atom
        at 0, and each bulk mapped so that its edges are no singularities, on Gauss-Legendre
        panels that are halved, as where a gap is about to open, until they resolve the density.
        """
        found = [self._on_bulk(float(low), float(high)) for low, high in self.edges]
        points = np.concatenate([x for x, _ in found])
        weights = np.concatenate([weight for _, weight in found], axis=1)
        if self.atoms.any():
            return np.append(0.0, points), np.column_stack([self.atoms, weights])
        return points, weights

    def _on_bulk(self, low: float, high: float) -> tuple[Array, Array]:
        node, weight = np.polynomial.legendre.leggauss(_PANEL)
        # the last two Legendre coefficients of values at the nodes
        orders = np.arange(_PANEL - 2, _PANEL)
        last = np.polynomial.legendre.legvander(node, _PANEL - 1)[:, orders] * weight[:, None]
        last *= orders + 0.5
        waiting, done = [(0.0, math.pi, 0)], []
        while waiting:
            start, end, depth = waiting.pop()
            half = 0.5 * (end - start)
            x, slope = edge_map(low, high, start + half * (node + 1.0))
            density = self.densities(x) * slope
            tail = np.abs(density @ last).max()
            if tail <= _RESOLVED or depth == _MOST_HALVINGS:
                done.append((start, x, density * (half * weight)))
            else:
                middle = start + half
                waiting += [(start, middle, depth + 1), (middle, end, depth + 1)]
        done.sort(key=lambda part: part[0])
        return np.concatenate([part[1] for part in done]), np.concatenate(
            [part[2] for part in done], axis=1
        )

    def kernel(self, b2: float, v2: float, gamma2: float) -> KernelSupport:
        """Support of U at infinite width for these coefficients of the activation."""
        par = np.array([1.0, self.psi_n, b2, v2, 0.0, gamma2])
        finder = SupportFinder(par, self.lam, self.w, ends)
        edges, masses = self._finder.sample_bulks
        bulks, shares = finder.family(edges, 1), masses
        if v2 > 0.0:
            bulks = np.concatenate([finder.family(edges, -1)[::-1, ::-1], bulks])
            shares = np.concatenate([masses[::-1], masses])
        atoms = np.array(finder.poles).reshape(-1, 2)
        learning = np.arange(len(bulks)) >= len(bulks) - len(masses)
        return KernelSupport(bulks, shares, atoms, learning)


def sample_law(psi_n: float, lam: Array, w: Array) -> SampleLaw:
    """`SampleLaw`, kept while it is among the last 16 used.

    It depends neither on the diffusion time nor on the activation.
    """
    return _known(psi_n, lam.tobytes(), w.tobytes())


@lru_cache(maxsize=16)
def _known(psi_n: float, lam: bytes, w: bytes) -> SampleLaw:
    return SampleLaw(psi_n, np.frombuffer(lam), np.frombuffer(w))
