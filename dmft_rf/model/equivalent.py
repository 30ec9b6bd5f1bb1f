"""The numbers by which an activation enters the theory (`dmft_rf.model.coefficients`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Coefficients:
    """What the theory needs to know about an activation at a diffusion time.

    Attributes
    ----------
    mu0, mu1 : float
        c_0 and c_1, the mean and the linear part.
    a, b : float
        a_t = mu_1/Gamma_t and b_t = sqrt(Delta_t) mu_1/Gamma_t; they have the sign of mu_1.
    v2, s2 : float
        v_t^2 and s_t^2; v2 + s2 = residual_variance.
    gamma2 : float
        gamma^2 = e^{-2t} a_t^2.
    second_moment : float
        ||sigma||^2 = E[sigma(Gamma_t z)^2] = mu_0^2 + mu_1^2 + residual_variance.
    residual_variance : float
        N = sum_{k>=2} c_k^2, computed as a square and not as that difference.
    Delta_t : float
        1 - e^{-2t}.
    Gamma_t : float
        The standard deviation of a pre-activation (not its square).
    rho, one_minus_rho : float
        varrho and 1 - varrho = Delta_t/Gamma_t^2, each to full relative precision.
    error_estimate : float
        The largest relative difference, over mu1, v2, s2, second_moment and residual_variance,
        between the values and those of a second quadrature rule with 12 in place of 16 nodes per
        panel and dimension, and the rounding that both share (12 eps, times N/v_t^2 where v_t^2 is
        a difference from N). It measures discretisation and the rounding noise of the activation,
        usually from above. mu0 may vanish; its error is relative to sqrt(second_moment).
    """

    mu0: float
    mu1: float
    a: float
    b: float
    v2: float
    s2: float
    gamma2: float
    second_moment: float
    residual_variance: float
    Delta_t: float
    Gamma_t: float
    rho: float
    one_minus_rho: float
    error_estimate: float
