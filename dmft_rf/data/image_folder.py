"""Blocks of rows from a folder of images, a file per sample, read by Pillow.

All images of a folder become rows of one length: of height x width grey values, or three times
as many where at least one image is in colour. Values are those of the files, 0 to 255 for most.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import flag, shown, whole
from dmft_rf._paths import why
from dmft_rf.data.readers import DAMAGE, Blocks, rows_of
from dmft_rf.errors import DataError, ModelError
from dmft_rf.model.accumulator import MAX_DIMENSION, too_wide

Progress = Callable[[int, int], None]

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic", ".jp2",
    ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""Files of a folder that count as images, in capitals too; all others are passed over."""

_DEEP = ("I;16", "I;16B", "I;16L", "I", "F")  # Pillow's modes of more than 8 bits
_GREY = ("1", "L", "LA", *_DEEP)
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601, as Pillow's "L"


@dataclass(frozen=True)
class ImageFolder:
    """Images of a folder and of the folders in it, looked at but not read.

    Attributes
    ----------
    path : pathlib.Path
    files : tuple of pathlib.Path
        In the order of their names.
    height, width : int
        Of the rows that are made of them.
    channels : int
        1, or 3 for colour.
    resized : bool
    """

    path: Path
    files: tuple[Path, ...]
    height: int
    width: int
    channels: int
    resized: bool

    @property
    def dimension(self) -> int:
        """Length of a row."""
        return self.height * self.width * self.channels

    @property
    def description(self) -> str:
        """Size and colour: "32 x 32 pixels, colour"."""
        size = f"{self.height} x {self.width} pixels, {'grey' if self.channels == 1 else 'colour'}"
        return f"resized to {size}" if self.resized else size

    @classmethod
    def of(cls, path: Path, resize: int | tuple[int, int] | None, grey: bool) -> ImageFolder:
        """Look at every image of a folder.

        Parameters
        ----------
        path : pathlib.Path
            The folder.
        resize : int or (height, width), optional
            Size that every image is brought to; one number is both.
        grey : bool
            Whether colour becomes grey.

        Raises
        ------
        DataError
            If there is no image, one cannot be read, or they differ in size and are not resized.
        ModelError
            If ``resize`` or ``grey`` is none.
        """
        size, grey = _size(resize), flag(grey, "grey")
        files = tuple(_files(path))
        if not files:
            raise DataError(
                f"{path}: is a directory without images ({', '.join(ENDINGS)}); name the file of "
                "an array, or the folder that the images are in"
            )
        first: tuple[Path, tuple[int, int], bool] | None = None
        colour = False
        for file in files:
            with _opened(file) as image:
                found = (image.height, image.width)
                deep = image.mode in _DEEP
                colour |= image.mode not in _GREY
            if first is None:
                first = (file, found, deep)
            if size is None and found != first[1]:
                raise DataError(
                    f"{path}: {_name(file, path)} has {found[0]} x {found[1]} pixels and "
                    f"{_name(first[0], path)} has {first[1][0]} x {first[1][1]}; bring all to one "
                    "size with resize=(height, width) (--resize HxW)"
                )
            if deep != first[2]:
                raise DataError(
                    f"{path}: only one of {_name(file, path)} and {_name(first[0], path)} has more "
                    "than 8 bits a pixel; convert them to one kind"
                )
        assert first is not None
        height, width = size or first[1]
        one = cls(path, files, height, width, 3 if colour and not grey else 1, size is not None)
        if one.dimension > MAX_DIMENSION:
            side = int((MAX_DIMENSION / one.channels) ** 0.5)
            ways = f"resize={side} (--resize {side})"
            if one.channels == 3 and height * width <= MAX_DIMENSION:
                ways += " or grey=True (--grey)"
            raise DataError(f"{path}, {one.description}: {too_wide(one.dimension)}; {ways} will do")
        return one

    def blocks(self, chunk_bytes: int, progress: Progress | None) -> Blocks:
        """Read the images, in blocks of at most about ``chunk_bytes``.

        ``progress`` is called with the images read and the images in all.

        Yields
        ------
        ndarray, shape (rows, height * width * channels)
            Row by row of an image, the colours of a pixel beside one another.
        """
        step, count = rows_of(self.dimension, chunk_bytes), len(self.files)
        for start in range(0, count, step):
            block = np.empty((min(step, count - start), self.dimension))
            for row, file in enumerate(self.files[start : start + step]):
                block[row] = self._pixels(file)
                if progress is not None:
                    progress(start + row + 1, count)
            yield block

    def _pixels(self, file: Path) -> NDArray[np.float64]:
        """One image as a row."""
        with _opened(file) as image:
            if image.mode in _DEEP:
                pixels = np.asarray(image, dtype=np.float64)[..., None]
            else:
                has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
                if has_alpha and image.convert("RGBA").getextrema()[3][0] < 255:
                    raise DataError(
                        f"{file}: has transparent pixels, whose value depends on what is behind "
                        "them; save it without transparency"
                    )
                kind = "L" if image.mode in _GREY else "RGB"
                pixels = np.asarray(image.convert(kind), dtype=np.float64)
                pixels = pixels.reshape(image.height, image.width, -1)
        if pixels.shape[2] == 3 and self.channels == 1:
            pixels = (pixels @ _LUMA)[..., None]
        if pixels.shape[:2] != (self.height, self.width):
            if not self.resized:
                raise DataError(f"{file}: has changed while the folder was read")
            pixels = np.dstack([_resized(plane, self.width, self.height) for plane in pixels.T])
        return np.broadcast_to(pixels, (self.height, self.width, self.channels)).ravel()


def _resized(plane: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    """One colour, shape (columns, rows), as an image of another size: means of what it covers."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(plane.T, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _size(resize: Any) -> tuple[int, int] | None:
    """Height and width that are wanted, None to leave them."""
    if resize is None:
        return None
    pair = list(resize) if isinstance(resize, tuple | list) else [resize, resize]
    if len(pair) != 2:
        raise ModelError(f"resize is {shown(resize)}; it must be one number or (height, width)")
    height, width = (whole(side, "resize", most=MAX_DIMENSION) for side in pair)
    return height, width


def _files(folder: Path) -> Iterator[Path]:
    """The images of a folder and of those in it, in the order of their names; no hidden ones."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({why(error)})") from None

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(place, name)


def _name(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """An image of one frame, and one line for whatever its file does to Pillow."""
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what is odd in a file and does not matter
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                # cameras put a second, small picture into a JPEG, which is called MPO then
                if getattr(image, "is_animated", False) and image.format != "MPO":
                    raise DataError(f"{file}: has several frames; save each to a file of its own")
                yield image
        except DataError:
            raise
        except UnidentifiedImageError:
            reason = "it is of no kind that Pillow knows, or its first bytes are damaged"
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            reason = "it is too large"
        except (*DAMAGE, SyntaxError) as error:  # SyntaxError: of the parser of PNG
            reason = why(error) if isinstance(error, OSError) else str(error)
            reason = " ".join(reason.split())[:120] or type(error).__name__
        else:
            return
    raise DataError(f"{file}: cannot be read as an image ({reason}); save it anew or remove it")
