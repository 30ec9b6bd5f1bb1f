"""How commands end: an exit code and one line, as the library's own command."""

import os
from pathlib import Path

import pytest

from dmft_rf import ConvergenceError, DataError, ModelError, WorkerError
from validation.common.command import ended, made, process_count


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ModelError("t is -1"), 2, "error: t is -1"),
        (DataError("a.h5: is damaged"), 2, "error: a.h5: is damaged"),
        (ConvergenceError("no root"), 1, "error: not converged: no root"),
        (WorkerError("a worker has died"), 1, "error: a worker has died; "),
        (KeyboardInterrupt(), 130, "error: interrupted, cells are kept"),
        (ZeroDivisionError("a mistake"), 70, "error: internal error: ZeroDivisionError: a mistake"),
    ],
)
def test_an_error_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        raise error

    assert ended(run, "cells are kept") == code
    shown = capsys.readouterr().err
    assert shown.startswith(line)
    assert shown.count("\n") == 1


def test_without_an_error_the_exit_code_is_its_own() -> None:
    assert [ended(lambda code=code: code, "") for code in (0, 1)] == [0, 1]


def test_folders_and_processes(tmp_path: Path) -> None:
    assert made(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be made"):
        made(tmp_path / "file")
    assert process_count(3) == 3
    assert process_count(None) == (os.cpu_count() or 1)
    with pytest.raises(ModelError, match="jobs is 0"):
        process_count(0, "jobs")
