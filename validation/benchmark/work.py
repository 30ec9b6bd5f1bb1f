"""What is measured, each with its target and, where there is one, the plain route beside it."""

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmft_rf import (
    Covariance,
    ScoreModel,
    learning_curves_many,
    phase_diagram,
    solve,
    spectrum,
)
from validation.benchmark import dense, fresh, plain
from validation.benchmark.timing import Timing, side_by_side

TAU = np.geomspace(1.0, 1e7, 200)
TWO_ATOMS = Covariance([0.5, 1.5])


@dataclass(frozen=True)
class Effort:
    """How often a measurement is repeated, and for how long at most."""

    repeats: int = 30
    seconds: float = 4.0
    processes: int = 5
    quick: bool = False


QUICK = Effort(repeats=2, seconds=0.3, processes=1, quick=True)


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds, or MB where ``unit`` says so.

    Attributes
    ----------
    target, cpu, wall
        nan where there is none.
    other : Timing or None
        The other route, measured in turns with this one; ``other_name`` says which.
    difference : str
        How far the two routes' results are apart.
    """

    work: str
    target: float
    cpu: float
    wall: float
    unit: str = "s"
    other: Timing | None = None
    other_name: str = ""
    difference: str = ""


def model_with(atoms: int) -> ScoreModel:
    """The model of the table: t = 0.01, psi_p = 64, psi_n = 8, tanh; 0.1 to 3 for many atoms."""
    covariance = TWO_ATOMS if atoms == 2 else Covariance(np.geomspace(0.1, 3.0, atoms))
    return ScoreModel(t=0.01, psi_p=64, psi_n=8, covariance=covariance)


def _density(effort: Effort) -> list[Row]:
    model = model_with(2)
    law = spectrum(model)
    x, edges = law.grid(2000), law.edges
    ours, other = side_by_side(
        [lambda: spectrum(model).density(x), lambda: plain.density(model, x, edges)],
        effort.repeats, effort.seconds,
    )  # fmt: skip
    apart = np.max(np.abs(plain.density(model, x, edges) / law.density(x) - 1.0))
    work = f"support, and density of U at {x.size:,} points, two atoms"
    return [Row(work, 1e-3, ours.cpu, ours.wall, "s", other, "plain", f"{apart:.0e}")]


def _solve(atoms: int, target: float, name: str) -> Callable[[Effort], list[Row]]:
    def measure(effort: Effort) -> list[Row]:
        model = model_with(atoms)
        solution = solve(model)
        (m, M), nodes = solution.diagnostics["support"], solution.diagnostics["nodes"]
        ours, other = side_by_side(
            [
                lambda: solve(model, rtol=1e-10).learning_curves(TAU),
                lambda: plain.learning_curves(model, TAU, m, M, nodes),
            ],
            effort.repeats, effort.seconds,
        )  # fmt: skip
        slow = plain.learning_curves(model, TAU, m, M, nodes)
        apart = _apart(slow, solution.learning_curves(TAU))
        work = f"solve + all losses at {TAU.size} tau, rtol 1e-10, {name}"
        return [Row(work, target, ours.cpu, ours.wall, "s", other, "plain", f"{apart:.0e}")]

    return measure


def _apart(other: plain.Curves, ours: Any) -> float:
    """Largest difference of train, test and score error, relative to max(value, 1e-3 of start)."""
    worst = 0.0
    for name, start in (("train", 1.0), ("test", 1.0), ("score_error", ours.score_error[0])):
        value = getattr(ours, name)
        miss = np.abs(getattr(other, name) - value) / np.maximum(np.abs(value), 1e-3 * start)
        worst = max(worst, float(miss.max()))
    return worst


def _whole(effort: Effort) -> list[Row]:
    """4,096 atoms without a quadrature of their law in their place."""
    model = model_with(4096)
    (ours,) = side_by_side(
        [lambda: solve(model, rtol=1e-10, compress=False).learning_curves(TAU)],
        effort.repeats, effort.seconds,
    )  # fmt: skip
    exact = solve(model, compress=False).learning_curves(TAU)
    apart = _apart(solve(model).learning_curves(TAU), exact)  # type: ignore[arg-type]
    work = "the same with every atom (compress=False)"
    return [Row(work, 60e-3, ours.cpu, ours.wall, difference=f"{apart:.0e} from a quadrature")]


def _many(effort: Effort) -> list[Row]:
    """Per model, beside the loop that it stands for."""
    count = 4 if effort.quick else 64
    psi_n = np.geomspace(2.0, 20.0, count)
    parameters = {"t": 0.01, "psi_p": 64.0, "psi_n": psi_n, "covariance": TWO_ATOMS}
    models = [model_with(2).replace(psi_n=float(n)) for n in psi_n]
    ours, other = side_by_side(
        [
            lambda: learning_curves_many(parameters, TAU),
            lambda: [solve(model).learning_curves(TAU) for model in models],
        ],
        effort.repeats, effort.seconds,
    )  # fmt: skip
    loop = Timing(other.cpu / count, other.wall / count, other.calls)
    found = learning_curves_many(parameters, TAU)
    alone = [solve(model).learning_curves(TAU) for model in models]
    apart = max(float(np.max(np.abs(found.test[i] - one.test))) for i, one in enumerate(alone))
    work = f"curves of {count} models at once, two atoms, {TAU.size} tau, per model"
    cpu, wall = ours.cpu / count, ours.wall / count
    return [Row(work, 0.35e-3, cpu, wall, "s", loop, "one by one", f"{apart:.0e}")]


def _phases(effort: Effort) -> list[Row]:
    """The plain route at some of the points, for as many as there are; it has no boundaries."""
    side, some = (4, 2) if effort.quick else (64, 16)
    over = {"psi_n": np.geomspace(1.0, 4096.0, side), "psi_p": np.geomspace(1.0, 256.0, side)}
    model, tau = ScoreModel(t=0.01, psi_p=64, psi_n=8), np.append(TAU, math.inf)
    places = np.random.default_rng(0).integers(side, size=(some, 2)).tolist()
    points = [model.replace(psi_n=over["psi_n"][i], psi_p=over["psi_p"][j]) for i, j in places]
    known = [solve(point, 1e-6).diagnostics for point in points]
    supports, sizes = ([about[name] for about in known] for name in ("support", "nodes"))

    def plainly() -> list[plain.Curves]:
        return [
            plain.learning_curves(point, TAU, m, M, nodes)
            for point, (m, M), nodes in zip(points, supports, sizes, strict=True)
        ]

    with ThreadPoolExecutor(2) as two:
        ours, other = side_by_side(
            [lambda: phase_diagram(model, over, tau=tau, executor=two), plainly],
            min(effort.repeats, 5), effort.seconds,
        )  # fmt: skip
        found = phase_diagram(model, over, tau=tau, executor=two)
    gaps = found.sweeps["map"].quantities["generalization_gap"][..., : TAU.size]
    apart = max(
        float(np.max(np.abs(one.test - one.train - gaps[i, j]) / np.maximum(one.test, 1.0)))
        for one, (i, j) in zip(plainly(), places, strict=True)
    )
    share = side * side / some
    scaled = Timing(share * other.cpu, share * other.wall, other.calls)
    work = f"phase diagram {side} x {side} x {tau.size}, two threads"
    name = f"plain, {some} points x {share:.0f}"
    return [Row(work, 3.0, ours.cpu, ours.wall, "s", scaled, name, f"{apart:.0e}")]


def _interpolation(effort: Effort) -> list[Row]:
    solution = solve(model_with(2))
    tau = np.geomspace(1.0, 1e7, 1000 if effort.quick else 100_000)
    ours, other = side_by_side(
        [
            lambda: solution.learning_curves(TAU).interpolate(tau),
            lambda: solution.learning_curves(tau),
        ],
        effort.repeats, effort.seconds,
    )  # fmt: skip
    exact, found = solution.learning_curves(tau), solution.learning_curves(TAU).interpolate(tau)
    apart = f"{found.difference(exact):.0e}"
    work = f"curves at {tau.size:,} tau, interpolated between {TAU.size}, two atoms"
    return [Row(work, math.nan, ours.cpu, ours.wall, "s", other, "each exactly", apart)]


def _draws(effort: Effort) -> list[Row]:
    model = model_with(2).replace(noise_draws=4)
    (ours,) = side_by_side(
        [lambda: solve(model, rtol=1e-10).learning_curves(TAU)], effort.repeats, effort.seconds
    )
    return [
        Row(
            "solve + curves at 200 tau, two atoms, four noise draws per sample",
            50e-3,
            ours.cpu,
            ours.wall,
        )
    ]


def _coefficients(effort: Effort) -> list[Row]:
    times = itertools.count(1)
    (ours,) = side_by_side(
        [lambda: ScoreModel(t=0.01 + 1e-6 * next(times), psi_p=64, psi_n=8).coefficients],
        effort.repeats, effort.seconds,
    )  # fmt: skip
    work = "coefficients of tanh at a new t (kept afterwards; not in the lines above)"
    return [Row(work, float("nan"), ours.cpu, ours.wall)]


def _dense(effort: Effort) -> list[Row]:
    """Eigendecomposition costs d^3 and its result is off by 1/d."""
    model = model_with(2).replace(psi_p=8, psi_n=4)
    rows = []
    for d in (40,) if effort.quick else (40, 200):

        def draw(d: int = d) -> plain.Curves:
            return dense.learning_curves(model, TAU, d, 0)

        ours, other = side_by_side(
            [lambda: solve(model, rtol=1e-10).learning_curves(TAU), draw],
            effort.repeats, effort.seconds,
        )  # fmt: skip
        apart = _apart(draw(), solve(model).learning_curves(TAU))
        work = "solve + curves, psi_p = 8, psi_n = 4"
        name = f"one draw, d = {d}, p = {8 * d}, n = {4 * d}"
        rows.append(Row(work, float("nan"), ours.cpu, ours.wall, "s", other, name, f"{apart:.1%}"))
    return rows


def _marchenko_pastur(effort: Effort) -> list[Row]:
    from freealg.distributions import MarchenkoPastur  # type: ignore[import-not-found]

    # the linear network with infinitely many samples: U = W W^T/d
    model = ScoreModel(t=0.01, psi_p=0.25, psi_n=1e14, activation="linear")
    law, theirs = spectrum(model), MarchenkoPastur(0.25)
    x = law.grid(2000)
    ours, other = side_by_side(
        [lambda: spectrum(model).density(x), lambda: theirs.density(x)],
        effort.repeats, effort.seconds,
    )  # fmt: skip
    apart = np.max(np.abs(theirs.density(x) - law.density(x))) / np.max(theirs.density(x))
    work = f"Marchenko-Pastur as a limit of the model, {x.size:,} points"
    return [
        Row(work, float("nan"), ours.cpu, ours.wall, "s", other, "freealg, closed form",
            f"{apart:.0e}")
    ]  # fmt: skip


def _import(effort: Effort) -> list[Row]:
    time = fresh.timed(["-c", "import dmft_rf"], effort.processes)
    return [Row("`import dmft_rf`, whole process", 0.25, time.cpu, time.wall)]


def _help(effort: Effort) -> list[Row]:
    time = fresh.timed(["-m", "dmft_rf", "--help"], effort.processes)
    return [Row("`dmft-rf --help`, whole process", 0.4, time.cpu, time.wall)]


def _first(effort: Effort) -> list[Row]:
    """Compiling takes ten seconds or more: not in a quick run."""
    if effort.quick:
        time = fresh.timed(["-c", fresh.FIRST_SOLVE], effort.processes)
        return [Row("first solve + curves, whole process, as installed", 0.45, time.cpu, time.wall)]
    compiling, cached = fresh.first_solve(effort.processes)
    return [
        Row("first solve + curves, whole process, kernels cached", 0.45, cached.cpu, cached.wall),
        Row("the same, kernels compiled (once)", 15.0, compiling.cpu, compiling.wall),
    ]


def _memory(effort: Effort) -> list[Row]:
    imported, solved = fresh.memory(4096)
    work = f"peak memory of 4,096 atoms above the imports' {imported:.0f} MB"
    return [Row(work, 200.0, solved - imported, float("nan"), "MB")]


MEASURES: dict[str, Callable[[Effort], list[Row]]] = {
    "density": _density,
    "atoms-2": _solve(2, 1e-3, "two atoms"),
    "atoms-64": _solve(64, 5e-3, "64 atoms"),
    "atoms-4096": _solve(4096, 15e-3, "4,096 atoms"),
    "every atom": _whole,
    "many": _many,
    "phases": _phases,
    "interpolation": _interpolation,
    "draws": _draws,
    "coefficients": _coefficients,
    "dense": _dense,
    "marchenko-pastur": _marchenko_pastur,
    "import": _import,
    "help": _help,
    "first": _first,
    "memory": _memory,
}
