"""How a command ends: one line on stderr and an exit code, never a traceback for a wrong value."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from dmft_rf._interrupt import recognized
from dmft_rf.errors import ConvergenceError, DataError, ModelError, WorkerError

WRONG_VALUE, NOT_CONVERGED, INTERRUPTED = 2, 1, 130


def say(kind: str, message: object) -> None:
    """Write one line to stderr."""
    typer.echo(f"{kind}: {' '.join(str(message).split())}", err=True)


def one_blas_thread(data: str | None) -> None:
    """Let BLAS use one thread, unless a file of samples is to be read or the user chose a number.

    The theory's matrices are small: further threads only wait for one another, and on a busy
    machine that makes a sweep ten times slower. Works before numpy is imported; afterwards it
    does nothing.
    """
    from dmft_rf import datasets

    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    chosen = any(name in os.environ for name in (*names, "OMP_NUM_THREADS"))
    if "numpy" not in sys.modules and not chosen and data in (None, *datasets.names()):
        os.environ.update(dict.fromkeys(names, "1"))


@contextlib.contextmanager
def reporting(data: str | None) -> Iterator[None]:
    """Turn the package's errors into a line and an exit code, its warnings into lines.

    ``data`` is what the command reads.
    """
    try:
        one_blas_thread(data)
        with recognized(), warnings.catch_warnings():
            # imported here, since it brings numpy, which --help does not need
            from dmft_rf._paths import check_working_folder
            from dmft_rf.covariance import SampleSizeWarning

            check_working_folder()
            warnings.simplefilter("always", SampleSizeWarning)
            warnings.showwarning = _show
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
        say("error", f"interrupted, {error or 'nothing was written'}")
        raise typer.Exit(INTERRUPTED) from None


def _show(message: Any, *_: Any, **__: Any) -> None:
    say("warning", message)


class OneLineErrors(TyperGroup):
    """A group whose usage errors are one line too."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; usage errors exit with 2."""
        if not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except typer.Abort:
            say("error", "interrupted")
            sys.exit(INTERRUPTED)
        except Exception as error:
            # click's own exceptions; typer brings a copy of click in some versions and depends
            # on it in others, and the class is known by what it can do
            if not hasattr(error, "format_message"):
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                typer.echo(error.format_message(), err=True)
            else:
                say("error", error.format_message())
            sys.exit(WRONG_VALUE)
        sys.exit(code if isinstance(code, int) else 0)
