"""np.seterr(all="raise") of a caller changes no number, in this process and in workers."""

import math
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.special

import dmft_rf as rf
from dmft_rf.curves.thresholds import n_star, n_window
from dmft_rf.model.coefficients import coefficients
from dmft_rf.pencil import Gaussian, Pencil, z
from dmft_rf.pencil.readings import Regression
from dmft_rf.units import steps_from_time, time_from_steps

TAU = np.array([0.0, 1e-300, 1.0, 1e4, 1e300, math.inf])
MODELS = {
    "closed form": rf.ScoreModel(0.01, 64.0, 8.0),
    "linear": rf.ScoreModel(0.1, 3.0, 2.0, "linear", rf.Covariance([0.0, 0.5, 1.5])),
    "noise draws": rf.ScoreModel(0.1, 12.0, 4.0, "relu", noise_draws=2),
    "hard edge": rf.ScoreModel(0.1, 8.0, 4.0, noise_draws=2),
    "mixture": rf.ScoreModel(
        0.01, 8, 4, lambda x: x + 1e-5 * x**3, rf.Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]])
    ),
    "power law": rf.ScoreModel(0.1, 4.0, 2.0, "gelu", rf.Covariance.power_law(2.0, 64)),
}


def curves(name: str) -> Iterator[Any]:
    solution = rf.solve(MODELS[name], 1e-8)
    yield solution.train_limit
    unit = 1.0 / (solution.model.rate * solution.diagnostics["support"][1])
    for rule in (
        rf.GradientFlow(1e-3, 0.5), rf.Ridge(1e-6), rf.Ridge(0.3), rf.WeightAverage(1e5 * unit),
        rf.GradientDescent(unit, 1e-3), rf.HeavyBall(unit, 1e-3, momentum=0.5),
    ):  # fmt: skip
        tau = rule.times([0, 1, 50, 10**9]) if hasattr(rule, "times") else TAU
        if solution.hard_edge and not rule.decay:
            tau = tau[tau < 1e10]
        found = solution.learning_curves(tau, rule)
        yield from (getattr(found, name) for name in found.error)
        yield from found.error.values()
        x = np.array([1e-300, 1.0, 1e5])
        for part in (rule.filter, rule.residual, rule.memory):
            yield part(x, tau[:3], 1e-5)


def law(name: str) -> Iterator[Any]:
    found = rf.spectrum(MODELS[name])
    yield from (found.edges, found.bulk_masses, found.atoms, found.ends, found.mass)
    yield found.density(np.geomspace(1e-12, 1e3, 200))
    yield found.density(found.grid(50))
    yield found.moment(3)
    points = rf.resolvent(MODELS[name], np.array([1e-200 + 1j, 1e100 + 1e100j, -1.0 + 0.1j]))
    yield from (points.q, points.dq, points.S(0.5))


def answers(name: str) -> Iterator[Any]:
    model = MODELS[name]
    solution = rf.solve(model, 1e-8)
    times = rf.timescales(solution)
    yield [times.tau_gen, times.tau_opt, times.tau_mem, times.tau_gen_spectrum, times.final_gap]
    split = rf.bulk_split(solution, TAU)
    yield from (split.removed, split.test, split.share)
    yield [n_star(model, rtol=1e-6), n_window(model, rtol=1e-6)]


def sweeps() -> Iterator[Any]:
    model = MODELS["closed form"]
    found = rf.sweep(
        model, {"psi_n": [1.0, 8.0], "t": [0.01, 1.0]}, ["train", "tau_mem", "edges"],
        tau=TAU, rtol=1e-6,
    )  # fmt: skip
    assert found.failures == {}
    yield from found.quantities.values()
    laws = rf.scaling(model, "psi_n", [2.0, 4.0, 8.0], rtol=1e-6)
    assert laws.failures == {}
    yield from laws.local_exponents.values()
    diagram = rf.phase_diagram(model, {"psi_n": [2.0, 8.0], "psi_p": [4.0, 64.0]})
    assert diagram.failures == {}
    yield from (diagram.relative_gap, diagram.ratio, *diagram.boundaries.values())


def pencils() -> Iterator[Any]:
    system = _wishart()
    points = system.solve(np.array([1e-100 + 1j, 1e100 + 1j, 1.0 + 0.01j]))
    yield from (points.q, points.residual)
    found = system.spectrum()
    yield from (found.edges, found.bulk_masses, found.mass, found.moment(2))
    yield found.density(np.geomspace(1e-300, 10.0, 50))
    yield from Regression.of(3.0, 2.0, 1.0, 0.5, 0.1).losses(TAU, 1e-2, 1e-6)


def _wishart() -> Any:
    W = Gaussian("W", "p", "d", per="d")
    rows = {"u": {"u": -z, "f": W}, "f": {"f": 1, "u": -(W.T)}}
    blocks = {"u": "p", "f": "d"}
    pencil = Pencil(spaces={"p": 2.0, "d": 1}, blocks=blocks, rows=rows, sigma="d", resolvent="u")
    return pencil.bind(rf.Covariance([0.5, 1.5]))


def parameters() -> Iterator[Any]:
    for t in (1e-6, 0.1, 12.0):
        for activation in ("tanh", "relu", "softplus", "gelu", lambda x: np.exp(-(x**2)) + x):
            c = coefficients(activation, t, 1.3)
            yield [c.mu0, c.mu1, c.v2, c.s2, c.gamma2, c.second_moment, c.error_estimate]
    law = rf.Covariance.power_law(150.0, 64)
    yield from (law.eigenvalues, law.normalized().eigenvalues, law.scaled(1e-5).eigenvalues)
    yield [law.effective_dimension_ratio, law.second_moment, law.mean]
    yield rf.Covariance.power_law(1.0, 300).gauss(20).eigenvalues
    rows = np.random.default_rng(1).normal(size=(200, 4)) * [1.0, 1e-160, 1e-3, 1.0]
    yield rf.Covariance.from_samples(rows).eigenvalues
    mix = rf.Mixture.from_matrices([0.5, 0.5], np.stack([np.eye(3), np.diag([1e-170, 1.0, 2.0])]))
    yield from (mix.eigenvalues, mix.effective_dimension_ratio)
    yield [time_from_steps(10, 1e-290, 10), steps_from_time(1e-300, 0.1, 10)]


DOORS: dict[str, Callable[[], Iterator[Any]]] = {
    **{f"curves, {name}": lambda name=name: curves(name) for name in MODELS},
    **{f"law, {name}": lambda name=name: law(name) for name in MODELS},
    "answers": lambda: answers("closed form"),
    "sweeps": sweeps,
    "pencils": pencils,
    "parameters": parameters,
}


@pytest.mark.parametrize("door", DOORS)
def test_errors_that_are_raised_change_nothing(door: str) -> None:
    usual = list(DOORS[door]())
    special = scipy.special.seterr(all="raise")
    try:
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            strict = list(DOORS[door]())
            with pytest.raises(FloatingPointError):  # their own state is still theirs
                np.exp(np.array([-1000.0]))
    finally:
        scipy.special.seterr(**special)
    assert len(usual) == len(strict) > 0
    for one, other in zip(usual, strict, strict=True):
        np.testing.assert_array_equal(one, other)


def test_workers_that_raise_errors_give_the_same_numbers() -> None:
    def of(executor: ThreadPoolExecutor | None) -> np.ndarray:
        over = {"psi_n": [1.0, 8.0], "t": [0.01, 1.0]}
        found = rf.sweep(
            MODELS["closed form"], over, ["train", "tau_mem"], tau=TAU, rtol=1e-6, executor=executor
        )
        assert found.failures == {}
        return np.concatenate([values.ravel() for values in found.quantities.values()])

    with ThreadPoolExecutor(2, initializer=lambda: np.seterr(all="raise")) as executor:
        np.testing.assert_array_equal(of(None), of(executor))
