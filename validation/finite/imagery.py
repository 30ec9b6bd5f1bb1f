r"""Real data: rows of pixels, centred and scaled to a mean eigenvalue of one.

- ``digits``: 1797 handwritten digits of 8 x 8 pixels that come with `dmft_rf.data.bundled`
  (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0).
- ``patches``: natural-image patches of 8 x 8 pixels, cut side by side from the photograph
  ``grace_hopper.jpg`` that comes with matplotlib (an official portrait by the U.S. Navy, public
  domain), in grey, the mean of each patch taken out.

The theory gets nothing but the eigenvalues of the covariance of these rows.
"""

from functools import lru_cache

import numpy as np

from dmft_rf import Covariance
from dmft_rf._typing import Array
from dmft_rf.data.read import iter_chunks
from dmft_rf.errors import DataError

SIDE = 8


@lru_cache(maxsize=4)
def rows(name: str) -> Array:
    """Rows of mean zero with Tr Sigma/d = 1, shape (n, 64), read-only.

    Raises
    ------
    DataError
        If there is no such data set, or its file is missing.
    """
    if name == "digits":
        data = np.concatenate(list(iter_chunks("digits")))
    elif name == "patches":
        data = _patches()
    else:
        raise DataError(f"no data set {name!r}: there are digits, patches")
    return unit(data)


def unit(data: Array) -> Array:
    """Rows of mean zero with Tr Sigma/d = 1, shape (n, d), read-only."""
    data = data - data.mean(axis=0)
    data /= np.sqrt(np.mean(data**2))
    data.setflags(write=False)
    return data


def averaged(pictures: Array, side: int) -> Array:
    """Pictures (n, s, s) averaged over squares to rows of ``side`` x ``side``, shape (n, side^2).

    Raises
    ------
    DataError
        If s is no multiple of ``side``.
    """
    count, *sides = pictures.shape
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] % side:
        raise DataError(
            f"pictures of {' x '.join(map(str, sides))} cannot be averaged to {side} x {side}"
        )
    step = sides[0] // side
    tiles = np.asarray(pictures, dtype=float).reshape(count, side, step, side, step)
    return tiles.mean(axis=(2, 4)).reshape(count, side * side)


@lru_cache(maxsize=4)
def covariance(name: str) -> Covariance:
    """Spectral law of the covariance of `rows`, normalised to mean eigenvalue one."""
    data = rows(name)
    law = Covariance.from_matrix(data.T @ data / data.shape[0])
    return Covariance(
        law.eigenvalues / law.mean, law.weights, label=name, dimension=64, samples=data.shape[0]
    )


def _patches() -> Array:
    import matplotlib.cbook
    import matplotlib.image

    try:
        path = str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
        picture = matplotlib.image.imread(path)
    except OSError as error:
        raise DataError(f"patches: matplotlib's sample image is missing ({error})") from None
    grey = picture[..., :3].astype(float) @ np.array([0.299, 0.587, 0.114])
    height, width = (SIDE * (size // SIDE) for size in grey.shape)
    tiles = grey[:height, :width].reshape(height // SIDE, SIDE, width // SIDE, SIDE)
    patches = tiles.swapaxes(1, 2).reshape(-1, SIDE * SIDE)
    return np.asarray(patches - patches.mean(axis=1, keepdims=True))
