"""Every number of docs/paper.md, computed anew."""

import math
from pathlib import Path

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf._typing import Array

PAGE = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
SIZES = [4.0, 8.0, 16.0, 32.0, 64.0]
DIFFUSION_TIMES = np.array([0.003, 0.01, 0.03, 0.1, 0.3])


def written(numbers: Array, places: int) -> str:
    return ", ".join(f"{x:.{places}f}" for x in numbers)


def test_times_of_generalization_are_nearly_constant() -> None:
    law = rf.scaling(rf.ScoreModel(0.01, 64.0, 4.0), "psi_n", SIZES)
    slopes = law.local_exponents["tau_gen"]
    assert written(law.quantities["tau_gen"], 1) + " for psi_n = 4 to 64 (psi_p = 64)" in TEXT
    assert f"the exponent in n is {slopes[0]:.2f} at 4, {slopes[-1]:.2f} at 64" in TEXT
    assert np.all(np.diff(slopes) < 0.0)
    assert written(law.local_exponents["tau_mem"][:4], 2) + " for psi_n = 4 to 32" in TEXT


def test_times_of_memorization_are_proportional_to_the_samples() -> None:
    law = rf.scaling(rf.ScoreModel(0.01, math.inf, 4.0), "psi_n", SIZES)
    assert written(law.local_exponents["tau_mem"], 2) + " for psi_n = 4 to 64" in TEXT


def test_the_window_depends_on_the_diffusion_time() -> None:
    windows = [
        rf.timescales(rf.solve(rf.ScoreModel(t, math.inf, 8.0))).window for t in DIFFUSION_TIMES
    ]
    noise = -np.expm1(-2.0 * DIFFUSION_TIMES)
    slopes = np.diff(np.log(windows)) / np.diff(np.log(noise))
    assert f"exponent in Delta_t: {written(slopes, 2)} between" in TEXT


def test_three_bulks_and_their_edges() -> None:
    law = rf.spectrum(rf.ScoreModel(0.01, 64.0, 8.0))
    np.testing.assert_allclose(64.0 * law.bulk_masses, [1.0, 7.0, 1.0], rtol=1e-9)
    assert f"the atom {law.atoms[0, 1]:.3f}" in TEXT
    assert f"[{written(law.edges[-1], 2)}]" in TEXT


def test_the_final_gap_falls_without_a_jump() -> None:
    def gap(psi_n: float) -> float:
        solution = rf.solve(rf.ScoreModel(0.01, 64.0, psi_n))
        return float(solution.learning_curves([math.inf]).generalization_gap[0])

    half, one, two, four = (gap(64.0 * x) for x in (0.5, 1.0, 2.0, 4.0))
    assert (
        f"final gap is {half:.1f}, {one:.2f}, {two:.3f}, {four:.3f} at n = p/2, p, 2p, 4p" in TEXT
    )
    slope = math.log2(gap(64.0 * 16.0) / gap(64.0 * 8.0))
    assert f"exponent is {slope:.2f} from n = 8p to 16p" in TEXT


def test_the_usable_interval_ends_long_before_memorization() -> None:
    times = rf.timescales(rf.solve(rf.ScoreModel(0.01, 64.0, 8.0)))
    start, end = times.usable(1.1)
    assert f"from {start:.0f} to {end:.0f} (psi_p = 64, psi_n = 8)" in TEXT
    assert f"`tau_mem` = {times.tau_mem:,.0f}" in TEXT


@pytest.mark.slow
def test_what_is_generated() -> None:
    found = [
        rf.generation_times(rf.generation(rf.ScoreModel(0.01, math.inf, n), 1.0))
        for n in (4.0, 16.0, 64.0, 256.0)
    ]
    assert written(np.array([x.tau_gen for x in found]), 2) + " for psi_n = 4, 16, 64, 256" in TEXT
    spoiled = np.array([x.tau_mem for x in found])
    assert f"spoiled again is {written(spoiled, 0)}:" in TEXT
    slopes = np.diff(np.log(spoiled)) / math.log(4.0)
    assert f"exponents {written(slopes, 2)}, which go to 1" in TEXT
    assert f"grows as well: {found[0].tau_opt:.1f}, {found[1].tau_opt:.1f}, " in TEXT
    assert f"{found[2].tau_opt:.1f}, {found[3].tau_opt:.0f}." in TEXT
