r"""The reverse process in the plane of the sample covariance: its rule in t, its contour in x.

What is generated has a covariance Lambda(C). Divergences from the data are integrals of Lambda,
ln Lambda, 1/Lambda and sqrt(Lambda) against the law of C, taken on an ellipse around its support in
the plane of ln(x + margin). ln Lambda is analytic inside if Lambda has no zero there, which its
winding number around 0 along the ellipse tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError
from dmft_rf.generated.activation_in_time import ActivationInTime
from dmft_rf.kernels.infinite_width import learned_scores
from dmft_rf.kernels.reverse_process import follow
from dmft_rf.spectra.sample_law import SampleLaw

# panels in t: their ratio below t = 1, their length beyond, and where they begin for t_end = 0
_RATIO, _LENGTH, _FIRST = 10.0**0.25, 0.5, 1e-9
# relative change of the gain that is rounding
_SETTLED = 4e-15
# half the height of the ellipse in ln(x + margin), and the digits its nodes are for
_HEIGHT, _DIGITS = 0.9, 34.0


@dataclass(frozen=True, eq=False)
class TimeRule(Frozen):
    """Gauss-Legendre panels in the diffusion time, in the order of the reverse process.

    Attributes
    ----------
    t : (P, m) array
        Nodes, from t_start down.
    lengths : (P,) array
    into, full : (m, m) and (m,) arrays
        Integrals over a panel of length 1 from its start to each node, and to its end.
    """

    t: Array
    lengths: Array
    into: Array
    full: Array


def time_rule(t_start: float, t_end: float, nodes: int, slowest: float = 1.0) -> TimeRule:
    """Panels from ``t_start`` down to ``t_end``, geometric below t = 1.

    For t_end = 0 they begin far below 1/``slowest``, the longest training time: what has been
    learned changes at t of order 1/tau.
    """
    edges = [t_start]
    first = min(_FIRST, 1e-4 / slowest, t_start / _RATIO)
    least = max(t_end, first)
    while edges[-1] > least:
        here = edges[-1]
        below = here - _LENGTH if here * (1.0 - 1.0 / _RATIO) > _LENGTH else here / _RATIO
        edges.append(below if below > least * 1.01 else least)
    if least > t_end:
        edges.append(t_end)
    edges_ = np.array(edges)
    node, weight, into = _legendre(nodes)
    lengths = edges_[:-1] - edges_[1:]
    t = edges_[:-1, None] - lengths[:, None] * node
    return TimeRule(t, lengths, into, weight)


@lru_cache(maxsize=8)
def _legendre(nodes: int) -> tuple[Array, Array, Array]:
    """Nodes and weights on [0, 1], and the integrals of the interpolant from 0 to each node."""
    legendre = np.polynomial.legendre
    node, weight = legendre.leggauss(nodes)
    # integral of P_l from -1 to y is (P_{l+1} - P_{l-1})/(2 l + 1); the coefficients from values
    values = legendre.legvander(node, nodes)
    integrals = np.empty((nodes, nodes))
    integrals[:, 0] = node + 1.0
    for order in range(1, nodes):
        integrals[:, order] = (values[:, order + 1] - values[:, order - 1]) / (2.0 * order + 1.0)
    series = (np.arange(nodes) + 0.5)[:, None] * (values[:, :nodes] * weight[:, None]).T
    return 0.5 * (node + 1.0), 0.5 * weight, 0.5 * integrals @ series


@dataclass(frozen=True, eq=False)
class SamplePoints(Frozen):
    """The upper half of a contour around the law of C.

    Attributes
    ----------
    x : (n,) complex array
    weights : (n_atoms, n) complex array
        Re sum_j weights[a, j] f(x_j) is w_a times the integral of f against the law seen from
        lambda_a.
    steps : (n,) complex array
        -dx/(2 pi i) at the nodes, for both halves.
    """

    x: Complex
    weights: Complex
    steps: Complex

    def inside(self, f: Complex, at: Array) -> Array:
        """What f, known at the nodes, is at real points inside: a quotient of Cauchy's integrals.

        The quotient is exact for constants and lacks the rule's error where f changes little.
        """
        kernel = self.steps / (self.x - at[:, None])
        found: Array = (kernel @ f).real / kernel.sum(axis=1).real
        return found


def ellipse(law: SampleLaw, margin: float, density: float) -> SamplePoints:
    """Nodes on an ellipse in ln(x + margin) whose foci are the ends of the law of C.

    The rule converges like exp(-2 N eta) with the ellipse's parameter eta; ``density`` 1 is for
    rounding.
    """
    low, high = (math.log(end + margin) for end in law.ends)
    middle, half = 0.5 * (high + low), 0.5 * (high - low)
    eta = math.asinh(_HEIGHT / half) if half > 0.0 else math.inf
    eta = min(eta, 1.2)
    count = max(8, math.ceil(density * _DIGITS / (2.0 * eta)))
    theta = math.pi * (np.arange(count) + 0.5) / count
    y = middle + half * np.cosh(eta) * np.cos(theta) + 1j * half * np.sinh(eta) * np.sin(theta)
    slope = -half * np.cosh(eta) * np.sin(theta) + 1j * half * np.sinh(eta) * np.cos(theta)
    x = np.exp(y) - margin
    # -dx/(2 pi i), and the lower half of the contour is the conjugate
    step = 2.0 * 1j / (2.0 * math.pi) * slope * np.exp(y) * math.pi / count
    return SamplePoints(x, law.w[:, None] * law.seen(x) * step, step)


@dataclass(frozen=True, eq=False)
class Run(Frozen):
    """What one reverse process has generated.

    Attributes
    ----------
    variance, logarithm : (n,) complex arrays
        Lambda at the nodes of the contour, and ln Lambda continued along it.
    on_axis : array
        Lambda at the real points that were asked for.
    gain, trace : (P, m) arrays
        rho_t and Tr Lambda_t/d at the nodes in t.
    """

    variance: Complex
    logarithm: Complex
    on_axis: Array
    gain: Array
    trace: Array


def run(
    points: SamplePoints,
    axis: Array,
    rule: TimeRule,
    tau: Array,
    activation: ActivationInTime,
    psi_n: float,
    noisy: bool,
) -> Run:
    """Follow the process at the nodes of a contour, and find it at real points ``axis``.

    ``tau``, the training time at each diffusion time, has the shape of ``rule.t``.

    Raises
    ------
    ConvergenceError
        If the variance overflows or becomes negative, if the gain cannot be found, or if Lambda
        winds around 0.
    """
    t = rule.t.ravel()
    noise, signal = -np.expm1(-2.0 * t), np.exp(-2.0 * t)
    deviation = np.log(noise + signal * activation.sigma_x2)
    low, high = float(deviation.min()), float(deviation.max())
    trained = activation.linear(low, high)(deviation)
    vn = activation.v2(t) / psi_n
    clock = 2.0 * noise * tau.ravel()
    G = learned_scores(points.x, trained**2, noise, signal, vn, clock)
    G = G.reshape(*rule.t.shape, -1)
    weights = points.weights.sum(axis=0)
    c, f = (2.0, 2.0) if noisy else (1.0, 0.0)
    while True:
        table = activation.linear(min(low, 0.0), max(high, 0.0))
        Lambda, gain, trace, wanted = follow(
            G, rule.lengths, rule.into, rule.full, trained.reshape(rule.t.shape), weights, c, f,
            table.edges, table.series, _SETTLED,
        )  # fmt: skip
        if wanted == 0.0:
            break
        if not 1e-100 < wanted < 1e100:
            raise ConvergenceError("the variance of what is generated cannot be followed")
        low, high = min(low, math.log(wanted)), max(high, math.log(wanted))
    return Run(Lambda, continued(Lambda), points.inside(Lambda, axis), gain, trace)


def continued(Lambda: Complex) -> Complex:
    """ln Lambda along the upper half of a closed contour, from one real end to the other.

    Raises ConvergenceError if Lambda has zeros inside: then its phase does not return to 0. It must
    turn by less than a right angle between neighbours to be known.
    """
    ends = Lambda[:1], Lambda[1:] / Lambda[:-1], Lambda[-1:].conj()
    turns = np.angle(np.concatenate(ends))
    if not (np.abs(turns) < 0.5 * math.pi).all() or abs(turns.sum()) > 1.0:
        raise ConvergenceError(
            "the generated variance, as a function of the eigenvalues of the sample covariance, "
            "has a zero inside the contour around them, or turns too fast along it",
            residual=float(np.abs(turns).max()),
        )
    found: Complex = np.log(np.abs(Lambda)) + 1j * np.cumsum(turns[:-1])
    return found
