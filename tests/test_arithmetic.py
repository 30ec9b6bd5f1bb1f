"""Values that are computed once, by threads and in forked processes."""

import ast
import contextlib
import copy
import os
import pickle
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import dmft_rf
from dmft_rf import ScoreModel
from dmft_rf._arithmetic import lazy


class Square:
    def __init__(self, side: float):
        self.side = side
        self.calls = 0

    @lazy
    def area(self) -> float:
        """Side times side."""
        self.calls += 1
        return self.side**2


def test_a_value_is_computed_once_and_kept() -> None:
    square = Square(3.0)
    assert square.area == square.area == 9.0
    assert square.calls == 1
    assert Square.area.__doc__ == "Side times side."
    for other in (pickle.loads(pickle.dumps(square)), copy.deepcopy(square)):
        assert other.area == 9.0
        assert other.calls == 1


def test_an_error_is_raised_again() -> None:
    square = Square("side")  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(TypeError):
            _ = square.area
    assert square.calls == 2


def test_threads_that_ask_at_once_get_one_object() -> None:
    gate = threading.Barrier(8)

    class Slow:
        @lazy
        def value(self) -> list[int]:
            gate.wait()  # all threads are inside
            return [1]

    slow, found = Slow(), []
    threads = [threading.Thread(target=lambda: found.append(slow.value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(one is found[0] for one in found)


def test_a_process_forked_while_a_thread_computes_does_not_hang() -> None:
    """Another thread is in the midst of a model's coefficients when the process forks.

    A few arguments are a first trial of the activation, many are those of the coefficients.
    """
    inside, go_on = threading.Event(), threading.Event()

    def waits(x: np.ndarray) -> np.ndarray:
        if threading.current_thread() is not threading.main_thread() and x.size > 10:
            inside.set()
            go_on.wait()
        return x**3 + x

    thread = threading.Thread(target=lambda: ScoreModel(0.1, 2.0, 3.0, waits))
    thread.start()
    assert inside.wait(60)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
            child = os.fork()
        if child == 0:
            good = ScoreModel(0.2, 2.0, 3.0).coefficients.b > 0.0
            os._exit(0 if good else 1)
        deadline, status = time.monotonic() + 60, None
        while status is None and time.monotonic() < deadline:
            done, code = os.waitpid(child, os.WNOHANG)
            status = code if done else None
            time.sleep(0.01)
        if status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert status == 0
    finally:
        go_on.set()
        thread.join()


def test_no_module_takes_a_lock_for_its_properties() -> None:
    """functools.cached_property of Python 3.11 has one lock for all objects of a class."""
    for path in sorted(Path(dmft_rf.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
            assert "cached_property" not in names, path
