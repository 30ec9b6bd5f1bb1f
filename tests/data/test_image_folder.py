"""Folders of images: the covariance of their pixels, and one line for what is wrong with them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmft_rf import Covariance, DataError, ModelError, read_covariance
from dmft_rf.model.covariance import SampleSizeWarning
from tests.helpers.image_files import fill
from tests.helpers.samples import refused
from tests.helpers.unprivileged import nobody_in

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (90, 2, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (140, 2, 2, 3), dtype=np.uint8)


def law_of(rows: np.ndarray) -> np.ndarray:
    return np.linalg.eigvalsh(np.cov(rows.reshape(len(rows), -1).T.astype(float)))


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "tif"])
@pytest.mark.parametrize(
    ("images", "words"), [(GREY, "2 x 4 pixels, grey"), (COLOUR, "2 x 2 pixels, colour")]
)
def test_the_pixels_are_those_of_the_array(
    tmp_path: Path, ending: str, images: np.ndarray, words: str
) -> None:
    folder = fill(tmp_path / "faces", images, ending)
    (folder / "labels.csv").write_text("1\n")
    (folder / ".hidden.png").write_bytes(b"no image")
    law = read_covariance(folder, chunk_bytes=1000)
    np.testing.assert_allclose(law.eigenvalues, law_of(images), rtol=1e-9)
    assert (law.dimension, law.samples) == (images[0].size, len(images))
    assert law.label == f"faces, {words}"
    assert np.allclose(law.eigenvalues, Covariance.from_samples(images).eigenvalues, rtol=1e-9)


def test_folders_in_the_folder_are_read_too(tmp_path: Path) -> None:
    fill(tmp_path / "x" / "cats", GREY[:40])
    fill(tmp_path / "x" / "dogs", GREY[40:])
    done: list[tuple[int, int]] = []
    law = read_covariance(tmp_path / "x", progress=lambda *count: done.append(count))
    np.testing.assert_allclose(law.eigenvalues, law_of(GREY), rtol=1e-9)
    assert done == [(k, 90) for k in range(1, 91)]


def test_grey_is_the_luma_of_the_colours(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", COLOUR)
    law = read_covariance(folder, grey=True)
    np.testing.assert_allclose(law.eigenvalues, law_of(COLOUR @ [0.299, 0.587, 0.114]), rtol=1e-9)
    assert law.label == "x, 2 x 2 pixels, grey"


def test_grey_images_among_those_in_colour(tmp_path: Path) -> None:
    folder = fill(fill(tmp_path / "x", COLOUR), GREY[:20, :, :2])
    images = COLOUR.copy()
    images[:20] = GREY[:20, :, :2, None]
    np.testing.assert_allclose(read_covariance(folder).eigenvalues, law_of(images), rtol=1e-9)


def test_a_new_pixel_is_the_mean_of_what_it_covers(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (200, 4, 6, 3), dtype=np.uint8)
    folder = fill(tmp_path / "x", images)
    means = images.reshape(200, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    law = read_covariance(folder, resize=(2, 3))
    # Pillow resizes in single precision
    np.testing.assert_allclose(law.eigenvalues, law_of(means), rtol=1e-4)
    assert law.label == "x, resized to 2 x 3 pixels, colour"
    mixed = fill(tmp_path / "mixed", images[:100])
    for number, mean in enumerate(np.rint(means[100:]).astype(np.uint8)):
        Image.fromarray(mean).save(mixed / f"b{number}.png")
    refused(mixed, "0000.png has 4 x 6", "b0.png has 2 x 3 pixels", "--resize")
    assert read_covariance(mixed, resize=(2, 3)).dimension == 18
    assert read_covariance(mixed, resize=2, grey=True).dimension == 4


def test_sixteen_bits(tmp_path: Path) -> None:
    images = RNG.integers(0, 65536, (60, 2, 2), dtype=np.uint16)
    folder = fill(tmp_path / "x", images)
    np.testing.assert_allclose(read_covariance(folder).eigenvalues, law_of(images), rtol=1e-9)
    np.testing.assert_allclose(
        read_covariance(folder, resize=1).mean, images.mean(axis=(1, 2)).var(ddof=1), rtol=1e-4
    )
    fill(folder / "more", GREY[:3, :, :2])
    refused(folder, "more than 8 bits")


def test_transparency(tmp_path: Path) -> None:
    images = np.concatenate([COLOUR, np.full((140, 2, 2, 1), 255, np.uint8)], axis=-1)
    folder = fill(tmp_path / "x", images)
    np.testing.assert_allclose(read_covariance(folder).eigenvalues, law_of(COLOUR), rtol=1e-9)
    images[77, 1, 1, 3] = 254
    refused(fill(folder, images), "0077.png", "transparent")


def test_palettes(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for number, image in enumerate(COLOUR):
        Image.fromarray(image).quantize(4).save(folder / f"{number}.png")
    assert read_covariance(folder).dimension == 12


def test_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, "directory without images", ".png")
    folder = fill(tmp_path / "x", GREY)
    whole = (folder / "0050.png").read_bytes()
    for content, words in ((b"", "no kind"), (b"no image", "no kind"), (whole[:-30], "0050.png")):
        (folder / "0050.png").write_bytes(content)
        refused(folder, "0050.png: cannot be read as an image", words)
    (folder / "0050.png").unlink()
    frames = [Image.fromarray(image) for image in GREY[:2]]
    frames[0].save(folder / "0050.gif", save_all=True, append_images=frames[1:])
    refused(folder, "0050.gif", "several frames")
    large = fill(tmp_path / "large", RNG.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))
    refused(large, "12288", "--resize 36", "--grey")
    refused(fill(tmp_path / "one", GREY[:1]), "one row")


def test_damage_is_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for ending in ("png", "jpg", "gif", "tif"):
        picture = RNG.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
        file = fill(tmp_path / ending, picture, ending) / f"0000.{ending}"
        Image.fromarray(picture[0]).save(file.with_name(f"b.{ending}"))
        whole = file.read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for place in rng.integers(0, len(whole), 3):
                content[place] ^= int(rng.integers(1, 256))
            file.write_bytes(content)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", SampleSizeWarning)
                    read_covariance(file.parent)
            except DataError as error:
                assert str(error).isprintable()  # noqa: PT017 - either outcome is right


def test_options(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", GREY)
    for option in ({"dataset": "x"}, {"header": True}, {"leave_out": [1]}):
        refused(folder, "folder of images", next(iter(option)), **option)
    for bad in (0, -1, 1.5, "8x8", (1, 2, 3), (1, "x"), 10**9):
        with pytest.raises(ModelError, match="resize"):
            read_covariance(folder, resize=bad)
    with pytest.raises(ModelError, match="grey"):
        read_covariance(folder, grey="yes")
    for option in ({"resize": 2}, {"grey": True}):
        with pytest.raises(DataError, match="digits: is no folder of images"):
            read_covariance("digits", **option)


def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    fill(tmp_path / "x", GREY)
    with nobody_in(tmp_path):
        Path("more").mkdir(mode=0)
        with pytest.raises(DataError, match=r"more: cannot be read \(permission denied\)"):
            read_covariance(".")


def test_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fill(tmp_path / "x", GREY))
    assert read_covariance(".").label == "x, 2 x 4 pixels, grey"
