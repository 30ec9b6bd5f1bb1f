"""Averages of activations by formulas and quadratures of their own, in mpmath."""

from collections.abc import Callable

import mpmath as mp

MP_FUNCTIONS: dict[str, Callable[[mp.mpf], mp.mpf]] = {
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
}


def relative(value: float, reference: object) -> float:
    """Relative error, evaluated in the precision of the reference."""
    exact = mp.mpf(reference)
    return float(abs((mp.mpf(value) - exact) / exact)) if exact else abs(value)


def mp_parameters(t: float, sigma_x2: float) -> tuple[mp.mpf, mp.mpf]:
    """Gamma_t^2 and varrho of the theory."""
    signal = mp.exp(-2 * mp.mpf(t)) * mp.mpf(sigma_x2)
    variance = signal - mp.expm1(-2 * mp.mpf(t))
    return variance, signal / variance


def by_trapezoid(name: str, t: float, sigma_x2: float, step: float) -> dict[str, mp.mpf]:
    """All coefficients of an analytic activation, by trapezoid rules in x (dps = 40).

    The trapezoid rule converges exponentially here. For varrho < 1/2 v_t^2 is the Hermite series,
    otherwise s_t^2 = E[(g(M + D) - g(M - D))^2]/2, and the other one the difference from N.
    """
    f = MP_FUNCTIONS[name]
    variance, rho = mp_parameters(t, sigma_x2)
    gamma = mp.sqrt(variance)

    def rule(std: mp.mpf) -> tuple[list[mp.mpf], list[mp.mpf]]:
        h = min(mp.mpf(step), std / 4)
        n = int(mp.ceil(12.5 * std / h))
        x = [h * i for i in range(-n, n + 1)]
        norm = h / (std * mp.sqrt(2 * mp.pi))
        return x, [norm * mp.exp(-y * y / (2 * std**2)) for y in x]

    x, w = rule(gamma)
    z = [y / gamma for y in x]
    sigma = [f(y) for y in x]
    c0 = mp.fdot(w, sigma)
    c1 = mp.fsum(a * b * c for a, b, c in zip(w, z, sigma, strict=True))
    second = mp.fsum(a * b * b for a, b in zip(w, sigma, strict=True))
    total = second - c0**2 - c1**2
    if rho < 0.5:
        v2, k, older, old = mp.mpf(0), 1, [mp.mpf(1)] * len(z), z
        while rho**k > mp.mpf(10) ** -26 * rho**3:
            new = [
                (a * b - mp.sqrt(k) * c) / mp.sqrt(k + 1)
                for a, b, c in zip(z, old, older, strict=True)
            ]
            older, old, k = old, new, k + 1
            c = mp.fsum(
                a * (b - c0 - c1 * y) * h for a, b, y, h in zip(w, sigma, z, new, strict=True)
            )
            v2 += c**2 * rho**k
        s2 = total - v2
    else:
        m, wm = rule(gamma * mp.sqrt((1 + rho) / 2))
        std = gamma * mp.sqrt((1 - rho) / 2)
        h = min(mp.mpf("0.55") * std, mp.mpf(step))
        s2 = mp.mpf(0)
        for j in range(1, int(mp.ceil(12 * std / h)) + 1):
            d = h * j
            inner = mp.fsum(
                a * (f(y + d) - f(y - d) - 2 * d * c1 / gamma) ** 2
                for a, y in zip(wm, m, strict=True)
            )
            s2 += inner * h * mp.exp(-d * d / (2 * std**2)) / (std * mp.sqrt(2 * mp.pi))
        v2 = total - s2
    return {"mu0": c0, "mu1": c1, "second_moment": second, "v2": v2, "s2": s2}


def from_kernel(
    kernel: Callable[[mp.mpf], mp.mpf], mean: mp.mpf, slope: mp.mpf, rho: mp.mpf
) -> dict[str, mp.mpf]:
    """Coefficients from E[sigma(X_1) sigma(X_2)] as a function of the correlation."""
    second = kernel(mp.mpf(1))
    v2 = kernel(rho) - mean**2 - rho * slope**2
    s2 = second - mean**2 - slope**2 - v2
    return {"mu0": mean, "mu1": slope, "second_moment": second, "v2": v2, "s2": s2}


def relu_closed(t: float, sigma_x2: float) -> dict[str, mp.mpf]:
    """Arc-cosine kernel of order one."""
    variance, rho = mp_parameters(t, sigma_x2)

    def kernel(r: mp.mpf) -> mp.mpf:
        return variance / (2 * mp.pi) * (mp.sqrt(1 - r * r) + r * (mp.pi - mp.acos(r)))

    return from_kernel(kernel, mp.sqrt(variance / (2 * mp.pi)), mp.sqrt(variance) / 2, rho)


def erf_closed(t: float, sigma_x2: float) -> dict[str, mp.mpf]:
    """Arcsine kernel."""
    variance, rho = mp_parameters(t, sigma_x2)
    slope = 2 * mp.sqrt(variance / (mp.pi * (1 + 2 * variance)))
    return from_kernel(
        lambda r: 2 / mp.pi * mp.asin(2 * variance * r / (1 + 2 * variance)), mp.mpf(0), slope, rho
    )


def hermite_closed(t: float, sigma_x2: float, power: dict[int, int]) -> dict[str, mp.mpf]:
    """Expand sum_n power[n] x^n, by z^n = sum_k n!/(2^j j! k!) He_k(z), k = n - 2j."""
    variance, rho = mp_parameters(t, sigma_x2)
    c: dict[int, mp.mpf] = {}
    for n, factor in power.items():
        for j in range(n // 2 + 1):
            k = n - 2 * j
            term = mp.factorial(n) / (2**j * mp.factorial(j) * mp.factorial(k))
            term *= factor * mp.sqrt(variance) ** n * mp.sqrt(mp.factorial(k))
            c[k] = c.get(k, mp.mpf(0)) + term
    return {
        "mu0": c.get(0, mp.mpf(0)),
        "mu1": c.get(1, mp.mpf(0)),
        "second_moment": mp.fsum(x**2 for x in c.values()),
        "v2": mp.fsum(x**2 * rho**k for k, x in c.items() if k > 1),
        "s2": mp.fsum(x**2 * (1 - rho**k) for k, x in c.items() if k > 1),
    }


def shifted_relu_by_quadrature(shift: str, t: float) -> dict[str, mp.mpf]:
    """max(x - shift, 0) at sigma_x2 = 1, from the derivative of its kernel.

    d^2/dr^2 E[f(X_1) f(X_2)] = E[f''(X_1) f''(X_2)] = the bivariate density at (shift, shift), so
    with p(r) that density, v_t^2 = int_0^rho (rho - r) p(r) dr - (what belongs to k < 2, zero).
    """
    k = mp.mpf(shift)
    _, rho = mp_parameters(t, 1.0)
    pdf, tail = mp.exp(-k * k / 2) / mp.sqrt(2 * mp.pi), mp.erfc(k / mp.sqrt(2)) / 2
    mean, slope = pdf - k * tail, tail

    def density(angle: mp.mpf) -> mp.mpf:
        """p(r) dr/d(angle) with r = sin(angle)."""
        return mp.exp(-k * k / (1 + mp.sin(angle))) / (2 * mp.pi)

    def part(r: mp.mpf) -> mp.mpf:
        return mp.quad(lambda a: (r - mp.sin(a)) * density(a), [0, mp.asin(r)])

    second = (1 + k * k) * tail - k * pdf
    v2 = part(rho)
    s2 = second - mean**2 - slope**2 - v2
    return {"mu0": mean, "mu1": slope, "second_moment": second, "v2": v2, "s2": s2}
