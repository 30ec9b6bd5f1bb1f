"""What the tests of interruptions share."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def interrupt() -> None:
    """Ctrl-C in this process."""
    signal.raise_signal(signal.SIGINT)


@contextmanager
def python_handler() -> Iterator[None]:
    """Python's own handler, also where the tests were started with SIGINT ignored or blocked."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
