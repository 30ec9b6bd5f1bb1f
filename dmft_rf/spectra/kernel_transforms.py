r"""Infinite width: one-point functions in the plane of the kernel K itself.

With c(k) = (k - b^2)(k - v_n)/(gamma^2 k), the place of k in the plane of the sample covariance C,
and m_a the transforms of the laws of C seen from the eigenspaces of Sigma, m their mean,

    S_VV(k) = b^2 (k - v_n)/(gamma^2 k) m(c(k)),
    S_test(k) = (k - v_n)/(gamma^2 k) sum_a w_a a^2 sigma_a m_a(c(k)),
    integral k'/(k' - k) dm_K = 1 + k c'(k) m(c(k)) + (psi_n - 1) v_n/(v_n - k),

the last with the law of K per dimension, all of its atoms included. docs/theory.md, section 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.kernels.infinite_width import sample_parameters, seen_from

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import WideSpectrum


@dataclass(frozen=True, eq=False)
class KernelTransforms(Frozen):
    """One-point functions at points k off the spectrum of K, each shaped like k.

    Attributes
    ----------
    places, ridges
        c(k), mirrored into the upper half-plane, and the effective ridge of C there.
    signal, test
        S_VV and S_test.
    weight, weight_size
        Integral of k'/(k' - k) against the law of K per dimension, and the sizes of its terms.
    """

    places: Complex
    ridges: Complex
    signal: Complex
    test: Complex
    weight: Complex
    weight_size: Array

    @classmethod
    def at(cls, law: WideSpectrum, k: Complex) -> KernelTransforms:
        """Solve for the effective ridge at every point."""
        b2, vn, gamma2 = law.constants
        sample = law.sample
        (one,) = law.model.classes
        places = sample_parameters(k, b2, vn, gamma2)
        mirrored = places.imag < 0.0
        places = np.where(mirrored, places.conj(), places)
        ridges = sample.ridges(places)
        seen = seen_from(places, ridges, sample.lam)
        seen = np.where(mirrored, seen.conj(), seen)
        mean = sample.w @ seen
        tested = (sample.w * one.linear**2 * one.diffused) @ seen
        aligned = (1.0 - vn / k) / gamma2
        mixed = (k - b2 * vn / k) / gamma2 * mean
        lone = (law.model.psi_n - 1.0) * vn / (vn - k)
        return cls(
            places,
            ridges,
            b2 * aligned * mean,
            aligned * tested,
            1.0 + mixed + lone,
            1.0 + np.abs(mixed) + np.abs(lone),
        )
