"""Images for the trained networks: loaders, shapes, splits; the mixture and its score."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from dmft_rf import DataError, ModelError
from validation.networks.run import data, mixture
from validation.networks.run.schedule import NOISE, SIGNAL, TIMES, diffusion_time, sampling_times


@pytest.fixture(autouse=True)
def forget() -> None:
    data.load.cache_clear()


def idx(pictures: np.ndarray) -> bytes:
    return b"\x00\x00\x08\x03" + struct.pack(">III", *pictures.shape) + pictures.tobytes()


def pictures(count: int = 300, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


def test_digits_are_centred_and_scaled() -> None:
    images = data.load("digits", 8)
    assert images.pixels.shape[1:] == (8, 8)
    assert len(images.pixels) + images.dropped == 1797
    assert np.abs(images.pixels.mean(axis=0)).max() < 1e-6
    assert math.isclose(float(np.mean(images.pixels.astype(float) ** 2)), 0.25, rel_tol=1e-5)
    assert "dmft_rf" in images.source


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path: Path, packed: bool) -> None:
    raw = pictures()
    name = "train-images-idx3-ubyte" + (".gz" if packed else "")
    content = gzip.compress(idx(raw)) if packed else idx(raw)
    (tmp_path / name).write_bytes(content)
    assert np.array_equal(data.read_idx(tmp_path / name), raw)
    images = data.load(str(tmp_path), 8)
    assert name in images.source
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot be read|need \d+ bytes"):
        data.read_idx(tmp_path / name)


def test_idx_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "labels-idx3-ubyte").write_bytes(b"\x00\x00\x08\x01" + bytes(20))
    with pytest.raises(DataError, match="no IDX file of pictures"):
        data.load(str(tmp_path), 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        data.load(str(tmp_path / "empty"), 8)


def test_labels_stand_beside_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = pictures(700)
    raw[5] = raw[4]  # a copy, which goes with its label
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(raw))
    labels = np.arange(700, dtype=np.uint8) % 10
    content = b"\x00\x00\x08\x01" + struct.pack(">I", 700) + labels.tobytes()
    file = tmp_path / "train-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(content))
    monkeypatch.setattr(data, "FASHION", tmp_path)
    images = data.load("fashion", 8)
    assert np.array_equal(images.labels, np.delete(labels, 5))
    parts = data.split(images, 16, 64, 0)
    for rows, told in zip((parts.train, parts.test), parts.labels, strict=True):
        where = [int(np.flatnonzero((images.pixels == row).all(axis=(1, 2)))[0]) for row in rows]
        assert np.array_equal(images.labels[where], told)
    data.load.cache_clear()
    file.write_bytes(gzip.compress(b"\x00\x00\x08\x03" + content[4:]))
    with pytest.raises(DataError, match="no IDX file of labels"):
        data.load("fashion", 8)
    file.unlink()
    data.load.cache_clear()
    with pytest.raises(DataError, match="idx1-ubyte"):
        data.load("fashion", 8)


def test_own_arrays(tmp_path: Path) -> None:
    raw = pictures().astype(float)
    np.save(tmp_path / "a.npy", raw)
    np.savez(tmp_path / "b.npz", images=raw)
    np.savez(tmp_path / "two.npz", one=raw, two=raw)
    first, second = (data.load(str(tmp_path / name), 8) for name in ("a.npy", "b.npz"))
    assert first.digest == second.digest
    assert first.source != second.source
    with pytest.raises(DataError, match="one array"):
        data.load(str(tmp_path / "two.npz"), 8)
    (tmp_path / "torn.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:999])
    with pytest.raises(DataError, match="cannot be read"):
        data.load(str(tmp_path / "torn.npy"), 8)


@pytest.mark.parametrize(
    ("shape", "side", "what"),
    [
        ((9, 8, 4), 4, "square"),
        ((9, 64), 8, "square"),
        ((9, 8, 8, 3), 8, "square"),
        ((9, 8, 8), 16, "not larger"),
        ((9, 8, 8), 6, "multiple of 4"),
    ],
)
def test_shapes_that_do_not_fit(shape: tuple[int, ...], side: int, what: str) -> None:
    with pytest.raises(DataError, match=what):
        data.to_side(np.zeros(shape), side, "mine")


def test_pixels_that_are_not_finite() -> None:
    raw = np.zeros((3, 8, 8))
    raw[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="finite"):
        data.to_side(raw, 8, "mine")


def test_names_that_there_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data 'nothing'"):
        data.load("nothing", 8)
    monkeypatch.setattr(data, "FASHION", tmp_path / "absent")
    with pytest.raises(DataError, match="dataset-fashion-mnist"):
        data.load("fashion", 16)


def test_averaging_keeps_means() -> None:
    raw = np.random.default_rng(1).random((5, 32, 32))
    small = data.to_side(raw, 16, "mine")
    assert np.allclose(small.mean(axis=(1, 2)), raw.mean(axis=(1, 2)), atol=1e-14)
    assert np.allclose(small[:, 0, 1], raw[:, :2, 2:4].mean(axis=(1, 2)))
    # 28 is padded by two border pixels on every side
    flat = np.ones((2, 28, 28)) * np.array([3.0, 5.0])[:, None, None]
    assert np.array_equal(data.to_side(flat, 16, "mine"), flat[:, :16, :16])


def test_copies_are_dropped(tmp_path: Path) -> None:
    raw = pictures()
    np.save(tmp_path / "a.npy", np.concatenate([raw, raw[:7]]))
    images = data.load(str(tmp_path / "a.npy"), 8)
    assert (len(images.pixels), images.dropped) == (300, 7)


def test_parts_are_disjoint_and_training_sets_nested() -> None:
    images = data.load("digits", 8)
    small, large = (data.split(images, n, 128, 3) for n in (16, 64))
    assert np.array_equal(small.train, large.train[:16])
    assert np.array_equal(small.test, large.test)
    rows = [
        tuple(x.ravel()) for name, part in vars(large).items() if name != "labels" for x in part
    ]
    assert len(rows) == len(set(rows))
    other = data.split(images, 16, 128, 4)
    assert not np.array_equal(small.train, other.train)
    with pytest.raises(DataError, match="too few"):
        data.split(images, 1500, 128, 0)


def multivariate_mixture(x: np.ndarray) -> np.ndarray:
    parts = [multivariate_normal(np.full(x.shape[1], m)).pdf(x) for m in (1.0, -1.0)]
    return np.log(0.5 * (parts[0] + parts[1]))


def test_score_is_the_gradient_of_the_log_density() -> None:
    rng = np.random.default_rng(2)
    x, a, step = rng.standard_normal((6, 3)), 0.8, 1e-6

    assert np.allclose(mixture.log_density(x), multivariate_mixture(x), atol=1e-12)

    def log_density(at: np.ndarray) -> np.ndarray:
        exponents = [-0.5 * np.sum((at - s * a) ** 2, axis=1) for s in (1.0, -1.0)]
        return np.logaddexp(*exponents)

    for i in range(3):
        shift = step * np.eye(3)[i]
        slope = (log_density(x + shift) - log_density(x - shift)) / (2.0 * step)
        assert np.allclose(mixture.score(x, a)[:, i], slope, atol=1e-8)


def test_mixture_moments() -> None:
    x = mixture.draw(np.random.default_rng(3), 40_000, 4)
    # covariance 1 + 1 1^T; errors of means of 40,000 products are below 0.02
    assert np.abs(np.cov(x, rowvar=False) - np.eye(4) - 1.0).max() < 0.08
    assert np.abs(x.mean(axis=0)).max() < 0.04
    with pytest.raises(ModelError):
        mixture.draw(np.random.default_rng(0), 0, 4)


def test_schedule() -> None:
    assert np.allclose(SIGNAL**2 + NOISE**2, 1.0)
    assert (np.diff(NOISE) > 0.0).all()
    # s_k^2 = Delta_t of the theory
    assert math.isclose(-math.expm1(-2.0 * diffusion_time(100)), NOISE[100] ** 2, rel_tol=1e-12)
    times = sampling_times(50)
    assert (times[0], times[-1], len(times)) == (TIMES - 1, 0, 50)
    assert (np.diff(times) < 0).all()
    for wrong in (1, 1001):
        with pytest.raises(ModelError):
            sampling_times(wrong)
    with pytest.raises(ModelError):
        diffusion_time(1000)
