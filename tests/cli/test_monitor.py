"""dmft-rf monitor: what it prints, writes and refuses."""

import base64
import io
import json
import re
import shutil
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmft_rf.data import bundled
from dmft_rf.monitor import date, memorized_fraction, read_log
from tests.helpers import command
from tests.helpers.image_files import fill

RUN = Path(__file__).parents[2] / "docs" / "examples" / "run.csv"
run = partial(command.run, "monitor")
refused = partial(command.refused, "monitor")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Sixty training images, and fifty others of which nine are nearly the first of them."""
    with np.load(bundled.path("digits")) as file:
        pixels = 15 * file["images"][:400].reshape(-1, 8, 8)
    images = [*np.maximum(pixels[:9], 3), *pixels[109:150]]
    return fill(tmp_path / "out", images), fill(tmp_path / "faces", pixels[:60])


class Page(HTMLParser):
    """Pictures and words of a page, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[Image.Image] = []
        self.addresses: list[str] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [str(named[key]) for key in ("src", "href") if key in named]
        if tag == "img":
            data = str(named["src"]).removeprefix("data:image/png;base64,")
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_log_alone() -> None:
    answer = run(RUN)
    assert answer.exit_code == 0, answer.output
    words = " ".join(answer.stdout.split())
    assert date(read_log(RUN)).verdict in words
    assert "step = step, train = train_loss, test = val_loss" in words
    assert "ratio 2" in words
    assert "With more images" not in words  # n is not known


def test_json_holds_what_python_gives() -> None:
    answer = run(RUN, "--n", "64", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    dates = date(read_log(RUN))
    assert found["verdict"] == dates.verdict
    assert found["stop"] is True
    assert found["dates"]["best"]["step"] == dates["best"].step
    assert [one["n"] for one in found["predictions"]] == [128, 256, 512, 1024]
    assert found["predictions"][0]["best_step"] == pytest.approx(2 * dates["best"].step)
    assert found["predictions"][3]["best_step"] is None
    assert found["predictions"][3]["low"] > 8 * dates["best"].step


def test_samples_page_and_picture(folders: tuple[Path, Path], tmp_path: Path) -> None:
    generated, training = folders
    page, plot = tmp_path / "run.html", tmp_path / "run.png"
    options = ("--samples", generated, "--data", training, "--page", page, "--plot", plot)
    answer = run(RUN, *options, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    expected = memorized_fraction(generated, training)
    assert expected.fraction == 9 / 50
    assert found["memorized"]["fraction"] == expected.fraction
    assert found["memorized"]["nearest"] == expected.neighbours.index.tolist()
    assert found["frechet"]["distance"] > 0.0
    assert found["n"] == 60
    assert plot.stat().st_size > 20_000
    text = page.read_text(encoding="utf-8")
    seen = Page(text)
    assert seen.open == ["html"] or not seen.open
    # nothing from elsewhere; the losses, and twelve generated images with their two neighbours
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert len(seen.pictures) == 1 + 3 * 12
    assert seen.pictures[1].size == (8, 8)
    assert found["verdict"] in seen.words
    assert "width=device-width" in text  # a phone shows it at its own width
    best = found["dates"]["best"]
    assert f"{best['step']:,.0f}<small>{best['low']:,.0f} to {best['high']:,.0f}</small>" in text
    assert "18 % of 50 generated images are copies" in seen.words
    assert text.count('class="copy"') == 9
    shown = re.findall(r"generated (\d+), training (\d+) and", seen.words)
    assert set(shown[:9]) == {(str(k), str(k)) for k in range(9)}
    # the first generated image is the one of the folder, in the grey of the whole gallery
    first = np.asarray(seen.pictures[1], dtype=float)
    with Image.open(generated / f"{int(shown[0][0]):04}.png") as image:
        assert np.corrcoef(first.ravel(), np.asarray(image, float).ravel())[0, 1] > 0.999
    again = run(RUN, *options)
    assert again.exit_code == 0, again.output  # they are made anew
    assert "copies" in again.stdout


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "<script>alert(1)</script> $x$.csv".replace("/", "")
    shutil.copy(RUN, log)
    page = tmp_path / "run.html"
    answer = run(log, "--page", page, "--plot", tmp_path / "run.pdf")
    assert answer.exit_code == 0, answer.output
    assert "<script>" not in page.read_text(encoding="utf-8")


def test_colours_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, last = tmp_path / "last.npy", tmp_path / "first.npy"
    x = rng.normal(size=(30, 5, 4, 3))
    np.save(last, x)
    np.save(first, np.moveaxis(x, 3, 1))
    page = tmp_path / "run.html"
    for data in (first, last):
        assert run(RUN, "--samples", data, "--data", data, "--page", page).exit_code == 0
        seen = Page(page.read_text(encoding="utf-8"))
        assert (seen.pictures[1].size, seen.pictures[1].mode) == ((4, 5), "RGB")
    assert "5 x 4 x 3" in refused(RUN, "--samples", first, "--data", last)
    np.save(first, rng.normal(size=(30, 7)))
    assert run(RUN, "--samples", first, "--data", first, "--page", page).exit_code == 0
    assert "shape of the images is not known" in page.read_text(encoding="utf-8")


def test_curves_of_tensorboard_and_columns(tmp_path: Path) -> None:
    lines = [line.split(",") for line in RUN.read_text().splitlines()[1:]]
    for name, column in (("train", 1), ("val", 2)):
        rows = "".join(f"0,{line[0]},{line[column]}\n" for line in lines)
        (tmp_path / f"{name}.csv").write_text(f"Wall time,Step,Value\n{rows}")
    answer = run(tmp_path / "train.csv", "--test", tmp_path / "val.csv", "--json")
    assert json.loads(answer.stdout)["verdict"] == date(read_log(RUN)).verdict
    other = tmp_path / "other.csv"
    other.write_text(RUN.read_text().replace("train_loss", "a").replace("val_loss", "b c"))
    answer = run(other, "--columns", "train=a, test=b c", "--json")
    assert json.loads(answer.stdout)["verdict"] == date(read_log(RUN)).verdict
    assert "must be as train=mse" in refused(other, "--columns", "a")
    assert "columns has 'x'" in refused(other, "--columns", "x=a")


def test_what_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    generated, training = folders
    broken = tmp_path / "log.csv"
    for text, words in (
        ("step,loss\n1,0.5\n", "no column of the held-out loss; looked for val_loss"),
        ("step,loss,val_loss\n1,nan,0.5\n", "line 2: loss is nan"),
        ("step,loss,val_loss\n2,1,1\n1,1,1\n", "step 1 follows 2"),
        ("step,loss,val_loss\n1,1,1\n2,1,1\n", "at least 5"),
    ):
        broken.write_text(text)
        assert words in refused(broken)
    both = (RUN, "--samples", generated, "--data", training)
    assert "no such file" in refused(tmp_path / "none.csv")
    assert "--samples needs --data" in refused(RUN, "--samples", generated)
    assert "--t is an option of --data" in refused(RUN, "--t", "0.1")
    assert "--grey is for folders" in refused(RUN, "--grey")
    assert "--n is 0" in refused(RUN, "--n", "0")
    assert "unknown ending" in refused(RUN, "--page", tmp_path / "run.txt")
    assert "unknown ending" in refused(RUN, "--plot", tmp_path / "run.txt")
    assert "the folder" in refused(RUN, "--page", tmp_path / "none" / "run.html")
    page = tmp_path / "log.html"
    shutil.copy(RUN, page)
    assert "is read by this command" in refused(page, "--page", page)
    assert "4 x 4 x 1 numbers" in refused(*both[:3], "--data", "digits", "--resize", "4")
    (generated / "0005.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "0005.png: cannot be read as an image" in refused(*both)
    for place in sorted(generated.iterdir())[3:]:
        place.unlink()
    assert "has 3 images" in refused(*both)
    for place in sorted(training.iterdir())[1:]:
        shutil.copy(training / "0000.png", place)
    assert "all of them equal" in refused(RUN, "--samples", training, "--data", training)
