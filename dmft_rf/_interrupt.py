"""Ctrl-C: an interruption is neither lost nor taken for another error.

Python runs the handler of SIGINT between any two of its own instructions. Two libraries run
instructions where the KeyboardInterrupt that this raises goes astray: while objects of h5py are
freed it is printed and dropped, and the work goes on (one interruption in ten that came while a
file was written), and so it is in callbacks of the compiler; and while numba hands over the result
of a kernel it becomes a SystemError (one in twenty during a phase diagram).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[None]:
    """Let an interruption wait until the body has ended, for HDF5 files and compilation.

    As a decorator it covers the objects of h5py that are freed when the function returns.

    Its handler, Python's own or whatever is installed, then runs at the end of the body, whether
    that ended well or by an error. A second interruption is not held back. Nothing happens in
    threads, which are never interrupted, and where SIGINT is ignored or ends the process.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = False

    def wait(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if waiting:
            handler(number, frame)
        waiting = True

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(signal.SIGINT, None)


@contextmanager
def recognized() -> Iterator[None]:
    """Make a SystemError that an interruption caused inside a kernel a KeyboardInterrupt again."""
    try:
        yield
    except SystemError as error:
        cause: BaseException | None = error
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        raise
