"""What the captions of the figures of generation say, and their numbers against physics."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from dmft_rf import generation_times
from figures import generated_quality, generated_score, generated_stopping
from figures.catalogue import figure
from figures.numbers import Numbers


def said(name: str, text: str) -> bool:
    """Whether the caption of a figure holds these words."""
    return text in figure(name).caption


def total_variation(numbers: Numbers, one: str, other: str) -> float:
    apart = np.abs(numbers[f"{one}/density"] - numbers[f"{other}/density"])
    return float(0.5 * np.trapezoid(apart, numbers["x"]))


def test_quality_at_large_sample_sizes(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("generated-quality")
    gen, mem, opt = (data[f"exponents/{name}"][-1] for name in ("gen", "mem", "opt"))
    assert said("generated-quality", f"to {mem:.2f} for tau_mem")
    assert said("generated-quality", f"to {opt:.2f} for tau_opt")
    assert abs(gen) < 1e-3
    least = data["times/least"][-1]
    assert said("generated-quality", f"and {least:.4f} at 128")
    assert said("generated-quality", f"and {least / generated_quality.plateau(128.0):.2f} of that")
    # what is generated lies between the data and N(0, C)
    for psi_n, kl in zip(data["psi_n"], data["times/least"], strict=True):
        assert 0.5 < kl / generated_quality.plateau(psi_n) < 1.0


def test_early_and_late_collapse() -> None:
    early = [float(generated_quality.curve(n, np.array(4.0)).kl) for n in generated_quality.PSI_N]
    assert {f"{kl:.3f}" for kl in early} == {"0.196"}
    assert said("generated-quality", "at tau = 4 KL is 0.196 for all")
    late = [float(generated_quality.curve(n, np.array(1e3 * n)).frechet) for n in (32.0, 128.0)]
    assert {f"{distance:.2f}" for distance in late} == {"0.40"}
    assert said("generated-quality", "distance is 0.40 for psi_n = 32 and 128 alike")


@pytest.mark.slow
def test_times_of_every_sample_size() -> None:
    found = [
        generation_times(generated_quality.curve(n, np.array(1.0)), generated_quality.LEVEL)
        for n in generated_quality.PSI_N
    ]
    gen = [times.tau_gen for times in found]
    assert said("generated-quality", f"between {min(gen):.2f} and {max(gen):.2f}")
    first, last = found[0].tau_mem, found[-1].tau_mem
    assert said("generated-quality", f"from {first:.0f} to {last:.0f}. ")
    mem, opt = math.log2(found[1].tau_mem / first), math.log2(found[1].tau_opt / found[0].tau_opt)
    assert said("generated-quality", f"from {mem:.2f} to")
    assert said("generated-quality", f"from {opt:.2f} to")
    share = found[0].kl_min / generated_quality.plateau(4.0)
    assert said("generated-quality", f"KL, {found[0].kl_min:.4f} at psi_n = 4")
    assert said("generated-quality", f"is {share:.2f} and")


def test_stopping_at_few_samples(numbers: Callable[[str], Numbers]) -> None:
    data, name = numbers("generated-stopping"), "generated-stopping"
    early, t = data["psi_n=4/loss_optimal"][0], data["t"][0]
    assert said(name, f"{early * t:.2f}/t for psi_n = 4")
    costs = {way: generated_stopping.ratio(data, 4.0, way) for way in generated_stopping.NAMES}
    assert said(name, f"costs {costs['noise']:.2f} to")
    assert said(name, f"costs {costs['t=0.01']:.2f} times at 4")
    assert costs["t=0.1"] == pytest.approx(1.0, abs=1e-3)
    assert 1.0 < costs["each"] < costs["noise"]


@pytest.mark.slow
def test_stopping_at_every_sample_size(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "generated-stopping"
    monkeypatch.setattr(generated_stopping, "PSI_N", {"quick": (4.0, 16.0, 32.0, 64.0)})
    data = generated_stopping.compute("quick", None)  # type: ignore[arg-type]
    best = [data.number(f"psi_n={n}/generation_optimal") for n in (4, 16, 64)]
    assert said(name, "{:.0f}, {:.0f} and {:.0f}".format(*best))
    assert said(name, f"{data['psi_n=64/loss_optimal'][0] * data['t'][0]:.2f}/t for 64")
    each = [generated_stopping.ratio(data, n, "each") for n in (4.0, 32.0, 64.0)]
    assert said(name, "{:.2f} times as much at psi_n = 4, {:.2f} at 32 and {:.2f}".format(*each))
    assert said(name, f"to {generated_stopping.ratio(data, 64.0, 'noise'):.2f} times")
    late = generated_stopping.ratio(data, 64.0, "t=0.1")
    assert said(name, f"costs {late:.2f} times at 64")


def test_score_in_one_dimension(numbers: Callable[[str], Numbers]) -> None:
    data, name = numbers("generated-score"), "generated-score"
    between = [total_variation(data, "between", other) for other in ("exact", "empirical")]
    late = [total_variation(data, "late", other) for other in ("empirical", "exact")]
    assert said(
        name, "within {:.2f} of the data's in total variation and {:.2f} from".format(*between)
    )
    assert said(name, "within {:.2f} of the samples' and {:.2f} from".format(*late))
    assert total_variation(data, "early", "exact") > 5.0 * between[0]
    # the empirical score is the slope of the logarithm of its density
    x, density = data["x"], data["empirical/density"]
    slope = np.gradient(np.log(density), x)
    inside = np.abs(x) < 0.8
    np.testing.assert_allclose(slope[inside], data["empirical/score"][inside], atol=0.1)


def test_flow_of_the_network_in_one_dimension() -> None:
    """The closed form against a fourth-order integration of the flow itself."""
    network = generated_score.Network(generated_score.samples())
    x, tau, steps = np.linspace(-2.0, 2.0, 5), 40.0, 400
    weights = np.zeros(network.V.size)  # in the basis of U
    clock = 2.0 * network.noise / network.V.size
    h = tau / steps

    def force(a: np.ndarray) -> np.ndarray:
        return np.asarray(clock * (network.V - network.values * a))

    for _ in range(steps):
        k1 = force(weights)
        k2 = force(weights + 0.5 * h * k1)
        k3 = force(weights + 0.5 * h * k2)
        k4 = force(weights + h * k3)
        weights = weights + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    found = -network.features(x) @ (network.vectors @ weights) / math.sqrt(network.noise)
    np.testing.assert_allclose(network.score(x, tau), found, rtol=1e-8, atol=1e-9)
