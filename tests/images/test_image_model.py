"""Curves of a network on samples: known numbers, exact networks, and what is shared."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.carrying import nodes_in
from dmft_rf.curves.events import score_error_slope
from dmft_rf.curves.losses import curves_on
from dmft_rf.images.pairs import at_points
from dmft_rf.images.pool import tail_index
from dmft_rf.numerics.region import Region
from dmft_rf.store import load, load_results, save
from validation.finite.imagery import rows
from validation.finite.losses import Trained
from validation.finite.network import network_on_rows

T, D, P, N = 0.1, 12, 36, 150


@cache
def digits() -> rf.ImageModel:
    """128 features on all digits; the moments are shared by every test."""
    W = np.random.default_rng([0, 77]).standard_normal((128, 64))
    return rf.ImageModel(rows("digits"), 0.1, 64, weights=W, route="equations")


@cache
def small() -> rf.Solution:
    """Few samples of a few clusters."""
    return rf.solve(rf.ImageModel(clusters(), T, 40, features=P, seed=3, route="equations"))


@cache
def clusters() -> np.ndarray:
    rng = np.random.default_rng(21)
    centres = 0.8 * rng.standard_normal((5, D))
    return centres[rng.integers(5, size=N)] + 0.6 * rng.standard_normal((N, D))


@pytest.mark.parametrize(
    ("n", "train", "test", "tau_mem", "tau_opt"),
    [(64, 0.44876143, 0.80770635, 89.93, 56.46), (256, 0.53583291, 0.60932874, 83.97, 196.5)],
)
def test_known_numbers(n: int, train: float, test: float, tau_mem: float, tau_opt: float) -> None:
    """From another implementation, whose times were read off a coarser grid."""
    model = digits().replace(n=n)
    assert model.leverage_classes == 3
    solution = rf.solve(model)
    times = rf.timescales(solution)
    assert float(times.end.train) == pytest.approx(train, abs=1e-7)
    assert float(times.end.test) == pytest.approx(test, abs=1e-7)
    assert times.tau_mem == pytest.approx(tau_mem, rel=5e-4)
    assert times.tau_opt == pytest.approx(tau_opt, rel=5e-3)
    assert solution.error_estimate < 1e-4
    assert not times.reasons


def test_known_numbers_at_the_end_of_training() -> None:
    """From fixed points of h in the basis of the features, in double precision."""
    W = np.random.default_rng([0, 77]).standard_normal((512, 64))
    model = rf.ImageModel(rows("digits"), T, 128, weights=W, route="equations")
    end = at_points(model.medium, np.zeros(1))
    np.testing.assert_allclose(end.h[0], [1.61257256, 2.30584808, 3.44410116], rtol=1e-8)
    assert 1.0 - end.S_VV[0].real == pytest.approx(0.3074287385, abs=1e-9)
    learned = end.plain[0, 0].real - 2.0 * end.S_VV[0].real
    assert 1.0 + learned == pytest.approx(0.7722554061, abs=1e-9)


def test_moments_of_the_digits() -> None:
    moments = digits().moments
    assert np.trace(moments.S) == pytest.approx(41.01472099, abs=1e-7)
    assert moments.noise.sum() == pytest.approx(10.18419153, abs=1e-7)
    assert np.vdot(moments.V, moments.V) == pytest.approx(8.42769042, abs=1e-7)


def test_against_exact_networks() -> None:
    """The curves of drawn subsets, at every time, within what the equations are good for."""
    solution = small()
    tau = np.array([1.0, 10.0, 100.0, 1e3, math.inf])
    model = solution.model
    curves = solution.learning_curves(tau)
    X, W = clusters(), np.random.default_rng(3).standard_normal((P, D))
    rng = np.random.default_rng(1)
    train, test = [], []
    for _ in range(40):
        order = rng.permutation(N)
        drawn = network_on_rows(
            np.random.default_rng(3), X[order[:40]], X[order[40:]], P, T, model.activation
        )
        assert drawn.p == W.shape[0]
        losses = Trained(drawn).losses(rf.GradientFlow(), tau)
        train.append(losses.train)
        test.append(losses.test)
    for values, found in ((train, curves.train), (test, curves.test)):
        mean, error = np.mean(values, axis=0), np.std(values, axis=0) / math.sqrt(40)
        # four deviations of the mean, and three per cent of a network of 36 features
        assert (np.abs(found - mean) < 4.0 * error + 0.03 * mean).all()
    assert (curves.score_error > 0.0).all()


def test_more_nodes_change_what_the_error_says() -> None:
    solution = small()
    tau = np.geomspace(0.1, 1e5, 30)
    count = int(1.5 * solution.nodes.points.size)
    more = nodes_in(solution.nodes.law, Region(), count)
    for rule in (
        rf.GradientFlow(),
        rf.GradientFlow(weight_decay=0.1),
        rf.GradientFlow(initial_std=0.5),
    ):
        few, many = curves_on(solution.nodes, tau, rule), curves_on(more, tau, rule)
        for name in ("train", "test", "score_error"):
            off = np.abs(getattr(few, name) - getattr(many, name))
            assert (off <= 2.0 * (few.error[name] + many.error[name])).all()


def test_slope_and_start() -> None:
    solution = small()
    model = solution.model
    start = solution.learning_curves(0.0)
    assert float(start.train) == pytest.approx(1.0, abs=1e-4)
    assert float(start.test) == pytest.approx(1.0, abs=1e-4)
    assert float(start.score_error) == pytest.approx(model.initial_score_error, rel=1e-4)
    tau, step = np.array([20.0]), 1e-3
    slope = score_error_slope(solution.nodes, tau, rf.GradientFlow()).value
    ends = solution.learning_curves(np.concatenate([tau - step, tau + step])).score_error
    assert slope[0] == pytest.approx((ends[1] - ends[0]) / (2.0 * step), rel=1e-5)


def test_training_rules() -> None:
    solution = small()
    tau = np.array([40.0])
    flow = solution.learning_curves(tau)
    step = 0.01 / solution.model.rate / solution.spectrum.ends[1]
    tau = step * np.round(tau / step)
    for rule in (rf.GradientDescent(step=step), rf.HeavyBall(step=step, momentum=0.1)):
        curves = solution.learning_curves(tau, rule)
        np.testing.assert_allclose(curves.test, flow.test, rtol=2e-2)
    late = solution.learning_curves(math.inf, rf.GradientFlow(weight_decay=0.2))
    ridge = solution.learning_curves(1.0, rf.Ridge(0.2))
    assert float(late.test) == pytest.approx(float(ridge.test), rel=1e-6)
    assert float(late.test) < float(solution.learning_curves(math.inf).test)
    with pytest.raises(rf.ModelError, match="no groups of Gaussian columns"):
        solution.learning_curves(tau, rf.StochasticGradientDescent(0.1))


def test_moments_are_shared() -> None:
    model = small().model
    assert isinstance(model, rf.ImageModel)
    assert model.replace(n=7).moments is model.moments
    assert model.replace(classes=1).moments is model.moments
    assert model.replace(t=0.2).pool is not model.pool
    assert model.replace(n=40) == model
    assert model.replace(n=41) != model
    assert model.replace(seed=4) != model
    told: list[tuple[int, int]] = []
    model.replace(t=0.3).prepare(lambda done, of: told.append((done, of)))
    assert told[-1] == (N, N)


def test_one_sample_and_beyond_the_pool() -> None:
    model = small().model
    few = rf.timescales(rf.solve(model.replace(n=1))).end
    many = rf.timescales(rf.solve(model.replace(n=2 * N))).end
    most = rf.timescales(rf.solve(model.replace(n=N))).end
    assert few.train < most.train < many.train
    assert few.test > most.test > many.test > model.floor


def test_more_classes_for_heavy_tails() -> None:
    """Patches of a photograph differ in contrast by decades."""
    model = rf.ImageModel(rows("patches"), T, 20, features=P, route="equations")
    assert model.tail_index < 5.0
    assert model.leverage_classes == 8
    assert model.model_error > digits().model_error
    assert model.replace(classes=2).leverage_classes == 2


def test_classes_of_heavy_tails_weigh_the_same() -> None:
    model = rf.ImageModel(rows("patches")[:600], T, 20, features=P, route="equations")
    h = np.sort(model.pool.leverages(20))
    shares = model.pool.in_classes(20, 6, by_weight=True).shares
    ends = np.rint(np.cumsum(shares) * 600).astype(int)
    weight = np.concatenate([[0.0], np.cumsum(np.log1p(h))[ends - 1]])
    # equal but for the one row that a cut falls on
    assert np.ptp(np.diff(weight)) <= 2.0 * np.log1p(h[-1])
    assert shares[-1] < 0.5 * shares[0]


def test_rows_that_differ_in_noise_are_refused() -> None:
    """A linear network's noise is the same on all rows."""
    linear = rf.ImageModel(clusters(), T, 40, features=6, activation="linear", classes=1)
    assert linear.noise_error == pytest.approx(0.0, abs=1e-20)
    many = rf.ImageModel(rows("patches")[:600], 0.01, 20, features=128, classes=2)
    assert many.noise_error > 0.005
    with pytest.raises(rf.ModelError, match="the rows differ so much"):
        rf.solve(many)
    insisted = many.replace(route="equations")
    assert insisted.medium.shares.size == 2
    assert insisted.model_error > digits().model_error
    assert many.replace(n=560, route="equations").noise_error < 0.005


def test_uneven_rows_need_many_samples() -> None:
    """Half of the rows are nearly nothing: leverages differ by their mean, without a tail."""
    X = clusters() * np.repeat([1.0, 0.01], N // 2)[:, None]
    model = rf.ImageModel(X, T, 40, features=P, classes=2)
    assert model.leverage_spread > 0.8
    assert model.uneven
    assert not model.trusted
    with pytest.raises(rf.ModelError, match="leverage_spread"):
        rf.solve(model)
    most = model.replace(classes=None, n=140)  # little is left out
    assert most.trusted
    assert most.leverage_classes == 8
    even = rf.ImageModel(clusters(), T, 40, features=P, classes=2)
    assert even.trusted
    assert even.replace(classes=None).leverage_classes == 3


def test_tail_index_of_a_power_law() -> None:
    """P(h > x) = x^{-3}."""
    h = (1.0 - (np.arange(20_000) + 0.5) / 20_000) ** (-1.0 / 3.0)
    assert tail_index(h) == pytest.approx(3.0, rel=0.01)


def test_what_is_not_there_for_samples() -> None:
    model = small().model
    with pytest.raises(rf.ModelError, match="Gaussian columns"):
        rf.resolvent(model, 1j)
    with pytest.raises(rf.ModelError, match="Gaussian columns"):
        _ = rf.spectrum(model).edges
    with pytest.raises(rf.ModelError, match="compress"):
        rf.solve(model, compress=True)


def test_files(tmp_path: Path) -> None:
    solution = small()
    path = tmp_path / "images.h5"
    curves = solution.learning_curves([1.0, math.inf])
    save(path, {"curves": curves, "times": rf.timescales(solution)}, solution=solution)
    run = load(path)["curves"]
    np.testing.assert_array_equal(run.arrays["test"], curves.test)
    assert run.attributes["n"] == 40
    assert run.attributes["model_error"] == solution.model.model_error
    with pytest.raises(rf.DataError, match="ImageModel"):
        load_results(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n is 0"),
        ({"n": 2 * N + 1}, "n is 301"),
        ({"t": 0.0}, "t"),
        ({"features": None}, "features or weights"),
        ({"weights": np.ones((3, 2))}, "weights has the shape"),
        ({"weights": np.ones((3, D))}, "features is 36"),
        ({"classes": 0}, "classes"),
        ({"rows": np.ones(4)}, "rows has the shape"),
        ({"features": 200, "n": N + 1}, "says nothing beyond itself"),
    ],
)
def test_wrong_parameters(changes: dict[str, object], message: str) -> None:
    stated = {"rows": clusters(), "t": T, "n": 40, "features": P} | changes
    with pytest.raises(rf.ModelError, match=message):
        rf.ImageModel(**stated)  # type: ignore[arg-type]


def test_the_limit_of_wide_gaussian_data() -> None:
    """On Gaussian rows it agrees with the theory of their covariance."""
    d, n = 32, 64
    X = np.random.default_rng(6).standard_normal((800, d))
    found = rf.timescales(rf.solve(rf.ImageModel(X, 0.3, n, features=64, seed=1, classes=1))).end
    limit = rf.timescales(rf.solve(rf.ScoreModel(0.3, 64 / d, n / d))).end
    # d = 32 is some per cent from the limit
    assert float(found.test) == pytest.approx(float(limit.test), rel=0.05)
    assert float(found.train) == pytest.approx(float(limit.train), rel=0.05)
