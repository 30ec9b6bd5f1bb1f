"""What the tests of sweeps share: contents of files, processes to be killed, deadly activations."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMES = {"wall_time_seconds", "created_utc"}


def contents(path):
    """Every dataset and attribute of a file, byte by byte, but for what the clock decides."""
    found = {}

    def visit(name, item):
        for key, value in item.attrs.items():
            if key not in TIMES:
                found[name, key] = (str(item.attrs.get_id(key).dtype), np.asarray(value).tobytes())
                if isinstance(value, str | h5py.Empty):
                    found[name, key] = repr(value)
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, str(item.dtype), np.asarray(item[()]).tobytes())

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def interrupted(at, compute, *arguments, **options):
    """Interrupt a sweep when so many of its points are there; returns how many there are in all.

    They come in batches: it may have a few more.
    """
    totals = []

    def progress(done, total):
        totals.append(total)
        if done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(*arguments, progress=progress, **options)
    return totals[-1]


def completed(compute, *arguments, **options):
    """What a sweep returns, and how many of its points were there when it began."""
    counts = []
    found = compute(*arguments, progress=lambda done, _: counts.append(done), **options)
    return found, counts[0]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def run_script(program, *arguments, timeout=300, warnings="error"):
    """Run a program, a file or its text, in a process of its own."""
    start = [str(program)] if isinstance(program, Path) else ["-c", program]
    command = [sys.executable, "-W", warnings, *start, *map(str, arguments)]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=True, timeout=timeout
    )


@contextlib.contextmanager
def limited(process, seconds=300.0):
    """End a process started with ``start_new_session``, and its children, if the body fails.

    After some seconds also while the body waits for what they say.
    """

    def end():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    late = threading.Timer(seconds, end)
    late.daemon = True
    late.start()
    try:
        yield
    except BaseException:
        end()
        raise
    finally:
        late.cancel()


def deadly(x):
    """tanh, unless a worker process computes it: that dies on the spot."""
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return np.tanh(x)
