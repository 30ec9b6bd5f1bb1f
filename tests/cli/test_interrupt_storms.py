"""Ctrl-C at random times: every interruption arrives as a KeyboardInterrupt.

Coverage pauses meanwhile: an interruption would leave its own lock taken for ever.
"""

import gc
import itertools
import random
import signal
import sys

import numba
import numpy as np
import pytest

from dmft_rf import ScoreModel, solve
from dmft_rf._interrupt import recognized
from dmft_rf.files.results import load, save
from dmft_rf.kernels._jit import njit
from dmft_rf.kernels.elliptic import half_plane
from tests.helpers.interrupting import interrupt, python_handler
from tests.helpers.sampling import seventh

pytestmark = pytest.mark.no_cover


def storm(work, count, longest):
    """Interrupt ``work`` at random times, ``count`` times; how many interruptions have arrived."""
    monitored = getattr(sys, "monitoring", None)
    if sys.gettrace() or (monitored and monitored.get_tool(monitored.COVERAGE_ID)):
        pytest.fail("run these without coverage: an interruption would leave its lock taken")
    rng = random.Random(0)
    arrived = 0
    fired = False

    def fire(number, frame):
        nonlocal fired
        fired = True
        interrupt()

    # the collector's callbacks drop interruptions too, where kernels die: here, not in a program
    gc.collect()
    gc.disable()
    before = signal.signal(signal.SIGALRM, fire)
    try:
        with python_handler():
            for _ in range(count):
                fired = False
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.1, 1.0) * longest)
                    while not fired:
                        work()
                except KeyboardInterrupt:
                    arrived += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    return arrived


# a file that an interruption leaves to be closed by its end is no matter of these tests
@seventh
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_interruption_is_lost_while_a_file_is_written_or_read(tmp_path, every):
    """h5py drops one in ten of them where they are not held back."""
    curves = solve(ScoreModel(0.1, 8.0, 4.0)).learning_curves([1.0, 10.0])
    path = tmp_path / "a.h5"

    def work():
        save(path, curves, overwrite=True)
        assert load(path)["curves"].kind == "curves"

    work()
    assert storm(work, 350 // every, 0.005) == 350 // every
    work()
    assert list(tmp_path.iterdir()) == [path]


@seventh
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_interruption_is_lost_while_a_kernel_is_compiled(monkeypatch, tmp_path, every):
    """LLVM's call of what keeps a kernel for the cache drops some of them."""
    fresh = map(str, itertools.count())

    def work():
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / next(fresh)))
        with recognized():
            njit(lambda x: np.sqrt(x) + np.arange(4.0).sum())(2.0)

    work()
    assert storm(work, 70 // every, 0.2) == 70 // every


@seventh
def test_no_interruption_of_a_kernel_is_another_error(every):
    """numba makes a SystemError of some of them."""

    def work():
        with recognized():
            half_plane(0.1, 10.0, 4, np.pi / 2, np.pi / 2, 0.5)

    work()
    assert storm(work, 350 // every, 0.002) == 350 // every
