"""The page without a browser: sliders, files, links. Needs Panel (extra explore)."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest

pytest.importorskip("panel", reason="needs Panel (extra explore)")

from dmft_rf import ScoreModel, read_covariance, solve, timescales
from dmft_rf.explorer.page import Page
from dmft_rf.explorer.state import State

# of Panel's own code
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


def shown(page: Page, name: str) -> str:
    found = re.search(rf"data-time='{name}'[^>]*>([^<]*)<", page.times.object)
    assert found is not None
    return found[1]


def array_file(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.fixture
def samples() -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.standard_normal((60, 5)) * [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_slider_moves_the_numbers_of_the_library() -> None:
    links: list[State] = []
    page = Page(State(), links.append)
    page._sliders["psi_n"].value = 10.0
    times = timescales(solve(ScoreModel(0.01, 64.0, 10.0)))
    assert shown(page, "tau_opt") == f"{times.tau_opt:.4g}"
    assert f"{times.usable(1.1)[1]:.4g}" in page.answer.object
    assert links == [State(psi_n=10.0)]


def test_a_value_between_those_of_a_slider_is_restored() -> None:
    page = Page(State(t=0.0123456789, psi_p=math.inf))
    assert page._sliders["t"].value == 0.0123456789
    times = timescales(solve(ScoreModel(0.0123456789, math.inf, 8.0)))
    assert shown(page, "tau_opt") == f"{times.tau_opt:.4g}"


def test_nothing_to_memorize_is_said() -> None:
    assert shown(Page(State(psi_n=1e4)), "tau_mem") == "nothing to memorize"


def test_a_file_gives_its_covariance(samples: np.ndarray, tmp_path) -> None:
    page = Page(State())
    page._file.filename = "mine.npy"
    page._receive(array_file(samples))
    assert page.state.covariance == "upload"
    np.save(tmp_path / "mine.npy", samples)
    law = read_covariance(tmp_path / "mine.npy").normalized()
    times = timescales(solve(ScoreModel(0.01, 64.0, 8.0, covariance=law)))
    assert shown(page, "tau_opt") == f"{times.tau_opt:.4g}"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evil.pkl", b"cos\nsystem\n(S'true'\ntR.", "no known kind"),
        ("broken.npy", b"\x93NUMPY\x01\x00", "broken.npy"),
        ("words.csv", b"one,two\nthree,four\n", "words.csv"),
        ("objects.npy", array_file(np.array([{}], dtype=object)), "objects.npy"),
    ],
)
def test_a_bad_file_is_refused_and_what_was_there_stays(
    name: str, content: bytes, said: str, samples: np.ndarray
) -> None:
    page = Page(State())
    page._file.filename = "good.npy"
    page._receive(array_file(samples))
    before = shown(page, "tau_opt")
    page._file.filename = name
    page._receive(content)
    assert said in page.error.object
    assert "/tmp" not in page.error.object
    page._sliders["psi_n"].value = page._sliders["psi_n"].values[0]
    page._sliders["psi_n"].value = 8.0
    assert shown(page, "tau_opt") == before
    assert page.error.object == ""


def test_a_covariance_that_is_none_is_said_and_forgotten() -> None:
    page = Page(State())
    page._covariance.value = "nonsense"
    assert "nonsense" in page.error.object
    assert page.answer.object == ""
    page._covariance.value = "0.5,1.5"
    assert page.error.object == ""
    assert "Stop between" in page.answer.object


def test_exports_are_of_the_page(samples: np.ndarray) -> None:
    page = Page(State())
    assert page._picture().getvalue().startswith(b"<?xml")
    rows = page._numbers().getvalue().splitlines()
    assert "score_error" in rows[0]
    assert len(rows) == 1 + len(page._found.curves["tau"])


@pytest.mark.parametrize("drawn", ["map", "generation"])
def test_the_other_tabs_have_something_to_show(drawn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dmft_rf.explorer import answers

    monkeypatch.setattr(answers, "_MAP", 3)
    monkeypatch.setattr(answers, "_GENERATED", 2)
    page = Page(State(tab=drawn))
    assert page.error.object == ""
    source = {"map": page._map._cells, "generation": page._generation._source}[drawn]
    assert {len(column) for column in source.data.values()} == {9 if drawn == "map" else 2}


def test_advice_for_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(State(tab="advice"))
    page._advice._parameters.value = 260000.0
    page._advice._answer()
    assert "<table" in page._advice._page.object
    page._advice._schedule.value = "sigma:high"
    page._advice._answer()
    assert "sigma" in page._advice._page.object
    assert "<table" not in page._advice._page.object


def test_every_move_is_drawn() -> None:
    page = Page(State())
    for name, slider in page._sliders.items():
        for value in slider.values[:: max(len(slider.values) // 4, 1)]:
            slider.value = value
            assert page.error.object == "" or name in ("sgd_noise", "weight_decay"), value
        slider.value = getattr(State(), name)
