"""How the commands beside the library end: as its own does, with one line and an exit code."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from dmft_rf import DataError, ModelError
from dmft_rf.cli._frame import prepare_streams, reporting


def ended(run: Callable[[], int], kept: str, *, data: str | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    run : callable
        The command; returns its exit code.
    kept : str
        What is said of an interruption.
    data : str, optional
        Samples that are read; without any, BLAS uses one thread unless the user chose a number.

    Returns
    -------
    int
        2 for wrong values and unusable files, 1 where something did not converge or a worker died,
        130 after an interruption, 70 for an error of the program.
    """

    def interruptible() -> int:
        try:
            return run()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(kept) from None

    prepare_streams()
    try:
        with reporting(data):
            return interruptible()
    except typer.Exit as end:
        return int(end.exit_code)


def note(text: str, *, quiet: bool = False) -> None:
    """Say on stderr what is being done."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def bar(
    what: str, *, quiet: bool = False
) -> contextlib.AbstractContextManager[Callable[[int, int], None]]:
    """The library's bar of finished parts and their total, on stderr if that is a terminal."""
    if quiet:
        return contextlib.nullcontext(lambda done, total: None)
    # imported here, since it brings numpy, before which the number of threads is chosen
    from dmft_rf.cli._progress import progress

    return progress(what)


def made(folder: Path) -> Path:
    """A folder, made if there is none.

    Raises
    ------
    DataError
        If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{folder}: may not be written to")
    return folder


def process_count(given: int | None, name: str = "workers") -> int:
    """A number of processes, by default that of the cores.

    Raises
    ------
    ModelError
        If it is below 1.
    """
    count = (os.cpu_count() or 1) if given is None else given
    if count < 1:
        raise ModelError(f"{name} is {count}; it must be 1 or more")
    return count
