"""The Python, the commands and the numbers of the README and of the pages in docs/."""

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, scaling, solve, timescales
from dmft_rf.data import bundled
from tests.helpers.command import run
from tests.helpers.image_files import fill

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str = "python") -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"```{language}\n(.*?)```", text_of(page), re.S)


def commands(page: Path) -> list[list[str]]:
    """Arguments of every dmft-rf command of a page, in indented lines and between backquotes."""
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.S)
    lines = re.findall(r"^    .*?\b(dmft-rf .*)$", text, re.M) + re.findall(
        r"`(dmft-rf .*?)`", text
    )
    # those that stand for several
    return [shlex.split(line)[1:] for line in lines if " | " not in line]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, but for the examples and images in `faces`, as the working directory."""
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    with np.load(bundled.path("digits")) as digits:
        fill(tmp_path / "faces", 15 * digits["images"][:200].reshape(-1, 8, 8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in place of the Dask cluster of docs/sweeps.md, which is nobody's."""

    @contextlib.contextmanager
    def executor(address: str) -> Iterator[ThreadPoolExecutor]:
        assert address == "tcp://scheduler:8786"
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr("dmft_rf.sweeps.workers.dask_executor", executor)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.name)
)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, elsewhere: Path, no_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Maps of 64 x 64 points have 4 x 4 here."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for i, block in enumerate(blocks(page)):
        code = re.sub(r"(np\.geomspace\(1, \d+, )64\)", r"\g<1>4)", block)
        exec(compile(code, f"{page.name}, block {i + 1}", "exec"), names)
    printed = capsys.readouterr().out
    plt.close("all")
    if page == README:
        assert blocks(page, "text")[2] == printed
    elif page.name == "data.md":
        assert (names["images"].dimension, names["images"].samples) == (16, 200)
        assert (names["model"].psi_n, names["model"].psi_p) == (25.0, 8.0)
    elif page.name == "monitor.md":
        assert names["monitor"].stop
        assert names["copies"].fraction == 0.1
        assert [round(x, 3) for x in names["copies"].interval] == [0.038, 0.205]
    elif page.name == "questions.md":
        assert names["found"]["tau_mem"].shape == (2, 2)
        assert names["law"].bulk_names == ("memorizes last", "nearly inert", "data")
        assert len(names["ax"].get_legend().get_texts()) == 2
    elif page.name == "sweeps.md":
        assert not names["found"].failures
        assert names["diagram"].ratio.shape == (4, 4, 201)


def test_there_are_twenty_questions_with_answers() -> None:
    text = text_of(ROOT / "docs" / "questions.md")
    parts = re.split(r"^\*\*(\d+)\. .*?\*\*", text, flags=re.M)
    assert parts[1::2] == [str(k) for k in range(1, 21)]
    for answer in parts[2::2]:
        assert "```python" in answer or "    dmft-rf " in answer


def test_there_are_pages_with_python_and_commands() -> None:
    assert {page.name for page in PAGES if blocks(page)} >= {
        "README.md", "data.md", "groups.md", "pencils.md", "sweeps.md",
    }  # fmt: skip
    assert {page.name for page in PAGES if commands(page)} >= {
        "README.md", "data.md", "pencils.md", "sweeps.md",
    }  # fmt: skip


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: str(page.name)
)
def test_the_commands_of_a_page_run_in_their_order(page: Path, elsewhere: Path) -> None:
    """Phase diagrams with 3 x 3 points. The README shows lines of what its commands print."""
    shown = iter(blocks(page, "text") if page == README else [])
    for arguments in commands(page):
        if arguments[0] == "explore":  # it serves a page until it is stopped
            continue
        few = ["--n-points", "3", "--points", "3"] if arguments[0] == "phase-diagram" else []
        answer = run(*arguments, *few)
        assert answer.exit_code == 0, (arguments, answer.output)
        if page == README and "timescales" not in arguments:
            printed = iter(answer.stdout.splitlines())
            for line in next(shown).splitlines():
                assert line in printed, line  # in the same order
        for option in ("--plot", "--out"):
            if option in arguments:
                name = arguments[arguments.index(option) + 1]
                assert (elsewhere / name).stat().st_size > 5_000


@pytest.mark.parametrize("code", blocks(ROOT / "docs" / "monitor.md", "py"))
def test_callbacks_of_frameworks_that_are_not_installed(code: str, elsewhere: Path) -> None:
    """With stand-ins of the user's own functions, at steps 0, 500 and 501."""
    from dmft_rf.monitor import Monitor, read_log

    class Tensor(np.ndarray):
        """As PyTorch's: an array after .cpu().numpy()."""

        def cpu(self) -> Any:
            return self

        def numpy(self) -> Any:
            return np.asarray(self)

    class Answer:
        images = np.random.default_rng(0).normal(size=(64, 4, 4, 3))

    images = np.random.default_rng(1).normal(size=(80, 4, 4, 3))
    names: dict[str, Any] = {
        "Monitor": Monitor, "np": np, "train_images": images[:40], "held_out_images": images[40:],
        "loss_on": lambda *_: np.float32(0.5), "params": None, "key": None,
        "sample": lambda *_: Answer.images.view(Tensor), "pipeline": lambda **_: Answer,
        "accelerator": type("Accelerator", (), {"is_main_process": True}),
    }  # fmt: skip
    first, in_the_loop = code.split("\nif ", 1)
    exec(compile(first, "callback", "exec"), names)
    for step in (500, 501, 1000):
        exec(compile(f"if {in_the_loop}", "callback", "exec"), {**names, "step": step,
                                                                "global_step": step})  # fmt: skip
    log = read_log("losses.csv")
    assert log.step.tolist() == [500, 1000]
    assert np.isfinite(log.measured["frechet_distance"]).all()


def test_the_examples_of_files_are_the_files() -> None:
    """The TOML that docs/pencils.md shows is the example that it runs."""
    (shown,) = blocks(ROOT / "docs" / "pencils.md", "toml")
    assert shown == (ROOT / "docs" / "examples" / "ridge.toml").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    lines = text_of(README).splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 130


def test_the_local_exponents_it_quotes() -> None:
    model = ScoreModel(t=0.01, psi_p=256, psi_n=8, covariance=Covariance.isotropic())
    found = scaling(model, "psi_n", [2.0, 8.0, 64.0]).local_exponents["tau_mem"]
    np.testing.assert_allclose(found, [1.21, 0.992, 0.587], atol=5e-3)
    text = " ".join(text_of(README).split())
    assert "falls from 1.21 at psi_n = 2 to 0.59 at psi_n = 64" in text


def test_the_numbers_of_its_pictures() -> None:
    text = " ".join(text_of(README).split())
    solution = solve(ScoreModel(0.01, 64.0, 8.0))
    found = timescales(solution)
    start, end = found.usable()
    assert f"stop between tau = {start:.0f} and {end:.0f}" in text
    assert f"memorization time tau_mem = {found.tau_mem:,.0f}" in text
    (quoted,) = re.findall(r"untrained network's from tau = ([\d,]+) on, tau_mem/(\d+)", text)
    time = float(quoted[0].replace(",", ""))
    before, after = solution.learning_curves([time - 1.0, time + 1.0]).score_error
    assert before < solution.model.initial_score_error < after
    assert round(found.tau_mem / time) == int(quoted[1])
    from dmft_rf import read_covariance

    digits = read_covariance("digits").normalized()
    assert f"({digits.effective_dimension:.1f} for the digits)" in text
    model = ScoreModel(0.01, 64.0, 8.0, covariance=digits)
    law = scaling(model, "psi_n", np.geomspace(1.0, 32.0, 11))
    gen = law.local_exponents["tau_gen"][-1]
    assert f"stops growing ({gen:.2f} at n = {64 * 32})" in text
    assert f"goes on like n^{law.fits['tau_mem'].exponent:.2f}" in text


def test_the_table_of_all_times() -> None:
    """docs/times.md: every number of its table and text, for n and 2n samples."""
    text = text_of(ROOT / "docs" / "times.md")
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    table = {row[1]: row[2:4] for row in rows if len(row) == 7 and row[1][:1] in "`s"}
    for column, psi_n in enumerate((8, 16)):
        times = timescales(solve(ScoreModel(0.01, 64, psi_n)))
        start, end = times.usable()
        assert table["`usable()`"][column] == f"{start:.1f} to {end:.1f}"
        for name in ("tau_gen", "tau_overfit", "tau_opt"):
            assert table[f"`{name}`"][column] == f"{times.value(name):.1f}"
        ratio = float(table["`tau_ratio(2)`"][column].replace(",", ""))
        assert ratio == pytest.approx(times.tau_ratio(2), rel=5e-4)
        assert table["`tau_mem`"][column] == f"{times.tau_mem:,.0f}"
        untrained = times.usable(times.model.initial_score_error / times.score_error_min).end
        assert table["score as bad as untrained"][column] == f"{untrained:,.0f}"
        if psi_n == 8:
            assert f"tau = {untrained:,.0f} on, tau_mem/{times.tau_mem / untrained:.0f}" in (
                " ".join(text.split())
            )


def test_the_errors_it_quotes_are_those_of_the_validation() -> None:
    """Finite size and images against the theory, from the tables of docs/validation.md."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text_of(ROOT / "docs" / "validation.md").splitlines()
        if re.match(r"\| (digits|patches)_t0[.]0?1_p\d_n\d \| [0-9i]", line)
    ]
    share = {(r[0], r[1]): (float(r[5]), float(r[6])) for r in rows if len(r) == 7}
    assert len(share) == 35
    early = [
        finite + other
        for (name, tau), (finite, other) in share.items()
        if name.startswith("digits") and tau in ("1", "10", "100")
    ]
    assert 2.0 < np.max(np.abs(early)) < 3.0
    text = " ".join(text_of(README).split())
    assert "right within 3 %" in text
    at_best = [
        -finite - other
        for (name, tau), (finite, other) in share.items()
        if name.startswith("patches_t0.1") and tau == "100"
    ]
    assert f"{min(at_best):.0f} to {max(at_best):.0f} % off" in text
    late = [-share[f"digits_t0.1_{name}", "inf"][0] for name in ("p4_n2", "p8_n2", "p8_n8")]
    assert f"by {min(late):.0f} to {max(late):.0f} %" in text
    assert f"by {-share['digits_t0.01_p8_n4', 'inf'][0]:.0f} % at t = 0.01" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if not target.startswith(("http", "#", "generated/")):  # what the site builds, it checks
            place, _, anchor = target.partition("#")
            found = page.parent / place
            assert found.exists(), target
            if anchor:
                heads = re.findall(r"^#+ (.*)$", text_of(found), re.M)
                slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads]
                assert anchor in slugs, target


@pytest.mark.parametrize("image", ["timescales.png", "digits-scaling.png"])
def test_its_pictures_are_there(image: str) -> None:
    assert f"docs/images/{image}" in text_of(README)
    assert (ROOT / "docs" / "images" / image).stat().st_size > 10_000
