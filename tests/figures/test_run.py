"""The command, the files it writes, the page, and what it refuses."""

import contextlib
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import ConvergenceError, DataError, ModelError, ScoreModel
from figures import catalogue, sheet
from figures.__main__ import main
from figures.catalogue import MODULES, figure
from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations, case, largest, means
from validation.finite.case import Case
from validation.finite.simulate import Cell, simulate
from validation.finite.store import Store

ROOT = Path(__file__).parents[2]


def tiny(seeds: int = 3) -> Case:
    return case("tiny", "a test", ScoreModel(0.3, 2.0, 3.0), ((4, seeds),), (10.0,))


def compute(profile: str, simulations: Simulations) -> Numbers:
    networks = tiny()
    found = means(simulations.cells(networks), networks.tau(networks.rules["gradient flow"]))
    return Numbers({k: np.asarray(v, dtype=float) for k, v in found.items()}, {"t": 0.3})


def draw(numbers: Numbers) -> object:
    from validation.common import style

    picture, axes = style.canvas(1, 1, 2.0)
    style.points(
        axes[0, 0], numbers["tau"], numbers["test"], numbers["test_error"], colour=style.BLUE
    )
    return picture


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure of the catalogue is replaced by one that takes no time."""
    about = Figure("A title with < and &", "What to see.", compute, draw, lambda profile: [tiny()])

    class Module:
        FIGURE = about

    monkeypatch.setattr(catalogue, "import_module", lambda name: Module)


def test_three_files_each_and_a_page_with_all(small: None, tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), "--workers", "1", "--quiet"]) == 0
    page = (tmp_path / sheet.FILE).read_text(encoding="utf-8")
    for name in MODULES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert Numbers.load(tmp_path / f"{name}.h5").remarks["profile"] == "quick"
        assert f'id="{name}"' in page
        assert f"python -m figures {name}<" in page
    assert page.count("data:image/png;base64,") == len(MODULES)
    assert "http" not in page  # self-contained
    assert "A title with &lt; and &amp;" in page
    assert not list(tmp_path.glob(".*.part*"))


def test_networks_are_simulated_once_and_redrawing_computes_nothing(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ["adam", "--out", str(tmp_path), "--workers", "1", "--quiet"]
    assert main(run) == 0

    def never(*arguments: object) -> Cell:
        raise AssertionError("simulated again")

    monkeypatch.setattr("validation.finite.runner.simulate", never)
    assert main(run) == 0
    (tmp_path / "adam.png").unlink()
    (tmp_path / "simulations.h5").unlink()
    assert main([*run, "--redraw"]) == 0
    assert (tmp_path / "adam.png").exists()
    assert not (tmp_path / "simulations.h5").exists()


def test_an_existing_store_is_used_where_it_fits(tmp_path: Path) -> None:
    networks = tiny()
    other = Store(tmp_path / "validation.h5")
    fitting = simulate(networks, 4, 0)
    marked = dataclasses.replace(
        fitting, arrays={**fitting.arrays, "0/test": fitting.arrays["0/test"] + 7.0}
    )
    with other.filling([networks]):
        other.add(marked)
        other.add(dataclasses.replace(simulate(networks, 4, 1), fingerprint="another"))
    (tmp_path / "out").mkdir()
    simulations = Simulations(tmp_path / "out", tmp_path / "validation.h5")
    assert simulations.complete([networks]) == 2
    cells = simulations.cells(networks)
    np.testing.assert_array_equal(cells[0].arrays["0/test"], marked.arrays["0/test"])
    np.testing.assert_array_equal(
        cells[1].arrays["0/test"], simulate(networks, 4, 1).arrays["0/test"]
    )
    again = Simulations(tmp_path / "out")
    assert again.complete([networks]) == 0
    assert len(again.cells(networks)) == 3


def test_means_over_seeds() -> None:
    def cell(d: int, seed: int, value: float) -> Cell:
        arrays = {f"0/{name}": np.array([value]) for name in ("train", "test", "score_error")}
        return Cell("x", d, seed, "", arrays)

    cells = [cell(16, 0, 1.0), cell(16, 1, 3.0), cell(16, 2, 5.0), cell(32, 0, 9.0)]
    found = means(cells, np.array([1.0]))
    assert (found["d"], found["seeds"]) == (16, 3)  # d = 32 has no error bar
    assert found["test"] == pytest.approx([3.0])
    assert found["test_error"] == pytest.approx([math.sqrt(8.0 / 2.0 / 3.0)])
    assert largest(cells, np.array([1.0]))["d"] == 32
    with pytest.raises(DataError, match="two seeds"):
        means(cells[-1:], np.array([1.0]))


def test_numbers_come_back(tmp_path: Path) -> None:
    numbers = Numbers(remarks={"t": 0.1, "about": "x"})
    numbers.put("b/second", {"y": [1.0, math.inf], "x": 2.0})
    numbers["a"] = [[math.nan, 1.0]]
    numbers.save(tmp_path / "n.h5")
    back = Numbers.load(tmp_path / "n.h5")
    assert list(back.arrays) == ["b/second/y", "b/second/x", "a"]
    assert list(back.under("")) == ["b", "a"]
    assert list(back.under("b/second")) == ["y", "x"]
    np.testing.assert_array_equal(back["a"], numbers["a"])
    assert back.number("b/second/x") == 2.0
    assert back.remarks["about"] == "x"


def test_kept_once(tmp_path: Path) -> None:
    simulations = Simulations(tmp_path)
    calls = []

    def work() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.arange(3.0)}

    for key in ("one", "one", "two"):
        np.testing.assert_array_equal(simulations.kept("w", key, work)["x"], np.arange(3.0))
    assert len(calls) == 2


# -- what is refused ---------------------------------------------------------------------------


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for name in MODULES:
        assert f"{name} " in shown
        assert figure(name).title in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "no figure 'nonsense'; there are spectrum"),
        (["spectrum", "--out", "{file}/x"], "cannot be made"),
        (["spectrum", "--out", "{file}"], "cannot be made"),
        (["spectrum", "--out", "{out}", "--workers", "0"], "workers is 0"),
        (["spectrum", "--out", "{out}", "--store", "{out}/none.h5"], "no such store"),
        (["spectrum", "--out", "{out}", "--store", "{file}"], "damaged or no HDF5"),
        (["spectrum", "--out", "{out}", "--redraw"], "no numbers to draw from"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    places = {"file": str(tmp_path / "file"), "out": str(tmp_path / "out")}
    assert main([text.format(**places) for text in arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["other"] = 1
    with pytest.raises(DataError, match="does not hold the numbers"):
        Numbers.load(tmp_path / "x.h5")


def test_a_figure_that_fails_is_reported(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    about = figure("adam")

    def fails(profile: str, simulations: Simulations) -> Numbers:
        raise ConvergenceError("no root")

    assert main(["adam", "--out", str(tmp_path), "--workers", "1", "--quiet"]) == 0
    monkeypatch.setattr(
        "figures.__main__.figure",
        lambda name: dataclasses.replace(about, compute=fails) if name == "adam" else about,
    )
    run = ["adam", "spectrum", "--out", str(tmp_path), "--workers", "1", "--quiet"]
    assert main(run) == 1
    assert "adam: no root" in capsys.readouterr().err
    assert (tmp_path / "spectrum.png").exists()
    assert (tmp_path / "adam.png").exists()  # as its numbers: what was computed before


@pytest.mark.parametrize("end", [SystemExit, ConvergenceError])
def test_an_old_picture_does_not_stand_beside_new_numbers(
    end: type[BaseException], small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the command ends between the two; redrawing then brings the picture."""
    run = ["adam", "--out", str(tmp_path), "--workers", "1", "--quiet"]
    assert main(run) == 0

    def ends(*arguments: object) -> None:
        raise end("killed")

    with monkeypatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr("figures.__main__.draw", ends)
        assert main(run) == 1
    assert (tmp_path / "adam.h5").exists()
    assert not [*tmp_path.glob("adam.p*")]
    assert sheet.write(tmp_path, "quick") == []
    assert main([*run, "--redraw"]) == 0
    assert len([*tmp_path.glob("adam.p*")]) == 2


def test_the_gallery_has_them_all() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    size = 0
    for name in MODULES:
        assert f"(images/gallery/{name}.png)" in page
        assert figure(name).title in page
        size += (ROOT / "docs" / "images" / "gallery" / f"{name}.png").stat().st_size
    assert size < 3_000_000


def test_every_figure_is_listed_and_described() -> None:
    modules = {path.stem for path in (ROOT / "figures").glob("*.py")}
    helpers = {"__init__", "__main__", "catalogue", "figure", "numbers", "simulations", "sheet"}
    assert set(MODULES.values()) == modules - helpers - {"networks"}
    for name in MODULES:
        about = figure(name)
        assert len(about.caption) > 100
        for profile in catalogue.PROFILES:
            names = [networks.name for networks in about.cases(profile)]
            assert len(names) == len(set(names))
    with pytest.raises(ModelError):
        figure("none")
