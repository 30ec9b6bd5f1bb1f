"""Where points are computed: worker processes of this machine, a Dask cluster, any executor."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from typing import Any

from dmft_rf._convert import shown
from dmft_rf.errors import ModelError, WorkerError

_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


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
        if workers is not None and (isinstance(workers, bool) or workers < 1):
            raise ModelError(f"workers is {workers!r}; it must be an integer >= 1")
        self.workers = workers if workers is not None else _parallelism(executor)

    @property
    def executor(self) -> Executor:
        """The executor, with its processes started when it is first used."""
        if self._executor is None:
            import multiprocessing

            self._executor = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), begin_worker
            )
        return self._executor

    @property
    def needs_pickle(self) -> bool:
        """Whether what is sent must be pickled by the standard library."""
        return self.own or isinstance(self._executor, ProcessPoolExecutor)

    def renew(self, error: BaseException) -> None:
        """Replace an executor that has died; WorkerError if it was somebody else's."""
        if not isinstance(error, BrokenExecutor):
            return  # a cluster replaces its workers itself
        if not self.own:
            raise WorkerError(f"the executor has died ({_text(error)}); points are missing")
        self.end()

    def end(self) -> None:
        """End own processes, whatever they are doing."""
        if not self.own or self._executor is None:
            return
        processes = list((getattr(self._executor, "_processes", None) or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            with contextlib.suppress(OSError, ValueError):
                process.terminate()
        for process in processes:
            with contextlib.suppress(OSError, ValueError, AssertionError):
                process.join(5.0)
        self._executor = None


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
    added = [name for name in _THREADS if name not in os.environ]
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
    """How many points an executor computes at once, as far as it tells."""
    client = getattr(executor, "_client", None)
    if client is not None:
        with contextlib.suppress(Exception):  # whatever a future version answers, it is a hint
            return max(1, sum(client.nthreads().values()))
    workers = getattr(executor, "_max_workers", None)
    return workers if isinstance(workers, int) and workers > 0 else (os.cpu_count() or 1)


def begin_worker() -> None:
    """Leave interruption to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Workers of a parent that was killed would wait for work for ever."""
    import multiprocessing.connection

    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
