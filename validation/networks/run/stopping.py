"""When to stop: the time that was given is over, or somebody asks by a signal."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Asked between two stretches of training; a context manager.

    Inside it the first SIGINT or SIGTERM is a wish, heard at the end of the stretch, so that the
    checkpoint is written where the training is and no file is left half written. A second one
    raises KeyboardInterrupt on the spot.

    Parameters
    ----------
    hours : float, optional
        True after this time.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, hours: float | None = None, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._deadline = None if hours is None else clock() + 3600.0 * hours
        self._signalled = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._signalled or (self._deadline is not None and self._clock() >= self._deadline)

    def raise_if_signalled(self) -> None:
        """KeyboardInterrupt if a signal is the reason; for when everything is kept."""
        if self._signalled:
            raise KeyboardInterrupt

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        print("\nstopping at the end of this stretch: seconds, longer where a network is being "
              "compiled; once more: at once", file=sys.stderr, flush=True)  # fmt: skip
