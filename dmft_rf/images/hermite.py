r"""Hermite coefficients of an activation under a Gaussian of any mean and width.

For a pre-activation h = m + s z with z standard normal, and He_k the probabilists' Hermite
polynomials,

    c_k(m, s) = E[sigma(m + s z) He_k(z)]/sqrt(k!),     M(m, s) = E[sigma(m + s z)^2],

so that E[sigma(h_1) sigma(h_2)] = sum_k c_k(1) c_k(2) corr^k for a Gaussian pair (F. G. Mehler,
J. reine angew. Math. 66, 161 (1866)). These are the features of a random network averaged over
the noise of the diffusion, conditional on a sample (arXiv:2505.17638, section 4).

Three ways, by what the activation is:

- smooth: the trapezoidal rule in z. It converges exponentially for a function analytic in a strip,
  and the poles of tanh(m + s z) lie at a distance pi/(2 s); its step is halved until nothing
  changes. (A Gauss-Hermite rule of the same size is far worse.)
- ReLU: in closed form.
- other activations with kinks: Gauss-Legendre rules between the kinks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError

if TYPE_CHECKING:
    from dmft_rf.model.activation import Activation

_STEPS = (0.5, 0.375, 0.25, 0.1875, 0.125, 0.09, 0.0625)
_TOLERANCE = 1e-13
_LEGENDRE = 64
# elements of sigma(m + s z) that are held at once
_BLOCK = 2**22


def hermite_values(z: NDArray[Any], count: int) -> Array:
    """He_k(z)/sqrt(k!) for k < ``count`` by the three-term recurrence, shape (count, *z.shape)."""
    out = np.empty((count, *z.shape))
    out[0] = 1.0
    if count > 1:
        out[1] = z
    for k in range(1, count - 1):
        out[k + 1] = (z * out[k] - math.sqrt(k) * out[k - 1]) / math.sqrt(k + 1.0)
    return out


@dataclass(frozen=True)
class HermiteRule:
    """c_0 ... c_{count-1} and M of an activation, for widths up to ``widest``.

    Attributes
    ----------
    activation : Activation
    count : int
        Number of coefficients, K + 1.
    widest : float
        Largest standard deviation s that will be asked for.
    error : float
        Largest change of any coefficient when the trapezoidal step is halved, on means across
        [-8, 8]; rounding for the other two ways.
    """

    activation: Activation
    count: int
    widest: float
    step: float
    error: float

    @classmethod
    def of(cls, activation: Activation, count: int, widest: float) -> HermiteRule:
        """Choose the step of the rule.

        Raises
        ------
        ConvergenceError
            If no step down to 1/16 is fine enough: a smooth activation with structure that is
            much narrower than ``widest``.
        """
        if activation.kinks:
            return cls(activation, count, widest, 0.0, 1e-15)
        means = np.linspace(-8.0, 8.0, 41)
        widths = np.full(means.size, widest)
        error = math.inf
        for step in _STEPS:
            coarse = cls(activation, count, widest, step, 0.0)._smooth(means, widths)
            fine = cls(activation, count, widest, 0.5 * step, 0.0)._smooth(means, widths)
            size = max(1.0, float(np.max(np.abs(fine[0]))))
            error = max(float(np.max(np.abs(a - b))) for a, b in zip(coarse, fine, strict=True))
            if error <= _TOLERANCE * size**2:
                return cls(activation, count, widest, step, error)
        raise ConvergenceError(
            f"activation {activation.name!r}: the Gaussian average over a width of {widest:.3g} "
            f"is not resolved, halving the step changes it by {error:.1e}",
            residual=error,
        )

    def __call__(self, mean: Array, width: Array) -> tuple[Array, Array]:
        """Coefficients and second moment.

        Parameters
        ----------
        mean, width : arrays of one shape (...)
            m and s.

        Returns
        -------
        c : (count, ...) array
        second_moment : (...) array
        """
        m = np.asarray(mean, dtype=float)
        s = np.broadcast_to(np.asarray(width, dtype=float), m.shape)
        if self.activation.name == "relu":
            c, M = _relu(m.ravel(), s.ravel(), self.count)
        else:
            way = self._kinked if self.activation.kinks else self._smooth
            c = np.empty((self.count, m.size))
            M = np.empty(m.size)
            block = max(1, _BLOCK // 128)
            flat_m, flat_s = m.ravel(), s.ravel()
            for i in range(0, m.size, block):
                c[:, i : i + block], M[i : i + block] = way(
                    flat_m[i : i + block], flat_s[i : i + block]
                )
        return c.reshape(self.count, *m.shape), M.reshape(m.shape)

    def _smooth(self, m: Array, s: Array) -> tuple[Array, Array]:
        # phi(z) He_k(z)/sqrt(k!) has fallen to 1e-18 of its size at this z
        reach = 9.0 + 0.8 * math.sqrt(2.0 * self.count)
        n = math.ceil(reach / self.step)
        z = self.step * np.arange(-n, n + 1)
        density = self.step * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        values = self.activation(m[:, None] + s[:, None] * z)
        kernel = hermite_values(z, self.count) * density
        return kernel @ values.T, (values * values) @ density

    def _kinked(self, m: Array, s: Array) -> tuple[Array, Array]:
        """Gauss-Legendre on unit panels in z, cut where a kink lies."""
        reach = 9.0 + 0.8 * math.sqrt(2.0 * self.count)
        fixed = np.linspace(-reach, reach, 9)
        ends = np.broadcast_to(fixed, (m.size, fixed.size))
        kinks = (np.array(self.activation.kinks) - m[:, None]) / s[:, None]
        edges = np.sort(np.concatenate([ends, np.clip(kinks, -reach, reach)], axis=1), axis=1)
        nodes, weights = np.polynomial.legendre.leggauss(_LEGENDRE // 2)
        c, M = np.zeros((self.count, m.size)), np.zeros(m.size)
        for left, right in zip(edges.T[:-1], edges.T[1:], strict=True):
            half = 0.5 * (right - left)[:, None]
            z = 0.5 * (left + right)[:, None] + half * nodes
            density = half * weights * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
            values = self.activation(m[:, None] + s[:, None] * z)
            M += np.einsum("ij,ij->i", density, values * values)
            c += np.einsum("kij,ij->ki", hermite_values(z, self.count), density * values)
        return c, M


def _relu(m: Array, s: Array, count: int) -> tuple[Array, Array]:
    r"""Closed form for max(x, 0).

    With a = m/s and the normal density phi and distribution function Phi at a,

    c_0 = s (a Phi + phi), c_1 = s Phi, c_k = s phi(a) He_{k-2}(-a)/sqrt(k!),
    M = s^2 [(1 + a^2) Phi + a phi].
    """
    from scipy.special import ndtr

    a = m / s
    phi, Phi = np.exp(-0.5 * a * a) / math.sqrt(2.0 * math.pi), ndtr(a)
    c = np.empty((count, m.size))
    c[0] = s * (a * Phi + phi)
    if count > 1:
        c[1] = s * Phi
    if count > 2:
        # normalised He_{k-2}, times phi: bounded for all a and k
        k = np.arange(2, count)
        c[2:] = hermite_values(-a, count - 2) * (s * phi) / np.sqrt(k * (k - 1.0))[:, None]
    return c, s * s * ((1.0 + a * a) * Phi + a * phi)
