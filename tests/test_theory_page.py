"""Statements of docs/theory.md about times and exponents, each formatted from exact solutions."""

import math
from pathlib import Path

import numpy as np

from dmft_rf import GradientFlow, ScoreModel, scaling, solve, spectrum, timescales
from dmft_rf.curves.losses import curves_on
from dmft_rf.curves.nodes import nodes_on_contour
from dmft_rf.curves.thresholds import n_star, n_window
from dmft_rf.numerics.region import Region
from dmft_rf.spectra.spectrum import Spectrum
from tests.helpers.plain import INFINITE_DRAWS, REFERENCE, reference_model

DOCS = Path(__file__).parents[1] / "docs"


def page(name: str) -> str:
    """A page as one line, without the dollars of its formulas."""
    return " ".join((DOCS / name).read_text(encoding="utf-8").replace("$", "").split())


def window(t: float, psi_n: float) -> float:
    return timescales(solve(ScoreModel(t, 4096.0, psi_n))).window


def test_the_window_grows_like_psi_n_over_delta_t() -> None:
    found = [
        (window(t, psi_n), -math.expm1(-2.0 * t) / psi_n)
        for psi_n in (8.0, 16.0, 32.0)
        for t in (0.003, 0.01, 0.03)
    ]
    windows = [ratio for ratio, _ in found]
    constants = [ratio * unit for ratio, unit in found]
    assert f"lies between {min(constants):.1f} and {max(constants):.1f}" in page("theory.md")
    low, high = (f"{x:.1e}".replace("e+0", "e") for x in (min(windows), max(windows)))
    assert f"goes from {low} to {high}" in page("theory.md")


def test_the_fitted_and_the_local_exponents_of_the_least_score_error() -> None:
    sizes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    law = scaling(ScoreModel(0.01, 32.0, 1.0), "psi_n", sizes)
    best, slope = law.quantities["score_error_min"], -law.local_exponents["score_error_min"]
    assert ", ".join(f"{x:.6f}" for x in best) in page("theory.md")
    fit = -np.polyfit(np.log(sizes[1:]), np.log(best[1:]), 1)[0]
    assert f"has the exponent {fit:.3f}" in page("theory.md")
    assert f"is {slope[0]:.2f} at \\psi_n = 1, {slope[1]:.2f} at 2 and 0.71 near 50" in page(
        "theory.md"
    )
    near = scaling(ScoreModel(0.01, 32.0, 1.0), "psi_n", [30.0, 50.0, 90.0])
    before, there, after = -near.local_exponents["score_error_min"]
    assert before < there > after
    assert f"{there:.2f}" == "0.71"


def test_tau_mem_against_the_exact_and_the_leading_order_edge() -> None:
    def spreads(psi_p: float, sizes: tuple[float, ...], times: tuple[float, ...]) -> list[float]:
        ratios = []
        for psi_n in sizes:
            for t in times:
                solution = solve(ScoreModel(t, psi_p, psi_n))
                c, mem = solution.model.coefficients, timescales(solution).tau_mem
                leading = c.s2 + c.v2 * (1.0 - math.sqrt(psi_p / psi_n)) ** 2
                exact = solution.spectrum.edges[0, 0]
                ratios.append(mem * c.Delta_t / psi_p * np.array([exact, leading]))
        return list(np.max(ratios, axis=0) / np.min(ratios, axis=0))

    exact, leading = spreads(64.0, (4.0, 8.0, 16.0, 32.0), (0.1,))
    assert f"by a factor of {exact:.1f} against {leading:.1f}" in page("theory.md")
    exact, leading = spreads(32.0, (4.0, 8.0, 16.0), (0.01, 0.1, 0.3))
    assert f"by {exact:.1f} against {leading:.0f}." in page("theory.md")


def test_how_the_times_scale() -> None:
    sizes = [4.0, 8.0, 16.0, 32.0, 64.0]
    wide = scaling(ScoreModel(0.01, 4096.0, 8.0), "psi_n", sizes).local_exponents["tau_mem"]
    assert ", ".join(f"{x:.2f}" for x in wide) in page("theory.md")
    law = scaling(ScoreModel(0.01, 256.0, 8.0), "psi_n", sizes)
    gen, mem = law.quantities["tau_gen"], law.local_exponents["tau_mem"]
    assert f"`tau_gen` is {gen[0]:.1f} to {gen[-1]:.1f}" in page("theory.md")
    assert f"fallen to {mem[-1]:.2f} at" in page("theory.md")
    small = scaling(ScoreModel(0.01, 256.0, 8.0), "t", [0.002, 0.011, 0.02]).local_exponents
    first, second, _ = small["tau_mem"]
    assert f"is {first:.2f} at t = 0.002 and {second:.2f} at t = 0.011" in page("theory.md")
    assert np.all(small["tau_gen"] <= -0.985)


def test_the_thresholds_of_the_phase_diagrams() -> None:
    thin, middle, wide = (ScoreModel(0.01, psi_p, 1.0) for psi_p in (1.0, 9.2, 256.0))
    windows = [n_window(model, 0.1, 3.0, rtol=1e-6) for model in (thin, wide)]
    stars = [n_star(model, 0.1, rtol=1e-6) for model in (thin, middle, wide)]
    text = page("sweeps.md")
    assert "({:.1f} at psi_p = 1, {:.1f} at 256)".format(*windows) in text
    assert "({:.1f} at psi_p = 1, {:.0f} at 9.2, {:,.0f} at 256)".format(*stars) in text
    c = wide.coefficients
    assert f"is {c.Delta_t * math.exp(0.02) * c.v2 / c.s2:.2f} psi_p" in text


def test_few_draws_turn_the_score_error_early() -> None:
    found = []
    for t in (1e-2, 1e-7):
        solution = solve(ScoreModel(t, 8.0, 8.0, noise_draws=4), rtol=1e-9)
        _, high = solution.diagnostics["support"]
        found.append(timescales(solution).tau_opt * solution.model.rate * high)
    late, early = found
    assert f"after {late:.1f} relaxation times of the highest edge at t = 0.01" in page("groups.md")
    assert f"after {early:.1e} of them at t = 1e-7".replace("e-0", "e-") in page("groups.md")


def test_the_table_of_errors_and_estimates() -> None:
    text = (DOCS / "theory.md").read_text(encoding="utf-8")
    table = text.split("| case | decades of support |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[2:6]] for line in table.splitlines()[2:]]
    assert len(rows) == 6
    for model, mine in (
        (ScoreModel(0.1, 8.0, 4.0), rows[:3]),
        (ScoreModel(0.01, 64.0, 8.0), rows[3:]),
    ):
        law = solve(model).spectrum
        low, high = law.ends
        assert f"{math.log10(high / low):.1f}" == mine[0][0]
        times = np.geomspace(1.0 / (model.rate * high), 10.0 / (model.rate * low), 7)
        times = np.append(times, np.inf)

        def test_loss(
            nodes: int, law: Spectrum = law, times: np.ndarray = times
        ) -> tuple[np.ndarray, np.ndarray]:
            curves = curves_on(nodes_on_contour(law, Region(), nodes), times, GradientFlow())
            return curves.test, curves.error["test"]

        exact, _ = test_loss(200)
        for _, nodes, printed_error, printed_estimate in mine:
            found, claimed = test_loss(int(nodes))
            error = float(np.max(np.abs(found / exact - 1.0)))
            estimate = float(np.max(claimed / found))
            # two digits are printed; 4e-15 is the rounding of both sums
            assert abs(error - float(printed_error)) <= 0.05 * error + 4e-15
            assert abs(estimate - float(printed_estimate)) <= 0.05 * estimate
            assert error < estimate


def test_the_line_on_losses_against_reference_values() -> None:
    assert "train 1e-14, test 1e-13, score error 1e-12 or better; density 2e-14" in page(
        "theory.md"
    )
    for name in INFINITE_DRAWS:
        model, expected = reference_model(name), REFERENCE[name]
        curves = solve(model, rtol=1e-12).learning_curves(expected["tau"])
        for curve, least in (("train", 1e-14), ("test", 1e-13), ("score_error", 1e-12)):
            assert np.max(np.abs(getattr(curves, curve) / expected[curve] - 1.0)) < least
        density = np.array(expected["density"])
        inside = density > 1e-12
        found = solve(model).spectrum.density(expected["density_at"])
        assert np.max(np.abs(found[inside] / density[inside] - 1.0)) < 2e-14


def test_the_lines_on_the_hard_edge_and_on_infinite_width() -> None:
    law = spectrum(ScoreModel(0.01, 2.0, 1.0))
    low, high = law.support.offsets[0]
    assert low == 0.0
    offsets = (high - low) * np.array([1e-8, 1e-6])
    first, second = law.density(law.model.coefficients.s2 + offsets) * np.sqrt(offsets)
    assert f"equal to {abs(first / second - 1.0):.0e}".replace("e-0", "e-") in page("theory.md")
    wide, wider = (
        float(solve(ScoreModel(0.1, psi_p, 4.0)).learning_curves(1e3).test) / 1.143993 - 1.0
        for psi_p in (1e4, 1e5)
    )
    assert f"| {abs(wide):.0e}, falling".replace("e-0", "e-") in page("theory.md")
    # the closed form is printed to 5e-7
    assert abs(wider) < 0.1 * abs(wide) + 5e-7
