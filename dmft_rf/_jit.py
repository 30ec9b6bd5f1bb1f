"""The one place where numba is configured.

Kernels do IEEE arithmetic: a division by zero is an infinity, which their callers understand.

Kernels are compiled by ``njit`` below and cached on disk, beside the package or in the
user's cache folder, whichever numba can write to; where neither can be written (a read-only
installation without a home folder) they are compiled in memory. ``NUMBA_DISABLE_JIT=1`` turns
every kernel back into plain Python, and ``DMFT_RF_CACHE=0`` turns the disk cache off.

A cached kernel is recompiled when its own file changes, not when a kernel it calls from
another file does: kernels that call one another therefore live in one module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from dmft_rf._interrupt import held_back

F = TypeVar("F", bound=Callable[..., Any])


def njit(function: F) -> F:
    """Compile ``function`` in nopython mode, with a disk cache where one can be kept."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return np.errstate(divide="ignore", invalid="ignore", over="ignore")(function)
    options: dict[str, Any] = {"fastmath": False, "error_model": "numpy"}
    if os.environ.get("DMFT_RF_CACHE", "1") != "0":
        try:
            return _patient(numba.njit(cache=True, **options)(function))
        except RuntimeError:  # numba: "no locator available", nowhere to write a cache
            pass
    return _patient(numba.njit(**options)(function))


def _patient(kernel: Any) -> Any:
    """Let interruptions wait while a kernel is compiled: LLVM's callbacks drop them."""
    kernel.compile = held_back()(kernel.compile)
    return kernel
