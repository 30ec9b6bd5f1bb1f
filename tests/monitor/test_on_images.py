"""Advice from networks on the images themselves: where they are asked, and what they say."""

import math
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Advice, ConvergenceError, ImageModel, Solution, advise, solve, timescales
from dmft_rf.monitor import on_images, sentences
from dmft_rf.store import load_results, save


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_images, "_FEATURES", (16, 64))


def clusters(count: int = 300) -> np.ndarray:
    rng = np.random.default_rng(3)
    centres = 3.0 * rng.standard_normal((4, 8))
    return np.asarray(5.0 + centres[rng.integers(4, size=count)] + rng.standard_normal((count, 8)))


@pytest.fixture(scope="module")
def advice() -> Advice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_images, "_FEATURES", (16, 64))
        return advise(clusters(), 32 * 8, 0.1)


def test_they_are_those_of_the_model(advice: Advice) -> None:
    rows = clusters() - clusters().mean(axis=0)
    rows /= math.sqrt(advice.divisor)
    for k, n in enumerate((300, 600)):
        model = ImageModel(rows, 0.1, n, features=32, route="equations")
        times = timescales(solve(model))
        exact = times.test_min, times.tau_opt, float(times.final_gap)
        for name, value in zip(on_images.COLUMNS, exact, strict=True):
            assert advice.table[name][k] == pytest.approx(value, rel=1e-9)
    assert all(math.isnan(advice.table[name][2]) for name in on_images.COLUMNS)
    assert "for 300 and 600 images" in advice.route
    assert "equations, 32 features" in advice.read["theory"]


def test_what_is_said(advice: Advice) -> None:
    t = advice.table
    said = sentences.on_images(
        *(float(t[name][0]) for name in on_images.COLUMNS),
        *(float(t[name][0]) for name in ("test_loss", "best_time", "final_gap")),
    )
    assert advice.trust[0] == said
    assert not any("Class structure" in line or "kurtosis" in line for line in advice.trust)
    two = t["images_test_loss"][1] / t["images_test_loss"][0]
    four = two * t["test_loss"][2] / t["test_loss"][1]
    for line, factor in zip(advice.more_data, (two, four), strict=True):
        assert f"least test loss {100.0 * (factor - 1.0):+.2g} %" in line
    assert sentences.on_images(0.5, 30.0, 0.1, 0.6, 20.0, 0.2).startswith(
        "Your images are not Gaussian, and d is finite: networks on the images themselves have the "
        "least test loss 0.5 at 1.50 times its best time, against 0.6 of"
    )
    assert "times its" not in sentences.on_images(0.5, math.inf, 0.1, 0.6, 20.0, 0.2)


def test_equations_without_a_solution_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those of more images than there are may have none; what was found is kept."""
    least = [600]

    def fails(model: ImageModel) -> Solution:
        if model.n >= least[0]:
            raise ConvergenceError("no leverages")
        return solve(model)

    monkeypatch.setattr(on_images, "solve", fails)
    found = advise(clusters(), 32 * 8, 0.1)
    assert "for 300 images" in found.route
    assert np.isfinite(found.table["images_gap"]).tolist() == [True, False, False]
    least[0] = 1
    found = advise(clusters(), 32 * 8, 0.1)
    assert "were not solved" in found.route
    assert np.isnan(found.table["images_gap"]).all()


def test_a_file_gives_them_back(advice: Advice, tmp_path: Path) -> None:
    save(tmp_path / "a.h5", advice)
    (found,) = load_results(tmp_path / "a.h5").values()
    assert found == advice
    assert found.text == advice.text


@pytest.mark.parametrize(
    ("count", "parameters", "t", "why"),
    [
        (300, 15 * 8, 0.1, "measured for 16 to 64 features, and there are 15"),
        (300, 65 * 8, 0.1, "measured for 16 to 64 features, and there are 65"),
        (60, 32 * 8, 0.1, "need 64 to 10,000 images, and there are 60"),
        (300, 32 * 8, 0.2, "measured for t from 0.01 to 0.1"),
    ],
)
def test_outside_what_was_measured(count: int, parameters: float, t: float, why: str) -> None:
    found = advise(clusters(count), parameters, t, samples=[2 * count])
    assert found.route.startswith("the covariance of the images alone: ")
    assert why in found.route
    assert np.isnan(found.table["images_gap"]).all()
    assert "Class structure" in found.trust[1]


def test_heavy_tails_are_not_asked() -> None:
    images = clusters()
    images *= np.random.default_rng(5).pareto(1.5, (300, 1)) + 1.0
    assert "off by up to 60 % on data like these" in advise(images, 32 * 8, 0.1).route


@pytest.mark.slow
def test_the_example_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_images, "_FEATURES", (256, 512))
    found = advise("digits", 32768, 0.1).table
    page = (Path(__file__).parents[2] / "docs" / "advise.md").read_text(encoding="utf-8")
    times = found["images_best_time"][0] / found["best_time"][0]
    said = (
        f"least test loss {found['images_test_loss'][0]:.3f} at {times:.1f} times the best time of "
        f"the theory, against {found['test_loss'][0]:.3f}"
    )
    assert said in " ".join(page.split())
