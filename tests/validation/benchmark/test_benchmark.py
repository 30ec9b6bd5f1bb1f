"""The routes that the benchmark compares give the same numbers; its command and its pages.

The plain route is docs/theory.md written out with scipy.optimize.root: it shares with the library
no more than the coefficients of the model, the support and the number of nodes.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Covariance, DataError, ScoreModel, solve, spectrum
from validation.__main__ import main
from validation.benchmark import dense, plain, report, timing, work
from validation.benchmark.costs import Cost

TAU = np.concatenate([[0.0], np.geomspace(1e-2, 1e9, 60)])
MODELS = {
    "two atoms": work.model_with(2),
    "64 atoms": work.model_with(64),
    "few features": ScoreModel(
        t=0.1, psi_p=4, psi_n=2, activation="relu", covariance=Covariance.power_law(1.0, 32)
    ),
    "many samples": ScoreModel(
        t=0.03, psi_p=2, psi_n=16, covariance=Covariance([0.1, 1.0, 3.0], [0.2, 0.5, 0.3])
    ),
    "isotropic": ScoreModel(t=0.5, psi_p=16, psi_n=100, activation="erf"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_plain_route_gives_the_same_curves(name: str) -> None:
    """The train loss to the error that the library states and that of scipy's root finder.

    It stops at steps of 1e-14 of the length of (q, E), of which q can be a hundredth.

    The others to the accuracy that was asked for: the long two-point formula itself loses five
    digits at the nodes above the spectrum, where its 1 - kappa cancels.
    """
    model = MODELS[name]
    solution = solve(model, rtol=1e-10)
    ours = solution.learning_curves(TAU)
    (m, M), nodes = solution.diagnostics["support"], solution.diagnostics["nodes"]
    other = plain.learning_curves(model, TAU, m, M, nodes)
    assert np.all(np.abs(other.train - ours.train) <= ours.error["train"] + 1e-12)
    for what, start in (("test", 1.0), ("score_error", model.initial_score_error)):
        value = getattr(ours, what)
        apart = np.abs(getattr(other, what) - value)
        assert np.all(apart <= 1e-10 * np.maximum(value, 1e-3 * start)), what


@pytest.mark.parametrize("name", MODELS)
def test_the_plain_route_gives_the_same_density(name: str) -> None:
    """Up to the step at which scipy's root finder stops."""
    law = spectrum(MODELS[name])
    x = law.grid(150)
    other = plain.density(MODELS[name], x, law.edges)
    np.testing.assert_allclose(other, law.density(x), rtol=1e-9)


def test_finite_draws_approach_the_curves() -> None:
    """Without its term in 1/d, by two dimensions, the mean over draws is the limit."""
    model = MODELS["two atoms"].replace(psi_p=8, psi_n=4)
    tau = np.geomspace(1.0, 1e5, 12)
    ours = solve(model).learning_curves(tau)
    draws = {
        d: [dense.learning_curves(model, tau, d, seed) for seed in range(30)] for d in (20, 40)
    }
    for what in ("train", "test"):
        found = {d: np.array([getattr(draw, what) for draw in draws[d]]) for d in draws}
        error = {d: values.std(axis=0, ddof=1) / np.sqrt(30) for d, values in found.items()}
        limit = 2.0 * found[40].mean(axis=0) - found[20].mean(axis=0)
        spread = np.hypot(2.0 * error[40], error[20])
        assert np.all(spread < 0.02 * limit), what
        assert np.all(np.abs(limit - getattr(ours, what)) <= 5.0 * spread), what


def test_a_draw_needs_weights_that_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        dense.learning_curves(MODELS["many samples"], TAU, 7, 0)


# -- times --------------------------------------------------------------------------------------


def test_functions_are_called_in_turns_and_the_fastest_call_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "process_time", lambda: 0.5 * now[0])

    def function(name: str, seconds: list[float]) -> None:
        calls.append(name)
        now[0] += seconds[sum(called == name for called in calls) - 1]

    first, second = timing.side_by_side(
        [lambda: function("a", [9.0, 3.0, 2.0, 4.0]), lambda: function("b", [9.0, 7.0, 8.0, 6.0])],
        repeats=3, seconds=100.0,
    )  # fmt: skip
    assert calls == ["a", "b", *("a", "b") * 3]
    assert (first.cpu, first.wall, first.calls) == (1.0, 2.0, 3)
    assert (second.cpu, second.wall, second.calls) == (3.0, 6.0, 3)


def test_a_time_limit_ends_the_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    assert timing.best(lambda: None, repeats=1000, seconds=20.0).calls < 20
    assert timing.best(lambda: None, repeats=1000, seconds=0.0).calls == 1


def test_the_slope_of_a_power_law() -> None:
    sizes = np.geomspace(1.0, 1e4, 9)
    cost = Cost("nodes", "something", sizes, 1.0 + 0.1 * sizes**2, 2.0)
    assert cost.slope == pytest.approx(2.0, abs=0.01)


# -- the command --------------------------------------------------------------------------------


def test_a_quick_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--quick", "--only", "density", "atoms-2", "dense", "import"]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 4
    assert all(line.count("|") == 8 for line in rows)
    assert "numpy" in out
    assert str(Path.home()) not in out


def test_what_is_not_there_is_skipped_with_a_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "freealg", None)
    assert main(["benchmark", "--quick", "--only", "marchenko"]) == 0
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "`marchenko-pastur` was skipped: freealg" in text


def test_an_unknown_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--only", "nothing"]) == 2
    assert "atoms-4096" in capsys.readouterr().err


def test_tables_go_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    report.write("first", page)
    page.write_text("before\n" + page.read_text() + "after\n")
    report.write("second", page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "second" in text
    assert "first" not in text


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "notes.md"
    page.write_text("mine")
    with pytest.raises(DataError, match="no place"):
        report.write("tables", page)
    # before anything is measured
    assert main(["benchmark", "--out", str(page)]) == 2
    assert page.read_text() == "mine"
    with pytest.raises(DataError, match="cannot be written"):
        report.write("tables", tmp_path / "missing" / "page.md")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (1.234e-3, "1.23 ms"), (5e-6, "5 µs"), (2e-12, "0.002 ns"), (np.nan, "")],
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text
