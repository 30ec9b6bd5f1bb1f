r"""Where the time goes: each stage beside the count of its operations.

With K atoms, N nodes, I Newton steps in all and T times, in real floating-point operations (a
complex product 6, a complex sum 2, a complex quotient 11, a multiply-add of complex numbers 8):

    one-point      I K 35          one reciprocal and five sums per atom and step
    two-point      124 N (N + 1) to assemble one half of the symmetric and the mirrored grid, and
                   for three moments of 2 N^2 pairs the smaller of
                   48 N^2 K            as matrix products
                   106 N^2 + 35 N K    by partial fractions, from sums at single points
    filter         T N exponentials    one complex exponential each, h and 1 - x h from it (real
                                       exponential and tangent are cheaper: it can be below 1)
    quadratic form 10 T N^2        a real product of (T, 2 N) and (2 N, 2 N), and its rounding bound
    mean           4 T N K         a real product of (T, 2 N) and (2 N, K)

The floor of a stage is its count at the rate of a matrix product on one core, and the exponentials
at the rate of numpy's complex exp, both measured in the same run.
"""

from dataclasses import dataclass

import numpy as np

from dmft_rf import GradientFlow, resolvent, solve, spectrum
from dmft_rf.curves.nodes import Nodes
from dmft_rf.numerics.contour import half_plane_contour
from validation.benchmark.timing import quick_best
from validation.benchmark.work import TAU, Effort, model_with


@dataclass(frozen=True)
class Rates:
    """Of this machine, one core: real operations of a complex matrix product, complex exps."""

    flops: float
    exponentials: float


@dataclass(frozen=True)
class Stage:
    """Process seconds of a stage; nan counts where none is stated.

    Attributes
    ----------
    unit, units
        The natural operation and how many there are.
    floor
        Seconds that the operations would take at the rates of the machine.
    """

    name: str
    seconds: float
    unit: str = ""
    units: float = float("nan")
    floor: float = float("nan")


@dataclass(frozen=True)
class Profile:
    """Stages of ``solve`` and of 200 times for one model; ``whole`` and ``curves`` are the sums."""

    atoms: int
    nodes: int
    steps: int
    whole: float
    curves: float
    stages: tuple[Stage, ...]


def rates(effort: Effort) -> Rates:
    """Measure what the machine can do."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 300)) + 1j * rng.standard_normal((300, 300))
    x = rng.standard_normal(4000) + 1j * rng.standard_normal(4000)
    product = quick_best(lambda: a @ a, effort.repeats)
    return Rates(8.0 * 300**3 / product, x.size / quick_best(lambda: np.exp(x), effort.repeats))


def profile(atoms: int, machine: Rates, effort: Effort) -> Profile:
    """Time the stages of the model with this number of atoms one by one."""

    def time(function: object) -> float:
        return quick_best(function, max(2, effort.repeats // 3))  # type: ignore[arg-type]

    model = model_with(atoms)
    solution = solve(model, compress=False)
    law = spectrum(model)
    m, M = solution.diagnostics["support"]
    K, N, T = atoms, int(solution.diagnostics["nodes"]), TAU.size
    contour = half_plane_contour(m, M, N)
    nodes = Nodes(law, contour)
    steps = resolvent(model, contour.z).iterations
    rule = GradientFlow()
    h = rule.filter(contour.z, TAU, model.rate)

    def two_point() -> None:
        nodes.pairs.__dict__.pop("variance", None)
        _ = nodes.variance

    support = time(lambda: spectrum(model).ends)
    one = time(lambda: resolvent(model, contour.z))
    two = time(two_point)
    whole = time(lambda: solve(model, compress=False))
    filters = time(lambda: rule.filter_and_residual(contour.z, TAU, model.rate))
    quadratic = time(lambda: nodes.quadratic(h))
    mean = time(lambda: nodes.mean(h))
    curves = time(lambda: solution.learning_curves(TAU))
    work = 1.0 / machine.flops
    pairs = min(48.0 * N * N * K, 106.0 * N * N + 35.0 * N * K)
    stages = (
        Stage("ends of the support", support),
        Stage("one-point equations at the nodes", one, "Newton step x atom", steps * K,
              35.0 * steps * K * work),
        Stage("two-point function of all pairs", two, "pair", N * (N + 1),
              (124.0 * N * (N + 1) + pairs) * work),
        Stage("26 times for the error estimate, contour, rest", whole - support - one - two),
        Stage("200 times: filter, h and 1 - x h", filters, "exponential", T * N,
              T * N / machine.exponentials),
        Stage("200 times: quadratic form", quadratic, "time x pair", 2.0 * T * N * N,
              10.0 * T * N * N * work),
        Stage("200 times: mean over the atoms", mean, "time x node x atom", T * N * K,
              4.0 * T * N * K * work),
        Stage("200 times: other sums, their errors, rest", curves - filters - quadratic - mean),
    )  # fmt: skip
    return Profile(K, N, int(steps), whole, curves, stages)
