"""The one place where numba is configured.

Kernels do IEEE arithmetic: a division by zero gives an infinity, and their callers test for it.
Those compiled by ``njit_sums`` may add their terms in any order, so that the processor handles
several at once; those by ``njit_fused`` may round a product and a sum once in place of twice.
Everything else in them is IEEE arithmetic too.
They hold no lock of Python's, so that those of several threads run beside one another.

Kernels are compiled by ``njit`` below and cached on disk, beside the package or in the
user's cache folder, whichever numba can write to; where neither can be written (a read-only
installation without a home folder) they are compiled in memory. ``NUMBA_DISABLE_JIT=1`` turns
every kernel back into plain Python, and ``DMFT_RF_CACHE=0`` turns the disk cache off. A constant
that one kernel gives to another is a variable there, except in those of ``njit_fused``.

A file of the cache is believed only if a digest says that it is whole and made for this kernel,
these types, this processor and this numba: whatever else is found in its place is compiled anew
and, where that is possible, written over. Nothing that happens to the cache is an error.

``modulus`` and ``reciprocal`` stand for what numba does slowly to complex numbers.

A cached kernel is recompiled when any file of its folder changes, so that kernels may call those
of other modules beside them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import pickle
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.core.types import unliteral

from dmft_rf._interrupt import held_back

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "fastmath": False,
    "error_model": "numpy",
    "nogil": True,
    "no_cfunc_wrapper": True,  # no kernel is called from C
}
_IN_ANY_ORDER, _FUSED = {"reassoc", "nsz"}, {"contract"}
#: Whether kernels are compiled; else they are plain Python.
COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
_DIGEST = hashlib.sha256().digest_size


class _Blas:
    """SciPy's table of BLAS routines, which numba multiplies matrices with, loaded alone.

    numba reads it from `scipy.linalg.cython_blas`, whose package it would import for it: that takes
    half as long as numba itself. Whoever imports `scipy.linalg` later gets it as if nothing had
    been loaded; where the table is not found here, numba looks for it in its own way.
    """

    package, name = "scipy.linalg", "scipy.linalg.cython_blas"

    @classmethod
    def load(cls) -> None:
        scipy = importlib.util.find_spec("scipy")
        if cls.package in sys.modules or scipy is None or scipy.origin is None:
            return
        folder = os.path.join(os.path.dirname(scipy.origin), "linalg")
        found = importlib.machinery.PathFinder.find_spec(cls.name, [folder])
        if found is None or found.loader is None:
            return
        # ImportError: it needs libraries that only the whole package finds
        with contextlib.suppress(ImportError):
            table = importlib.util.module_from_spec(found)
            found.loader.exec_module(table)
            sys.modules[cls.name] = table
            sys.meta_path.insert(0, cls)

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> None:
        """Make way for the package: one of the finders that an import asks."""
        if name == cls.package:
            sys.meta_path.remove(cls)
            sys.modules.pop(cls.name, None)


if COMPILED:
    _Blas.load()


def njit(function: F) -> F:
    """Compile ``function`` in nopython mode, with a disk cache where one can be kept."""
    return _compiled(function, _OPTIONS)


def njit_sums(function: F) -> F:
    """``njit`` for a kernel of sums over many atoms, which are added in any order."""
    return _compiled(function, {**_OPTIONS, "fastmath": _IN_ANY_ORDER})


def njit_fused(function: F) -> F:
    """``njit`` for a kernel of products and sums, which processors that can do in one.

    It is compiled for every constant that other kernels give to it. Where these are places in one
    array, the compiler sees from them which of its parts are apart.
    """
    return _compiled(function, {**_OPTIONS, "fastmath": _FUSED}, constants=True)


def _compiled(function: F, options: dict[str, Any], constants: bool = False) -> F:
    if not COMPILED:
        return np.errstate(divide="ignore", invalid="ignore", over="ignore")(function)
    kernel: Any = numba.njit(**options)(function)
    kept = os.environ.get("DMFT_RF_CACHE", "1") != "0"
    stamp = _stamp(os.path.dirname(function.__code__.co_filename)) if kept else []
    read_or_compile = kernel.compile

    # LLVM's callbacks drop interruptions
    @held_back()
    def compiled(types: Any) -> Any:
        # most kernels are never asked for, and looking for a folder takes a while
        if kept and not isinstance(kernel._cache, _Cache):
            # RuntimeError: numba has found no folder that can be written to
            with contextlib.suppress(RuntimeError, OSError):
                kernel._cache = _Cache(function, stamp)
        # else numba would compile anew for every constant that one kernel gives to another
        return read_or_compile(types if constants else tuple(unliteral(one) for one in types))

    kernel.compile = compiled
    return kernel


class _Cache(FunctionCache):
    """The cache of one kernel; what cannot be written is computed without."""

    def __init__(self, function: Callable[..., Any], stamp: Any):
        super().__init__(function)
        self._cache_file: Any = _Files(Path(self.cache_path), self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As numba's, without all that a compiler needs: reading takes no more than the runtime.

        A compiler that is started later completes itself.
        """
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # no permission, no space, no folder
            super().save_overload(sig, data)


@functools.cache
def _stamp(folder: str) -> list[tuple[str, int, int]]:
    """Name, time and size of all modules beside a kernel's: it may call kernels of theirs.

    As they were before the first of them was read: what changes while it is read is compiled anew
    by the next process.
    """
    with os.scandir(folder) as files:
        found = [(one.name, one.stat()) for one in files if one.name.endswith(".py")]
    return sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


class _Files:
    """Compiled code on disk, in place of numba's own files, which are believed as they are.

    One file for each signature, so that processes that write at the same time share no index that
    one of them could get wrong.

    Parameters
    ----------
    folder : Path
    base : str
        How the files' names begin: module, function, line, version of Python.
    stamp : object
        Changes with the source of the kernel and of those that it calls.
    """

    def __init__(self, folder: Path, base: str, stamp: Any):
        self._folder, self._base = folder, base
        self._origin = f"{numba.__version__} {_OPTIONS} {stamp!r}"

    def load(self, key: Any) -> Any:
        """Return what was saved under ``key``, or None."""
        path, identity = self._place(key)
        try:
            if not path.is_file():  # opening a pipe would wait for ever
                return None
            with path.open("rb") as stream:
                if stream.read(_DIGEST) != identity:
                    return None
                digest, code = stream.read(_DIGEST), stream.read()
        except OSError:
            return None
        return pickle.loads(code) if hashlib.sha256(code).digest() == digest else None

    def save(self, key: Any, data: Any) -> None:
        """Write ``data`` beside its place and rename it when complete."""
        path, identity = self._place(key)
        code = dumps(data)
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            temporary.write_bytes(identity + hashlib.sha256(code).digest() + code)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _place(self, key: Any) -> tuple[Path, bytes]:
        """The file of a key (types, processor, code) and how its content begins."""
        identity = hashlib.sha256(f"{self._origin} {key!r}".encode()).digest()
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{name}.nbc", identity


# between these a number is the square of one that has a square
_TINY, _HUGE = 1e-290, 1e290


@njit
def modulus(x):
    """|x|, without hypot where |x|^2 is a float."""
    size = x.real * x.real + x.imag * x.imag
    return np.sqrt(size) if _TINY < size < _HUGE else abs(x)


@njit
def reciprocal(x):
    """1/x, without the branches of the general quotient; not a number at 0."""
    re, im = x.real, x.imag
    size = re * re + im * im
    if _TINY < size < _HUGE:
        per_size = 1.0 / size
        return complex(re * per_size, -im * per_size)
    unit = 2.0**-500 if size > 1.0 else 2.0**500
    re, im = unit * re, unit * im
    size = re * re + im * im
    return complex(unit * (re / size), unit * (-im / size))
