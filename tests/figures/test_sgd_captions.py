"""What the captions of the figures of SGD say, and their numbers against physics."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from dmft_rf import ScoreModel, StochasticGradientDescent, sgd, solve, timescales
from figures import sgd_delay, sgd_losses, sgd_repair
from figures.catalogue import figure
from figures.numbers import Numbers


def said(name: str, text: str) -> bool:
    """Whether the caption of a figure holds these words."""
    return text in figure(name).caption


def test_sgd_losses() -> None:
    solution = solve(sgd_losses.MODEL)
    ends, half = [], []
    for rule in sgd_losses.rules().values():
        end = solution.learning_curves([math.inf], rule)
        ends.append((float(end.train[0]), float(end.generalization_gap[0])))
        half.append(timescales(solution, rule=rule).tau_mem)
    flow, *noisy = (train for train, _ in ends)
    assert said("sgd-losses", "{:.2f}, {:.2f} and {:.2f}, that".format(*noisy))
    assert said("sgd-losses", f"gradient flow, {flow:.2f}, over 1 - load")
    for noise, train in zip(sgd_losses.NOISES, noisy, strict=True):
        load = float(sgd.load(solution, StochasticGradientDescent(noise)))
        assert train == pytest.approx(flow / (1.0 - load), rel=1e-9)
    assert {f"{gap:.2f}" for _, gap in ends} == {"0.84"}
    assert said("sgd-losses", "the gap ends at 0.84 under every noise")
    assert said(
        "sgd-losses", "(tau = {:.0f} under gradient flow, {:.0f}, {:.0f} and {:.0f})".format(*half)
    )
    loudest = solution.learning_curves(sgd_losses.TAU, StochasticGradientDescent(10.0))
    assert f"{loudest.load[0]:.2f}" == "0.71"
    assert min(loudest.train.min(), loudest.test.min()) > 1.0
    assert said("sgd-losses", "at a load of 0.71 neither loss ever falls below")


def test_networks_follow_the_losses(numbers: Callable[[str], Numbers]) -> None:
    """Within three errors, and what is of order 1/d over 1 - load."""
    data = numbers("sgd-losses")
    d = data.number("networks/d")
    for label in sgd_losses.rules():
        room = 1.0 / (d * (1.0 - data.number(f"{label}/load")))
        for name in ("train", "test"):
            found, error, at = (
                data[f"{label}/networks/{key}"] for key in (name, f"{name}_error", "tau")
            )
            line = np.interp(np.log(at), np.log(data[f"{label}/tau"]), data[f"{label}/{name}"])
            assert np.all(np.abs(found - line) < 3.0 * error + 2.0 * room * line)


@pytest.mark.slow
def test_sgd_delay() -> None:
    values = np.array([2.0, 4.0, 8.0, 16.0, 128.0])
    few, many = (
        {load: sgd_delay.law(psi_p, load, values) for load in sgd_delay.LOADS}
        for psi_p in (sgd_delay.PSI_P, sgd_delay.WIDE)
    )
    for load, words in ((0.5, "{:.1f} to {:.1f} times at a load of 0.5"),
                        (0.95, "{:.1f} to {:.1f} times at 0.95")):  # fmt: skip
        delay = few[load][0][:4] / few[0.0][0][:4]
        assert said("sgd-delay", words.format(delay.min(), delay.max()))
    assert few[0.95][0][4] == few[0.0][0][4] == math.inf
    assert said(
        "sgd-delay", f"from {few[0.0][1][3]:.2f} under gradient flow to {few[0.95][1][3]:.2f}"
    )
    exponents = [many[load][1][4] for load in sgd_delay.LOADS]
    assert said("sgd-delay", f"({min(exponents):.2f} to {max(exponents):.2f} at psi_n = 128)")
    assert said("sgd-delay", f"a constant, {many[0.95][0][4] / many[0.0][0][4]:.1f} times at 0.95")


def test_the_delay_is_that_of_a_higher_ratio(numbers: Callable[[str], Numbers]) -> None:
    """Test over train loss is 2 about where that of gradient flow is (2 - f)/(1 - f)."""
    data = numbers("sgd-delay")
    load = 0.95
    for psi_n, time in zip(data["psi_n"], data[f"psi_p=64/load={load}/time"], strict=True):
        flow = timescales(solve(ScoreModel(sgd_delay.T, 64.0, float(psi_n))))
        higher = flow.tau_ratio((2.0 - load) / (1.0 - load))
        assert time == pytest.approx(higher, rel=0.05)


def test_sgd_repair() -> None:
    solution = solve(sgd_repair.MODEL)
    one = sgd.threshold(solution, StochasticGradientDescent(1.0))

    def least(name: str, load: float) -> float:
        return timescales(solution, rule=sgd_repair.rule_of(name, load * one)).score_error_min

    flow, noisy = least("flow", 1.0), least("constant", 0.01)
    assert said("sgd-repair", f"the least score error from {flow:.3f} to {noisy:.2f}")
    average, falling = least("average", 0.01), least("falling", 0.01)
    assert said(
        "sgd-repair", f"to {average:.2f}, a rate that falls like 1/(1 + tau/10) to {falling:.3f}"
    )
    late = [
        float(solution.learning_curves(1e4, sgd_repair.rule_of(name, 0.01 * one)).score_error)
        for name in ("flow", "falling")
    ]
    assert late[1] == pytest.approx(late[0], rel=0.01)
    steps = 200.0 + 0.5 * 200.0**2 / sgd_repair.FALL  # of d tau over the rate
    assert said("sgd-repair", f"{steps / 200.0:.0f} times as many steps")
    assert least("constant", 0.1) == pytest.approx(1.0)
    assert said("sgd-repair", f"({least('average', 0.1):.2f})")
    assert said("sgd-repair", f"comes to {least('falling', 0.1):.3f}")
    little = least("average", 1e-4), least("constant", 1e-4)
    assert said("sgd-repair", "({:.3f} instead of {:.3f} there)".format(*little))
