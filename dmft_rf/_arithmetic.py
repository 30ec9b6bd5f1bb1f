"""Floating-point arithmetic of the package, whatever error state the caller has set.

A number that underflows, overflows or is divided by zero becomes 0, inf or nan, as IEEE 754 says:
solvers test what comes out and raise an error of their own. `np.seterr(all="raise")` of a caller
would stop them at the first exponential that underflows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

_MADE = ("__init__", "__post_init__")
# entering numpy's error state costs more than most of what is done in it: once is enough
_inside: ContextVar[bool] = ContextVar("dmft_rf_ieee", default=False)


def ignoring(function: C) -> C:
    """``function`` with IEEE arithmetic inside; nothing is entered twice."""

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if _inside.get():
            return function(*args, **named)
        token = _inside.set(True)
        try:
            with np.errstate(all="ignore"):
                return function(*args, **named)
        finally:
            _inside.reset(token)

    return call  # type: ignore[return-value]


@contextmanager
def usual() -> Iterator[None]:
    """Numpy's own error state, as in a fresh process, for what belongs to a caller."""
    token = _inside.set(False)
    try:
        with np.errstate(all="warn", under="ignore"):
            yield
    finally:
        _inside.reset(token)


def ieee(door: C) -> C:
    """Decorator of what callers reach: IEEE arithmetic inside, their own error state outside.

    Of a class it covers the constructor and the public methods that stand in it. Properties that do
    more than look something up are decorated one by one.
    """
    if not isinstance(door, type):
        return ignoring(door)
    for name, member in list(vars(door).items()):
        if name.startswith("_") and name not in _MADE:
            continue
        if isinstance(member, classmethod | staticmethod):
            setattr(door, name, type(member)(ignoring(member.__func__)))
        elif type(member).__name__ == "function":
            setattr(door, name, ignoring(member))
    return door


class lazy(Generic[T]):
    """A property that is computed at its first use and kept in the object's ``__dict__``.

    Unlike functools.cached_property of Python 3.11 it takes no lock: threads that ask at once may
    compute the value twice, and all of them get the one that was kept first. A process that is
    forked meanwhile finds nothing locked. A kept value is pickled with its object.
    """

    def __init__(self, function: Callable[[Any], T]):
        self.func = ignoring(function)
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        kept: T = instance.__dict__.setdefault(self._name, self.func(instance))
        return kept
