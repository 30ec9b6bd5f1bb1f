"""Ctrl-C: what holds an interruption back, and what recognizes one."""

import signal
import threading

import pytest

from dmft_rf._interrupt import held_back, recognized
from dmft_rf.errors import DataError
from dmft_rf.files.replace import replacing
from tests.helpers.interrupting import interrupt, python_handler


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    with python_handler():
        yield


@pytest.fixture
def heard():
    """A handler of the user's own in place of Python's: it counts."""
    calls = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGINT, before)


def test_interruption_waits_for_the_end_of_the_body():
    done = []

    @held_back()
    def body():
        interrupt()
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        body()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_interruption_does_not_wait():
    steps = []

    @held_back()
    def body():
        interrupt()
        steps.append("first")
        interrupt()
        steps.append("second")

    with pytest.raises(KeyboardInterrupt):
        body()
    assert steps == ["first"]


def test_outermost_body_decides():
    steps = []

    @held_back()
    def inner():
        interrupt()
        steps.append("inner")

    @held_back()
    def outer():
        inner()
        steps.append("outer")

    with pytest.raises(KeyboardInterrupt):
        outer()
    assert steps == ["inner", "outer"]


def test_error_of_the_body_does_not_hide_the_interruption():
    @held_back()
    def body():
        interrupt()
        raise DataError("disk full")

    with pytest.raises(KeyboardInterrupt) as caught:
        body()
    assert isinstance(caught.value.__context__, DataError)


def test_handler_of_the_user_is_called_at_the_end(heard):
    with held_back():
        interrupt()
        assert heard == []
    assert heard == [signal.SIGINT]


def test_ignored_interruptions_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_threads_leave_the_handler_alone():
    seen = []

    def body():
        with held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_interrupted_writing_has_no_effect(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with replacing(path, overwrite=True) as temporary:
            temporary.write_text("ne")
            interrupt()
            temporary.write_text("new")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_system_errors_stay_what_they_are():
    with pytest.raises(SystemError, match="of its own"), recognized():
        raise SystemError("of its own")
    with pytest.raises(SystemError), recognized():
        raise SystemError("with a cause") from ValueError("another")


def test_an_interruption_is_recognized_through_several_kernels():
    inner = SystemError("the kernel's")
    inner.__cause__ = KeyboardInterrupt("once")
    with pytest.raises(KeyboardInterrupt, match="once"), recognized():
        raise SystemError("that of its caller") from inner
