r"""How far what is generated is from the data and from the sample: integrals over the law of C.

With the generated variance Lambda(x), the target sigma_a = e^{-2t} lambda_a + Delta_t and the
diffused sample C_t = e^{-2t} x + Delta_t at the end of the reverse process, per dimension and with
r = sigma_a/Lambda:

    KL(data || generated) = sum_a w_a int dmu_a (r - 1 - ln r)/2,    reversed: (1/r - 1 + ln r)/2,
    Frechet distance (squared W_2) <= sum_a w_a int dmu_a (sqrt(sigma_a) - sqrt(Lambda))^2.

docs/theory.md, section 15.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dmft_rf.generated.process import Run, SamplePoints
from dmft_rf.numerics.estimate import ROUNDING
from dmft_rf.spectra.sample_law import SampleLaw

NAMES = (
    "kl", "reverse_kl", "frechet", "overlap", "likelihood_gap", "split_distance", "trace",
)  # fmt: skip


# rounding of Lambda: it has gone through some fifty panels, each an exponential of a sum
_ROUNDING = 16.0 * ROUNDING


def measured(
    points: SamplePoints, run: Run, law: SampleLaw, t_end: float
) -> tuple[dict[str, float], dict[str, float]]:
    """The quantities of ``NAMES``, and the rounding in each."""
    signal, noise = math.exp(-2.0 * t_end), -math.expm1(-2.0 * t_end)
    target = signal * law.lam + noise
    sample = signal * points.x + noise
    per_atom = points.weights  # with the weights of the data
    all_, of_target = per_atom.sum(axis=0), target @ per_atom
    of_inverse, of_root = (1.0 / target) @ per_atom, np.sqrt(target) @ per_atom
    inverse, root = np.exp(-run.logarithm), np.exp(0.5 * run.logarithm)

    def total(weights: NDArray[np.complex128], f: NDArray[np.complex128]) -> tuple[float, float]:
        terms = weights * f
        return float(terms.real.sum()), _ROUNDING * float(np.abs(terms).sum())

    trace, trace_off = total(all_, run.variance)
    ratio, ratio_off = total(of_target, inverse)
    inverted, inverted_off = total(of_inverse, run.variance)
    log, log_off = total(all_, run.logarithm)
    overlap, overlap_off = total(of_root, root)
    of_sample, of_sample_off = total(all_, sample * run.variance)
    of_data, of_data_off = total(of_target, run.variance)
    own, own_off = total(all_, sample * inverse)
    known = float(law.w @ np.log(target))
    mean_root = (per_atom @ root).real
    alike = float(mean_root @ (mean_root / law.w))
    values = {
        "kl": 0.5 * (ratio - 1.0 + log - known),
        "reverse_kl": 0.5 * (inverted - 1.0 - log + known),
        "frechet": float(law.w @ target) + trace - 2.0 * overlap,
        "overlap": of_sample / of_data,
        "likelihood_gap": 0.5 * (ratio - own),
        "split_distance": (trace - alike) / trace,
        "trace": trace,
    }
    off = {
        "kl": 0.5 * (ratio_off + log_off) + ROUNDING,
        "reverse_kl": 0.5 * (inverted_off + log_off) + ROUNDING,
        "frechet": trace_off + 2.0 * overlap_off + ROUNDING * trace,
        "overlap": (of_sample_off + values["overlap"] * of_data_off) / of_data,
        "likelihood_gap": 0.5 * (ratio_off + own_off),
        "split_distance": 4.0 * trace_off / trace,
        "trace": trace_off,
    }
    return values, off
