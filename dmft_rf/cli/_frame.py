"""How a command ends: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import typer

from dmft_rf._interrupt import recognized
from dmft_rf.cli._help import BriefGroup
from dmft_rf.errors import ConvergenceError, DataError, ModelError, WorkerError, one_line

WRONG_VALUE, NOT_CONVERGED, BROKEN, INTERRUPTED = 2, 1, 70, 130
_REPORT = "please report it with this command line. DMFT_RF_DEBUG=1 shows where it happened"


def say(kind: str, message: object) -> None:
    """Write one line to stderr, without anything that a terminal would obey."""
    _write_line(one_line(f"{kind}: {message}"))


def _write_line(text: str) -> None:
    if sys.stderr is None:  # closed
        return
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:  # nobody reads; the exit code is all that is left
        _give_up(sys.stderr)


def put(text: str) -> None:
    """Write to stdout what a command has found.

    A reader who has left (``| head -1``) has what he wanted: that is no error.

    Raises
    ------
    DataError
        If it cannot be written: a full disk.
    """
    if sys.stdout is None:  # closed, which `OutputOptions.check` has allowed
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up(sys.stdout)
    except OSError as error:
        _give_up(sys.stdout)
        raise DataError(_unwritten(error)) from None


def _unwritten(error: OSError) -> str:
    return f"standard output cannot be written ({error.strerror})"


def _give_up(stream: TextIO | None) -> None:
    """Drop what was not written; Python would try again when it ends, and exit with 120."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):  # no file behind it: a test, a notebook
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def prepare_streams() -> None:
    """Let stdout take every character; open closed streams, so that no file gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    # "strict" would be an error where the terminal has no such character
    if getattr(sys.stdout, "errors", None) in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def one_blas_thread(data: str | None) -> None:
    """Let BLAS use one thread, unless a file of samples is to be read or the user chose a number.

    The theory's matrices are small: further threads only wait for one another, and on a busy
    machine that makes a sweep ten times slower. Works before numpy is imported; afterwards it
    does nothing.
    """
    from dmft_rf.data import bundled as datasets
    from dmft_rf.files.hdf5 import has_seal

    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    chosen = any(name in os.environ for name in (*names, "OMP_NUM_THREADS"))
    small = data is None or data in datasets.names() or has_seal(data)
    if "numpy" not in sys.modules and not chosen and small:
        os.environ.update(dict.fromkeys(names, "1"))


@contextlib.contextmanager
def reporting(data: str | None) -> Iterator[None]:
    """Turn every error into a line and an exit code, the package's warnings into lines.

    ``data`` is what the command reads. Warnings of other packages are for programmers: with
    DMFT_RF_DEBUG they are lines too, and an error of the program shows where it happened.
    """
    try:
        one_blas_thread(data)
        with recognized(), warnings.catch_warnings():
            # imported here, since it brings numpy, which --help does not need
            from dmft_rf._paths import check_working_folder
            from dmft_rf.model.covariance import SampleSizeWarning

            check_working_folder()

            def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
                if _debugging() or issubclass(category, SampleSizeWarning):
                    say("warning", message)

            warnings.simplefilter("always", SampleSizeWarning)
            warnings.showwarning = show
            yield
    except (ModelError, DataError) as error:
        say("error", error)
        raise typer.Exit(WRONG_VALUE) from None
    except ConvergenceError as error:
        say("error", f"not converged: {error}")
        raise typer.Exit(NOT_CONVERGED) from None
    except WorkerError as error:
        say("error", f"{error}; the same command with --out completes what is missing")
        raise typer.Exit(NOT_CONVERGED) from None
    except KeyboardInterrupt as error:
        say("error", f"interrupted, {str(error) or 'nothing was written'}")
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as error:
        _report(error)
        raise typer.Exit(BROKEN) from None


def _debugging() -> bool:
    return bool(os.environ.get("DMFT_RF_DEBUG"))


def _report(error: Exception) -> None:
    """Say kind, text and place of an error of the program."""
    if _debugging():
        traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    places = traceback.extract_tb(error.__traceback__)
    ours = [p for p in places if f"{os.sep}dmft_rf{os.sep}" in p.filename] or places
    if ours:
        text += f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})"
    say("error", f"internal error: {text}; {_REPORT}")


class OneLineErrors(BriefGroup):
    """A group whose usage errors are one line too."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; usage errors exit with 2."""
        prepare_streams()
        if not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        kwargs["standalone_mode"] = False
        stdout = sys.stdout
        try:
            code = super().main(*args, **kwargs)
        except typer.Abort:
            say("error", "interrupted")
            sys.exit(INTERRUPTED)
        except SystemExit:  # by click: the reader of the help has left
            _give_up(stdout)
            sys.exit(0)
        except OSError as error:  # of help and version; commands have dealt with theirs
            _give_up(stdout)
            say("error", _unwritten(error))
            sys.exit(WRONG_VALUE)
        except Exception as error:
            # click's own exceptions; typer brings a copy of click in some versions and depends
            # on it in others, and the class is known by what it can do
            if not hasattr(error, "format_message"):
                _report(error)
                sys.exit(BROKEN)
            if type(error).__name__ == "NoArgsIsHelpError":
                put(error.format_message() + "\n")
            else:
                say("error", error.format_message())
            sys.exit(WRONG_VALUE)
        sys.exit(code if isinstance(code, int) else 0)
