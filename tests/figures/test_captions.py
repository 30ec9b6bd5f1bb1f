"""What the captions of the figures say, from the exact theory: each number is formatted from it."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, Timescales, bulk_split, scaling, solve, timescales
from dmft_rf.curves.solve import Solution
from figures import data_scale, diffusion_times, eigenmodes, learning_curves, noise_draws
from figures.catalogue import MODULES, figure
from figures.shared import curves

GALLERY = Path(__file__).parents[2] / "docs" / "gallery.md"
TAU = np.geomspace(0.3, 1e8, 2000)


def said(name: str, text: str) -> bool:
    """Whether the caption of a figure holds these words."""
    return text in figure(name).caption


def times_of(model: ScoreModel) -> Timescales:
    return timescales(solve(model))


def first_above(tau: np.ndarray, values: np.ndarray, level: float) -> float:
    """Time at which the values, seen from their minimum on, first pass the level."""
    i = int(np.argmin(values))
    j = i + int(np.argmax(values[i:] > level))
    share = (level - values[j - 1]) / (values[j] - values[j - 1])
    return float(np.exp(np.interp(share, [0.0, 1.0], np.log(tau[j - 1 : j + 1]))))


def spread(values: list[float]) -> str:
    return f"{max(values) / min(values):.1f}"


@pytest.mark.parametrize("name", MODULES)
def test_the_gallery_has_the_same_captions(name: str) -> None:
    page = GALLERY.read_text(encoding="utf-8")
    _, _, after = page.partition(f"(images/gallery/{name}.png)\n\n")
    shown = re.sub(r"\\(.)", r"\1", after.split("\n\n")[0])
    assert " ".join(shown.split()) == figure(name).caption


def test_spectrum() -> None:
    edges = solve(ScoreModel(0.01, 64.0, 8.0)).spectrum.edges
    c = ScoreModel(0.01, 64.0, 8.0).coefficients
    middle = c.s2 + c.v2 * (1.0 + np.array([-1.0, 1.0]) * math.sqrt(8.0)) ** 2
    assert np.all(np.abs(middle / edges[1] - 1.0) < 0.05)
    assert np.any(np.abs(middle / edges[1] - 1.0) > 0.04)
    assert said("spectrum", "the edges of the middle bulk within 5 %")
    population = np.ptp(c.mu1**2 * np.array([7.0, 9.0]) ** 2)
    assert said("spectrum", f"{np.ptp(edges[2]) / population:.1f} times as wide")


def test_spectrum_samples() -> None:
    mem = [times_of(ScoreModel(0.01, 64.0, n)).tau_mem for n in (4.0, 8.0, 16.0, 32.0)]
    powers = np.diff(np.log2(mem))
    assert said("spectrum-samples", "the powers {:.2f}, {:.2f} and {:.2f} of n".format(*powers))


def test_learning_curves() -> None:
    least, gap, score, unit = [], [], [], []
    for psi_n in learning_curves.PSI_N:
        solution = solve(ScoreModel(learning_curves.T, learning_curves.PSI_P, float(psi_n)))
        found = solution.learning_curves(TAU)
        least.append(timescales(solution).tau_opt)
        gap.append(timescales(solution).tau_mem)
        end = float(solution.learning_curves([math.inf]).score_error[0])
        score.append(first_above(TAU, found.score_error, 0.5 * end))
        unit.append(curves.memorization_time(solution))
    assert said("learning-curves", f"(tau = {least[0]:.0f} to {least[-1]:.0f})")
    for times, name in ((gap, "by a factor of {} instead of {}"), (score, "by {} instead of {}")):
        assert times == sorted(times)  # later for more samples
        scaled = [time / one for time, one in zip(times, unit, strict=True)]
        assert said("learning-curves", name.format(spread(scaled), spread(times)))


def test_gap_maps() -> None:
    def gap(psi_p: float, psi_n: float) -> np.ndarray:
        found = solve(ScoreModel(0.1, psi_p, psi_n), rtol=1e-6).learning_curves(
            [1e3, 1e4, math.inf]
        )
        return found.generalization_gap

    few = (1.0, 2.0, 4.0, 8.0, 16.0)
    growth = np.array([gap(16.0 * n, n) / gap(4.0 * n, n) for n in few])[:, :2]
    for (low, high), text in zip(
        zip(growth.min(axis=0), growth.max(axis=0), strict=True),
        ("by {:.0f} to {:.0f} % in (a)", "by {:.0f} to {:.0f} % in (b)"),
        strict=True,
    ):
        assert said("gap-maps", text.format(100.0 * low - 100.0, 100.0 * high - 100.0))
    below = np.array([gap(n / 10.0, n) for n in (*few, 24.0, 32.0, 64.0, 128.0)])
    assert 0.015 < below.max() < 0.025
    assert said("gap-maps", "at p = n/10 it stays below 0.025 for ever")


def test_diffusion_times() -> None:
    solutions = [
        solve(ScoreModel(t, diffusion_times.PSI_P, diffusion_times.PSI_N))
        for t in diffusion_times.TIMES
    ]
    found = [timescales(solution) for solution in solutions]
    ends = [solution.learning_curves([math.inf]) for solution in solutions]
    assert np.all(np.diff([x.tau_gen for x in found]) < 0.0)
    assert np.all(np.diff([x.window for x in found]) < 0.0)
    damage = [end.score_error[0] / x.score_error_min for end, x in zip(ends, found, strict=True)]
    assert np.all(np.diff(damage) < 0.0)
    first, last = found[0].window, found[-1].window
    assert said("diffusion-times", f"is {first:,.0f} at t = 0.01 and {last:.1f} at t = 1")
    rise = 100.0 * (ends[-1].test[0] / found[-1].test_min - 1.0)
    assert said("diffusion-times", f"ends {rise:.1f} % above its minimum")


def test_data_scale() -> None:
    ratios = []
    for psi_n in data_scale.PSI_N:
        narrow, wide = (
            solve(
                ScoreModel(
                    data_scale.T, data_scale.PSI_P, float(psi_n),
                    covariance=Covariance.isotropic(sigma**2),
                )
            )
            for sigma in data_scale.SCALES
        )  # fmt: skip
        a, b = timescales(narrow), timescales(wide)
        ends = [float(s.learning_curves([math.inf]).score_error[0]) for s in (narrow, wide)]
        ratios.append((a.tau_gen / b.tau_gen, a.tau_mem / b.tau_mem, ends[1] / ends[0]))
    low, high = np.min(ratios, axis=0), np.max(ratios, axis=0)
    assert said("data-scale", f"learned {low[0]:.1f} to {high[0]:.1f} times sooner")
    first, second = (s.model.initial_score_error for s in (narrow, wide))
    assert said("data-scale", f"error is {first:.1f} and {second:.2f}")
    assert said("data-scale", f"fitted {low[1]:.1f} to {high[1]:.1f} times sooner")
    assert said("data-scale", f"ends {low[2]:.0f} to {high[2]:.0f} times higher")


def test_minimal_error() -> None:
    sizes = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    law = scaling(ScoreModel(0.01, 32.0, 1.0), "psi_n", [1.0, *sizes])
    best, slopes = law.quantities["score_error_min"][1:], -law.local_exponents["score_error_min"]
    fit = -np.polyfit(np.log(sizes), np.log(best), 1)[0]
    assert said("minimal-error", f"gives {fit:.3f}")
    assert said("minimal-error", f"from {slopes[0]:.2f} at psi_n = 1 to 0.71 near 50")
    later = [
        -scaling(ScoreModel(0.01, psi_p, 1.0), "psi_n", [20.0, 50.0, 200.0, 2000.0])
        .local_exponents["score_error_min"]
        for psi_p in (32.0, 256.0, 1e4)
    ]  # fmt: skip
    assert f"{later[0][1]:.2f}" == "0.71"
    for i, slope in enumerate(later):  # the wider, the later the largest slope
        assert int(np.argmax(slope)) == i + 1
    assert later[0].max() < later[1].max() < later[2].max() < 1.0


def test_timescales() -> None:
    law = scaling(ScoreModel(0.01, 256.0, 1.0), "psi_n", [1.0, 2.3, 5.0, 10.0, 25.0, 1e4])
    gen = law.quantities["tau_gen"]
    assert said("timescales", f"(it is {gen[0]:.0f} to {gen[-1]:.0f})")
    assert np.all(np.diff(gen) > 0.0)
    slope = law.local_exponents["tau_mem"]
    assert said(
        "timescales", f"(local exponent {slope[1]:.1f} to {slope[4]:.1f} for psi_n from 2.3"
    )
    assert np.all(np.diff(slope[1:5]) < 0.0)


def test_bulk_learning() -> None:
    solution = solve(ScoreModel(0.01, 64.0, 8.0))
    tau = np.concatenate([np.geomspace(0.1, 1e8, 300), [math.inf]])
    parts, whole = bulk_split(solution, tau), solution.learning_curves(tau)
    thin, samples, data = parts.removable
    for text in (f"removes {data:.3f}", f"removes {samples:.3f}", f"removes {thin:.3f}"):
        assert said("bulk-learning", text)
    rise = parts.test[2][-1] / parts.test[2].min() - 1.0
    assert 0.002 < rise < 0.003
    assert said("bulk-learning", "ends within 0.3 % of its minimum")
    assert parts.test[0][-1] > 0.9 * whole.test[-1] > 20.0
    assert parts.test[1][-1] < 1.0


def test_eigenmodes() -> None:
    """A mode is half learned within 9 % of the population's time, for every psi_n drawn."""

    def share(solution: Solution, k: int, time: float) -> float:
        return float(eigenmodes.learned(solution, np.array([time]))[0, k])

    effective = eigenmodes.model_of(8.0).covariance.effective_dimension
    assert said("eigenmodes", f"d_eff = {effective:.1f}")
    for psi_n in eigenmodes.PSI_N:
        solution = solve(eigenmodes.model_of(psi_n))
        population = eigenmodes.population_times(solution.model)
        for k in range(0, 64, 9):
            assert share(solution, k, 0.91 * population[k]) < 0.5
            assert share(solution, k, 1.09 * population[k]) > 0.5
        assert np.all(eigenmodes.learned(solution, np.array([1e9])) > 1.0)
    assert said("eigenmodes", "within 9 % of it for every sample size")


def test_noise_draws() -> None:
    found = {
        m: solve(noise_draws.model_of(m), rtol=1e-7).learning_curves(TAU).test
        for m in (1, 4, math.inf)
    }
    one, average = found[1], found[math.inf]
    assert said("noise-draws", f"least loss {one.min():.2f} instead of {average.min():.2f}")
    assert said("noise-draws", f"to {one[-1]:.2f} instead of {average[-1]:.2f}")
    at_peak = found[4]  # p = n m
    i = int(np.argmin(at_peak))
    assert np.all(np.diff(at_peak[i:]) > 0.0)
    assert said("noise-draws", "near p = n m for every m, within a tenth")
    for m in noise_draws.CUTS:
        edge = m * noise_draws.PSI_N
        below, near, above = (noise_draws.final(m, x * edge) for x in (0.9, 1.04, 1.15))
        assert below < near > above
