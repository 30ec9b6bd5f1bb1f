"""Nearest training images and the memorized fraction, against brute force and known answers."""

import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from dmft_rf import DataError, ModelError, monitor
from dmft_rf.monitor import memorized_fraction, nearest
from dmft_rf.monitor import neighbours as module
from dmft_rf.monitor import samples as samples_module
from dmft_rf.monitor.samples import Samples
from tests.helpers.image_files import fill

Array = NDArray[np.float64]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few images, so that many are merged."""
    monkeypatch.setattr(module, "_BLOCK", 8 * 12 * 37)
    monkeypatch.setattr(module, "_TILE", 7)
    monkeypatch.setattr(module, "_PAIRS", 8 * 12 * 5)


def brute_force(generated: Array, training: Array) -> tuple[NDArray[np.intp], Array]:
    """From differences in float64; equal distances by number."""
    distance = cdist(generated, training)
    numbers = np.broadcast_to(np.arange(len(training)), distance.shape)
    index = np.lexsort((numbers, distance), axis=1)[:, :2]
    return index, np.take_along_axis(distance, index, axis=1)


def check(generated: Array, training: Array) -> None:
    found = nearest(generated, training)
    index, distance = brute_force(generated, training)
    np.testing.assert_array_equal(found.index, index)
    # both are sums of d squares in float64
    np.testing.assert_allclose(found.distance, distance, rtol=(generated.shape[1] + 4) * 2.0**-52)


@pytest.mark.parametrize("d", [1, 12, 300])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-12, 1), (1e20, 0), (1e-30, 0), (1, 1e5)])
@pytest.mark.usefixtures("small_blocks")
def test_blocks_give_what_brute_force_gives(d: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(d)
    training = scale * rng.normal(size=(150, d)) + offset
    generated = scale * rng.normal(size=(20, d)) + offset
    generated[0] = training[140]
    check(generated, training)


@pytest.mark.usefixtures("small_blocks")
def test_distances_that_float32_cannot_tell_apart() -> None:
    """All training images on a sphere about the generated one, but for 1e-12 of its radius."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200, 12))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    training = 3.0 + directions * (1.0 + 1e-12 * rng.permutation(200)[:, None])
    check(np.full((1, 12), 3.0), training)


@pytest.mark.usefixtures("small_blocks")
def test_copies_and_ties_go_by_number() -> None:
    rng = np.random.default_rng(1)
    training = rng.integers(0, 3, size=(300, 4)).astype(float)  # 81 different ones
    generated = rng.integers(0, 3, size=(30, 4)).astype(float)
    check(generated, training)
    first_of_each = np.sort(np.unique(training, axis=0, return_index=True)[1])
    found = nearest(generated, training, distinct=True)
    index, distance = brute_force(generated, training[first_of_each])
    np.testing.assert_array_equal(found.index, first_of_each[index])
    np.testing.assert_allclose(found.distance, distance, rtol=1e-14)
    assert found.copies == 300 - len(first_of_each)


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32, np.int64, bool])
def test_every_type_of_numbers(kind: type) -> None:
    rng = np.random.default_rng(2)
    training, generated = (rng.integers(0, 200, size=(n, 30)).astype(kind) for n in (60, 9))
    check_index, distance = brute_force(generated.astype(float), training.astype(float))
    found = nearest(generated, training)
    np.testing.assert_array_equal(found.index, check_index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-14)


def test_permutation_and_rotation_change_nothing() -> None:
    rng = np.random.default_rng(3)
    training, generated = rng.normal(size=(200, 20)), rng.normal(size=(40, 20))
    generated[:15] = training[:15] + 0.05 * rng.normal(size=(15, 20))
    found = memorized_fraction(generated, training)
    assert found.fraction == 15 / 40
    order, other = rng.permutation(200), rng.permutation(40)
    moved = memorized_fraction(generated[other], training[order])
    np.testing.assert_array_equal(order[moved.neighbours.index], found.neighbours.index[other])
    np.testing.assert_array_equal(moved.neighbours.distance, found.neighbours.distance[other])
    q, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    turned = memorized_fraction(generated @ q + 3.0, training @ q + 3.0)
    np.testing.assert_array_equal(turned.neighbours.index, found.neighbours.index)
    np.testing.assert_allclose(turned.neighbours.distance, found.neighbours.distance, rtol=1e-12)


def test_exact_copies_are_memorized() -> None:
    x = np.random.default_rng(4).integers(0, 256, size=(100, 8, 8, 3), dtype=np.uint8)
    found = memorized_fraction(x[:30], x)
    assert found.fraction == float(found) == 1.0
    assert found.memorized.all()
    np.testing.assert_array_equal(found.neighbours.distance[:, 0], 0.0)
    np.testing.assert_array_equal(found.neighbours.index[:, 0], np.arange(30))


def test_an_image_that_is_there_twice_can_be_memorized() -> None:
    """Without passing over copies the two nearest would be equally far."""
    x = np.random.default_rng(5).normal(size=(50, 16))
    twice = np.concatenate([x, x[:12]])
    found = memorized_fraction(x[:12] + 1e-3, twice)
    assert found.fraction == 1.0
    assert found.neighbours.copies == 12
    assert "12 exact copies" in repr(found)
    assert (nearest(x[:12] + 1e-3, twice).ratio > 0.999).all()


def test_the_threshold_is_that_of_the_ratio() -> None:
    training = np.zeros((11, 2))
    training[:, 1] = [0.0, 1.0, *range(100, 109)]
    generated = np.zeros((10, 2))
    generated[:, 1] = np.linspace(0.05, 0.5, 10)  # ratio x/(1 - x), below 1/3 for x < 1/4
    assert memorized_fraction(generated, training).fraction == 0.4
    assert memorized_fraction(generated, training, ratio=1.0).fraction == 0.9
    assert memorized_fraction(generated, training, 0.1).fraction == 0.1


def test_the_error_of_a_fraction() -> None:
    """Binomial: 95 % of repeated draws lie in the interval, at 0 it is the rule of three."""
    rng = np.random.default_rng(6)
    training = rng.normal(size=(60, 30))
    inside, values, errors = [], [], []
    for _ in range(200):
        copied = rng.random(40) < 0.3
        fresh = 10.0 + rng.normal(size=(40, 30))
        generated = np.where(copied[:, None], training[:40] + 1e-3, fresh)
        found = memorized_fraction(generated, training)
        low, high = found.interval
        inside.append(low <= 0.3 <= high)
        values.append(found.fraction)
        errors.append(found.standard_error)
    assert np.mean(inside) >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / 200)
    # the standard deviation of 200 values has an error of 5 %
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.2)
    none = memorized_fraction(rng.normal(size=(300, 30)), training)
    assert none.fraction == none.standard_error == none.interval[0] == 0.0
    assert none.interval[1] == pytest.approx(1.0 - 0.025 ** (1 / 300))


def test_progress_counts_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 8 * 4 * 30)
    x = np.random.default_rng(7).normal(size=(100, 4))
    seen: list[tuple[int, int]] = []
    nearest(x[:3], x, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(30, 100), (60, 100), (90, 100), (100, 100)]


# -- files and folders ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty images of 6 x 5 pixels in colour."""
    pixels = np.random.default_rng(8).integers(0, 256, size=(40, 6, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "data.npy", pixels)
    return fill(tmp_path / "data", pixels)


def test_folders_files_and_arrays_are_the_same(folder: Path) -> None:
    pixels = np.load(folder.with_suffix(".npy"))
    generated = pixels[::-1][:12].astype(float) + 2.0
    expected = memorized_fraction(generated, pixels)
    assert expected.fraction == 1.0
    for source in (folder, str(folder), folder.with_suffix(".npy")):
        found = memorized_fraction(generated, source)
        assert found.neighbours == expected.neighbours
    grey = nearest(folder, folder, resize=(3, 2), grey=True)
    np.testing.assert_array_equal(grey.index[:, 0], np.arange(40))


def test_files_are_kept_in_parts_and_in_small_types(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.load(folder.with_suffix(".npy"))
    np.save(folder.with_suffix(".npy"), pixels / 8.0)
    monkeypatch.setattr(samples_module, "CHUNK_BYTES", 8 * 90 * 7)
    for source, kind, values in (
        (folder, np.uint8, pixels),
        (folder.with_suffix(".npy"), np.float32, pixels / 8.0),
    ):
        found = Samples.of(source, "x")
        assert len(found._parts) == 6
        assert {part.dtype for part in found._parts} == {np.dtype(kind)}
        assert found.shape == (6, 5, 3)
        flat = values.reshape(40, -1)
        chosen = np.array([39, 0, 7, 7, 6])
        np.testing.assert_array_equal(found.take(chosen), flat[chosen])
        again = nearest(found, values)
        np.testing.assert_array_equal(again.index[:, 0], np.arange(40))
        np.testing.assert_array_equal(again.distance[:, 0], 0.0)


def test_memory_does_not_grow_with_the_product_of_the_sizes() -> None:
    """Here the matrix of all distances in float32 would have 240 MB."""
    rng = np.random.default_rng(10)
    training, generated = (rng.integers(0, 256, (n, 8), np.uint8) for n in (30_000, 2_000))
    tracemalloc.start()
    try:
        nearest(generated, training)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200e6


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / "0017.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(DataError, match=r"0017\.png: cannot be read as an image") as caught:
        memorized_fraction(np.zeros((10, 90)), folder)
    assert "\n" not in str(caught.value)


X = np.random.default_rng(9).normal(size=(20, 12))
COLOUR = X.reshape(20, 3, 2, 2)


@pytest.mark.parametrize(
    ("generated", "training", "words"),
    [
        (X[:3], X, "generated has 3 images; a memorized fraction needs at least 10"),
        (X, X[:3], "training has 3 images"),
        (X, np.ones((20, 12)), "training has 20 images, all of them equal"),
        (np.ones((20, 12)), X, "generated has 20 images, all of them equal"),
        (X, X[:, :6], "generated have 12 numbers, those of training have 6"),
        (COLOUR, X.reshape(20, 2, 2, 3), "3 x 2 x 2 numbers, those of training have 2 x 2 x 3"),
        (X, np.where(np.arange(12) == 4, np.nan, X), "number 5 of image 1 .* is nan"),
        (X * 1e200, X, "at most 1e\\+150"),
        (X[0], X, "of shape \\(12,\\)"),
        ("nothing.npy", X, "nothing.npy: no such file"),
    ],
)
def test_one_line_for_what_cannot_be_used(generated: Any, training: Any, words: str) -> None:
    with pytest.raises((ModelError, DataError), match=words) as caught:
        memorized_fraction(generated, training)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ratio", [0.0, 1.5, math.nan, "x", None])
def test_ratios_out_of_range(ratio: Any) -> None:
    with pytest.raises(ModelError, match="ratio is"):
        memorized_fraction(X, X, ratio)


def test_options_of_folders_are_refused_for_arrays(folder: Path) -> None:
    with pytest.raises(ModelError, match="for folders"):
        nearest(X, X, grey=True)
    with pytest.raises(DataError, match="no folder"):
        nearest(folder, folder.with_suffix(".npy"), resize=2)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="did you mean 'nearest'"):
        _ = monitor.nearst
    assert "Monitor" in dir(monitor)
