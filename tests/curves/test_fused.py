"""One model in compiled calls gives what single steps give, within what both claim."""

import math
from typing import Any

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves import fused
from dmft_rf.curves.carrying import carrying_nodes
from dmft_rf.curves.fused import Statement, flow_nodes, nodes_before, with_flow
from dmft_rf.curves.losses import LOSSES, curves_on
from dmft_rf.curves.majorants import Few
from dmft_rf.kernels import flow_filter
from dmft_rf.kernels._jit import COMPILED
from dmft_rf.kernels.fused_losses import few_of
from dmft_rf.kernels.fused_zero import score_at_end

compiled = pytest.mark.skipif(not COMPILED, reason="as plain Python nothing takes this route")


def random_model(rng: np.random.Generator) -> rf.ScoreModel:
    """Anything that the compiled calls take: sizes over decades, up to a dozen eigenvalues."""
    lam = np.append(10 ** rng.uniform(-1.5, 1.0, rng.integers(1, 12)), [0.0] * rng.integers(0, 2))
    name = ["tanh", "relu", "erf", "softplus"][rng.integers(4)]
    psi_p, psi_n = 10 ** rng.uniform(-0.7, 2.3, 2)
    return rf.ScoreModel(10 ** rng.uniform(-2.5, 0.3), psi_p, psi_n, name, rf.Covariance(lam))


@compiled
@pytest.mark.parametrize("seed", range(12))
def test_both_routes_agree_within_what_they_claim(seed: int) -> None:
    rng = np.random.default_rng([seed, 21])
    model = random_model(rng)
    quick = flow_nodes(rf.spectrum(model), 1e-10)
    assert quick is not None
    nodes, error, _ = quick
    slow, slow_error, _ = carrying_nodes(rf.spectrum(model), 1e-10, nodes.points.size)
    assert nodes.law.ends == rf.spectrum(model).ends
    assert error == pytest.approx(slow_error, rel=0.5, abs=1e-13)
    low, high = rf.spectrum(model).ends
    times = np.geomspace(1e-3 / (model.rate * high), 1e3 / (model.rate * low), 150)
    times = np.concatenate([[math.inf, 0.0], rng.permutation(times)])
    for decay in (0.0, 10 ** rng.uniform(-2, 0) * math.sqrt(low * high)):
        rule = rf.GradientFlow(weight_decay=decay)
        one, other = curves_on(nodes, times, rule), curves_on(slow, times, rule)
        assert one.relative_error == pytest.approx(one._largest(one.error), rel=1e-12)
        for name in LOSSES:
            apart = np.abs(getattr(one, name) - getattr(other, name))
            claims = one.error[name] + other.error[name]
            assert np.all(apart <= claims), name
            # what bounds the last time of an octave stands for all of it, over which it grows
            # tenfold at times before the fastest mode
            assert np.all(one.error[name] <= 16.0 * other.error[name]), name
            assert np.all(one.error[name] >= other.error[name] / 4.0), name


@compiled
@pytest.mark.parametrize("seed", range(8))
def test_few_nodes_are_as_accurate_as_they_claim(seed: int) -> None:
    rng = np.random.default_rng([seed, 22])
    model = random_model(rng)
    low, high = rf.spectrum(model).ends
    times = np.geomspace(1e-2 / (model.rate * high), 1e3 / (model.rate * low), 200)
    times = np.concatenate([[0.0], times, [math.inf]])
    for rule in (rf.GradientFlow(), rf.GradientFlow(10 ** rng.uniform(-3, 0) * low)):
        best = rf.solve(model, 1e-11).learning_curves(times, rule)
        for rtol in (1e-3, 1e-6, 1e-9):
            found = rf.solve(model, rtol).learning_curves(times, rule)
            assert found.relative_error <= rtol
            for name in LOSSES:
                apart = np.abs(getattr(found, name) - getattr(best, name))
                assert np.all(apart <= found.error[name] + best.error[name]), (rtol, name)


@compiled
def test_the_first_number_of_nodes_is_enough_and_not_too_many() -> None:
    rng = np.random.default_rng(23)
    again, claims = 0, []
    for _ in range(60):
        model, rtol = random_model(rng), 10 ** rng.uniform(-10.5, -3)
        quick = flow_nodes(rf.spectrum(model), rtol)
        assert quick is not None
        nodes, error, tries = quick
        assert tries > 1 or nodes.points.size == nodes_before(nodes.law, rtol)
        again += tries > 1
        claims.append(error / (0.5 * rtol))
    assert again <= 4
    # a factor of ten is a seventh of the nodes at 1e-10
    assert np.median(claims) > 0.1


@pytest.mark.parametrize("seed", range(6))
def test_the_end_of_training_is_known_at_zero(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "COMPILED", True)
    model = random_model(np.random.default_rng([seed, 24]))
    law, stated = rf.spectrum(model), Statement.of(model)
    assert stated is not None
    bias, norm, variance = score_at_end(
        law.at_zero.k, law.at_zero.E[0], stated.par(model.psi_p, model.psi_n), stated.lam, stated.w,
        stated.label, stated.q, stated.model(model.psi_p), (stated.diffused, stated.w),
    )  # fmt: skip
    monkeypatch.undo()
    end = rf.solve(model, 1e-8).learning_curves(math.inf)
    score = (bias + model.learned_noise * norm + variance) / model.Delta_t
    # rounding of the solution at 0 is magnified by the distance from a hard edge
    assert abs(score - end.score_error) <= end.error["score_error"] + 1e-10 * score
    assert abs(norm - end.weight_norm) <= end.error["weight_norm"] + 1e-10 * norm


def test_the_calls_as_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "COMPILED", True)
    model = rf.ScoreModel(1.0, 0.2, 40.0)
    quick = flow_nodes(rf.spectrum(model), 1e-2)
    assert quick is not None
    slow = carrying_nodes(rf.spectrum(model), 1e-2)[0]
    times = np.geomspace(1e-2, 1e2, 5) / model.rate
    one, other = (curves_on(nodes, times, rf.GradientFlow(0.1)) for nodes in (quick[0], slow))
    assert one.difference(other) <= one.relative_error + other.relative_error


@compiled
def test_nodes_solved_in_single_steps_are_summed_by_the_same_call() -> None:
    model = rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance(np.geomspace(0.1, 3.0, 200)))
    solution = rf.solve(model, 1e-8)
    assert not solution.diagnostics["compiled"]
    assert solution.nodes.flow is not None
    tau = np.geomspace(1.0, 1e4, 40)
    nodes, _, _ = carrying_nodes(rf.spectrum(model), 1e-8)
    single, quick = curves_on(nodes, tau, rf.GradientFlow()), solution.learning_curves(tau)
    assert quick.difference(single) <= single.relative_error + quick.relative_error


@compiled
@pytest.mark.parametrize(
    "model",
    [
        rf.ScoreModel(0.1, 8.0, 4.0, noise_draws=2),
        rf.ScoreModel(0.1, 8.0, 4.0, "linear"),
        rf.ScoreModel(0.1, math.inf, 4.0),
        rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Mixture([0.5, 0.5], [[1.0], [2.0]], [1.0])),
        rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance(np.geomspace(0.1, 3.0, 200))),
    ],
    ids=["draws", "linear", "wide", "mixture", "atoms"],
)
def test_what_is_left_to_the_other_route(model: Any) -> None:
    assert flow_nodes(rf.spectrum(model), 1e-8) is None


@compiled
def test_other_regions_keep_the_other_route() -> None:
    model = rf.ScoreModel(0.1, 8.0, 4.0)
    nodes = rf.solve(model, 1e-8).nodes
    assert with_flow(nodes).flow is not None
    assert rf.solve(model.replace(noise_draws=4), 1e-8).nodes.flow is None


@compiled
def test_a_model_at_its_hard_edge_costs_its_own_place_only() -> None:
    psi_p = [4.0, 5.0, 6.0]  # the support touches its floor where psi_p = 1 + psi_n
    many = rf.learning_curves_many(
        {"t": 0.1, "psi_p": psi_p, "psi_n": 4.0}, [1.0, 100.0], rtol=1e-8
    )
    for i, size in enumerate(psi_p):
        alone = rf.solve(rf.ScoreModel(0.1, size, 4.0), 1e-8).learning_curves([1.0, 100.0])
        np.testing.assert_array_equal(many.test[i], alone.test)


def test_few_times_are_those_of_the_other_route() -> None:
    rng = np.random.default_rng(3)
    tau = np.concatenate([[0.0, math.inf, 5e-324, 1e308], 10 ** rng.uniform(-3, 3, 150)])
    for times in (rng.permutation(tau), np.sort(tau), tau[:20], np.geomspace(1.0, 1e60, 60)):
        few, found = Few.of(times), few_of(times)
        np.testing.assert_array_equal(times[found[0]], times[few.kept])
        np.testing.assert_array_equal(found[1], few.low)
        np.testing.assert_array_equal(found[2], few.high)


def test_the_filter_keeps_its_digits() -> None:
    rng = np.random.default_rng(4)
    work = np.zeros(flow_filter.FREE * flow_filter.TILE)
    for _ in range(20):
        y = 10 ** rng.uniform(-4, 3) * complex(1.0, 10 ** rng.uniform(-3, 1.5))
        tau = np.concatenate([[0.0], 10 ** rng.uniform(-12, 4, flow_filter.TILE - 2), [math.inf]])
        work[: flow_filter.TILE] = -tau
        flow_filter.decayed(y, work, work.view(np.int64))
        size = flow_filter.TILE
        left = work[flow_filter.LEFT_RE :][:size] + 1j * work[flow_filter.LEFT_IM :][:size]
        gone = work[flow_filter.GONE_RE :][:size] + 1j * work[flow_filter.GONE_IM :][:size]
        finite = tau[:-1]
        # the exponential of numpy turns by an angle of up to 3e5, which has its own rounding
        np.testing.assert_allclose(gone[:-1], -np.expm1(-y * finite), rtol=4e-15, atol=0.0)
        np.testing.assert_allclose(left[:-1], np.exp(-y * finite), rtol=4e-13, atol=1e-290)
        assert left[-1] == pytest.approx(0.0, abs=1e-300)
        assert gone[-1] == 1.0
