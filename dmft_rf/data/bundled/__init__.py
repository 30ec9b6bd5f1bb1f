"""Small data sets that come with the package; README.md says where each is from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from dmft_rf._convert import shown
from dmft_rf.errors import DataError

__all__ = ["names", "path"]

_FILES = {"digits": "digits.npz"}


def names() -> tuple[str, ...]:
    """Return the names of the bundled data sets.

    Returns
    -------
    tuple of str
        ``("digits",)``: 1797 handwritten digits of 8 x 8 pixels with values 0 to 16.
    """
    return tuple(sorted(_FILES))


def path(name: str) -> Path:
    """Return where the file of a bundled data set is.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    pathlib.Path
        A .npz file.

    Raises
    ------
    DataError
        If there is no such data set.
    """
    if not isinstance(name, str) or name not in _FILES:
        raise DataError(f"no bundled data set {shown(name)}: there are {', '.join(names())}")
    return Path(str(resources.files(__name__) / _FILES[name]))
