r"""Infinite width in the plane of the kernel K itself, where the noise of SGD drives the modes.

`WideNodes` sums over both modes of each eigenvalue of the sample covariance C, which carries what
is linear in the transforms. The noise of SGD drives itself and needs functions of them, at every
eigenvalue k of K. docs/theory.md, section 16.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.exact import Exact, interpolating
from dmft_rf.curves.nodes import Nodes
from dmft_rf.numerics.contour import Contour
from dmft_rf.numerics.estimate import EPS
from dmft_rf.spectra.kernel_transforms import KernelTransforms

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import WideSpectrum


class KernelNodes(Nodes):
    """One-point functions of U/psi_p at infinite width on a contour in its own plane.

    Parameters
    ----------
    law : WideSpectrum
    contour : Contour
        In the plane of k.
    """

    _content = ("law", "contour")

    law: WideSpectrum

    def __init__(self, law: WideSpectrum, contour: Contour):
        self.law, self.contour = law, contour
        self.seal()

    @lazy
    def _transforms(self) -> KernelTransforms:
        return KernelTransforms.at(self.law, self.points)

    @property
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (K - k)^{-1} V."""
        return self._transforms.signal

    @property
    def S_test(self) -> Complex:
        """(1/d) Tr Q M^T (K - k)^{-1} M."""
        return self._transforms.test

    @property
    def x_bulk(self) -> Complex:
        """The transform of k times the law of K, per dimension, atoms included."""
        return self._transforms.weight

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """Sizes of its terms; there is no q_bulk."""
        return np.zeros(self.points.size), self._transforms.weight_size

    @property
    def outside(self) -> Array:
        """Nothing is left out."""
        return np.empty((0, 3))

    @property
    def cancelled(self) -> Array:
        """The transforms of the law of C are products."""
        return np.ones(self.points.size)

    @lazy
    def exact(self) -> Exact:
        """Mass b^2, and [1/k]."""
        return interpolating(self.law)

    @lazy
    def noise(self) -> Array:
        """Rounding of the place of each node and of kappa there, relative."""
        b2, vn, gamma2 = self.law.constants
        law, k = self.law.sample, np.abs(self.points)
        x, kappa = self._transforms.places, self._transforms.ridges
        places = 1.0 + 0.5 * math.log(self.top / self.contour.left)
        slope = 1.0 - law.w @ (law.lam[:, None] / (law.lam[:, None] + kappa)) ** 2 / law.psi_n
        moved = EPS * places * (k + b2 + vn + b2 * vn / k) / gamma2
        relative = moved * (1.0 / np.abs(x) + 1.0 / np.abs(slope * kappa))
        return np.asarray(EPS * places + relative)
