"""One process at a time works on a file: a lock beside it, which ends with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from dmft_rf import DataError


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], *, wait: bool = False) -> Iterator[None]:
    """Hold ``<path>.lock`` for this process; of a link, that of its target.

    Parameters
    ----------
    path : path
        Need not exist; its folder does.
    wait : bool, default False
        Whether to wait until no other process holds it.

    Raises
    ------
    DataError
        If another process holds it, or it cannot be locked.
    """
    place = Path(f"{os.path.realpath(path)}.lock")
    try:
        stream = place.open("w")
    except OSError as error:
        raise DataError(f"{place}: cannot be written ({error})") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise DataError(f"{path}: another process is working on it") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be locked ({error})") from error
        yield
