"""Where points are computed: worker processes of this machine, a Dask cluster, any executor."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from types import FrameType
from typing import Any, TypeVar

from dmft_rf._convert import shown, whole
from dmft_rf.errors import ModelError, WorkerError

_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
# in the environment of own workers
_MARK = "DMFT_RF_WORKER"
T = TypeVar("T")


class Pool:
    """An executor that is made again when its workers have died.

    Parameters
    ----------
    workers : int
        Processes, each with one BLAS thread. They are started fresh (spawn), never forked.
    executor : Executor, optional
        Somebody else's executor in place of own processes; it is neither made again nor ended.
    """

    def __init__(self, workers: int | None = None, executor: Executor | None = None):
        self.own = executor is None
        self._executor = executor
        self._processes: dict[int, Any] = {}
        self._started: Any = None  # the pipe on which own workers report that they have started
        self.workers = workers if workers is not None else _parallelism(executor)
        if self.own:
            check_main()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Let a worker call a function; own processes are started when they are first needed."""
        if self._executor is None:
            import multiprocessing

            context = multiprocessing.get_context("spawn")
            self._started, report = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(self.workers, context, begin_worker, (report,))
        future = self._executor.submit(function, *arguments)
        if self.own:
            self._processes.update(getattr(self._executor, "_processes", None) or {})
        return future

    @property
    def needs_pickle(self) -> bool:
        """Whether what is sent must be pickled by the standard library."""
        return self.own or isinstance(self._executor, ProcessPoolExecutor)

    def check(self, sent: bytes) -> None:
        """Refuse what own workers could not load, as far as that is known here.

        Raises
        ------
        ModelError
            If it is defined in a main program that they cannot import.
        """
        if self.own and b"__main__" in sent and not _main_can_be_imported():
            raise ModelError(
                "the activation is defined in the main program, which worker processes cannot "
                "import (a notebook, python -c, standard input); put it into a module of its own "
                "and import it, or leave workers out"
            )

    def renew(self, error: BaseException) -> None:
        """Replace an executor that has died.

        Raises
        ------
        WorkerError
            If it was somebody else's.
        ModelError
            If own processes could not even begin, because of the main program.
        """
        if not isinstance(error, BrokenExecutor):
            return  # a cluster replaces its workers itself
        if not self.own:
            raise WorkerError(f"the executor has died ({_text(error)}); points are missing")
        codes = []
        for process in self._processes.values():
            with contextlib.suppress(ValueError):  # of one that was closed
                codes.append(process.exitcode)
        started = self._started is not None and self._started.poll()
        self.end()
        if not started and any(code is not None and code > 0 for code in codes):
            raise ModelError(_UNGUARDED)

    def end(self) -> None:
        """End own processes, whatever they are doing."""
        if not self.own or self._executor is None:
            return
        self._executor.shutdown(wait=False, cancel_futures=True)
        processes = list(self._processes.values())
        for process in processes:
            with contextlib.suppress(OSError, ValueError):
                process.terminate()
        for process in processes:
            with contextlib.suppress(OSError, ValueError, AssertionError):
                process.join(5.0)
        self._started.close()
        self._processes.clear()
        self._executor = self._started = None


def checked_workers(workers: Any, executor: Any) -> int | None:
    """The number of own worker processes, or None for none; called before anything is done.

    In a worker process that is importing the main program once more, and has come here again, this
    is the end of it.

    Raises
    ------
    ModelError
        If it is no number of processes, or the executor takes no work.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ModelError(
            f"executor is {shown(executor)}; it must be a concurrent.futures.Executor, "
            "or workers=N for own processes"
        )
    if workers is None:
        return None
    found = whole(workers, "workers")
    if _is_importing_main():
        if _MARK in os.environ:
            os._exit(1)  # without a word: the parent says why
        raise ModelError(_UNGUARDED)
    return found


def check_main() -> None:
    """Refuse own worker processes where the main program would not let them begin.

    Raises
    ------
    ModelError
        If it was read from standard input, its file is gone, or it comes here whenever it is
        imported.
    """
    path = _path_of_main()
    if path is not None and not os.path.exists(path):
        raise ModelError(
            f"worker processes import the main program again, and {path} is no file (a program "
            "from standard input has none); put it into a file, with the call under "
            '`if __name__ == "__main__":`, or leave workers out'
        )
    if path is not None and _is_unconditional(path):
        raise ModelError(_UNGUARDED)


_UNGUARDED = (
    "worker processes import the main program again, and it would start them again instead of "
    'letting them begin: put what it does, this call included, under `if __name__ == "__main__":`, '
    "or leave workers out"
)


def _is_unconditional(path: str) -> bool:
    """Whether the main program certainly does the same again when it is imported.

    That is so if it comes here from its top level, or by functions of its own, without a condition
    in any of them. Other cases show when the workers start.
    """
    import ast

    try:
        with open(path, "rb") as stream:
            program = ast.parse(stream.read())
    except (OSError, ValueError, SyntaxError):
        return False
    conditions = (ast.If, ast.IfExp, ast.BoolOp, ast.While, ast.Match)
    here: FrameType | None = sys._getframe()
    while here is not None:
        # numpy's frames are those of its error state, in which the package computes
        if not str(here.f_globals.get("__name__")).startswith(("dmft_rf.", "numpy.")):
            line = here.f_lineno
            around = [one for one in program.body if one.lineno <= line <= (one.end_lineno or 0)]
            if here.f_globals is not vars(sys.modules["__main__"]) or not around:
                return False
            if any(isinstance(node, conditions) for one in around for node in ast.walk(one)):
                return False
            if here.f_code.co_name == "<module>":
                return True
        here = here.f_back
    return False


def _is_importing_main() -> bool:
    """Whether this is a spawned process that imports the main program of its parent."""
    import multiprocessing

    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def _path_of_main() -> str | None:
    """The file that a spawned process runs as its main program; None if it runs none."""
    main = sys.modules.get("__main__")
    if getattr(getattr(main, "__spec__", None), "name", None) is not None:
        return None  # python -m: found by its name
    path = getattr(main, "__file__", None)
    return None if path is None else os.path.abspath(path)


def _main_can_be_imported() -> bool:
    main = sys.modules.get("__main__")
    named = getattr(getattr(main, "__spec__", None), "name", None) is not None
    return named or _path_of_main() is not None


def is_loss(error: BaseException) -> bool:
    """Whether an error says that a worker is gone, not that the computation is wrong."""
    kinds = (BrokenExecutor, CancelledError, ConnectionError, TimeoutError)
    return isinstance(error, kinds) or type(error).__module__.split(".")[0] == "distributed"


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Let processes that are started in the body use one thread each.

    The matrices are small, and workers share the cores already. The number has to be in the
    environment before numpy is imported, which a worker may do before it runs any code of ours. A
    number that the user chose is left alone.
    """
    with _environment(_THREADS):
        yield


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Let processes that are started in the body use one thread each, and know whose they are."""
    with _environment((*_THREADS, _MARK)):
        yield


@contextlib.contextmanager
def _environment(names: tuple[str, ...]) -> Iterator[None]:
    """Set variables to 1 in the body, those that are not set."""
    added = [name for name in names if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def dask_executor(address: str, timeout: float = 10.0) -> Iterator[Executor]:
    """Give an executor on the Dask cluster whose scheduler is at ``address``.

    Parameters
    ----------
    address : str
        As "tcp://host:8786".
    timeout : float
        Seconds to wait for the scheduler.

    Raises
    ------
    ModelError
        If the extra ``dask`` is not installed or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ModelError(
            "a Dask cluster needs the extra 'dask': pip install 'dmft_rf[dask]'"
        ) from None

    class Cluster(Client):
        def __del__(self) -> None:
            """Nothing: it is closed below, and one that never was connected would wait for 20 s."""

    found: list[Any] = []

    def connect() -> None:
        try:
            found.append(Cluster(address, timeout=timeout, set_as_default=False))
        except Exception as error:  # each transport has its own
            found.append(error)

    # something else that listens there can keep a client waiting beyond its own time limit
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout + 5.0)
    client = found[0] if found else TimeoutError(f"no answer within {timeout + 5.0:g} s")
    if isinstance(client, Exception):
        raise ModelError(f"no Dask scheduler at {shown(address)}: {_text(client)}")
    with client:
        yield client.get_executor()


def _parallelism(executor: Any) -> int:
    """How many points an executor computes at once, as far as it is known."""
    client = getattr(executor, "_client", None)
    if client is not None:
        with contextlib.suppress(Exception):  # whatever a future version answers, it is a hint
            return max(1, sum(client.nthreads().values()))
    workers = getattr(executor, "_max_workers", None)
    return workers if isinstance(workers, int) and workers > 0 else (os.cpu_count() or 1)


def begin_worker(report: Any = None) -> None:
    """Report that it has started, leave interruptions to the parent, and end with it."""
    if report is not None:
        report.send_bytes(b".")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent ends; else it would wait for work for ever."""
    import multiprocessing.connection

    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
