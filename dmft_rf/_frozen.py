"""What is returned or kept: nobody can change it, and it is compared by what it holds.

An edit in place of an array that a solution keeps would change later numbers without a word. The
classes whose objects are handed out therefore derive from `Frozen`: every attribute of theirs is
read-only, also after pickling and copying, and two objects are equal when their contents are.
Arrays that a method computes belong to the caller.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

# annotations, which are strings here
_PLAIN = ("float", "int", "bool", "str", "float | None", "int | None", "FeatureModel")

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dictionary that cannot be changed, nor the arrays in it; equal to any with its content."""

    def __init__(self, *entries: Any, **named: Any) -> None:
        super().__init__({key: sealed(part) for key, part in dict(*entries, **named).items()})

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this dictionary belongs to a result and is read-only; dict(...) copies it")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __eq__(self, other: object) -> bool:
        return same(dict(self), dict(other)) if isinstance(other, dict) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class Frozen:
    """Base of results and of what they keep.

    A dataclass that derives from it says ``@dataclass(frozen=True, eq=False)``. Another class names
    in ``_content`` the attributes that decide equality, and calls `seal` when it has set them.
    What a cached property has found is left out of pickles and copies: it is found again, unless
    `know` has stated it.
    """

    _content: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, member in list(vars(cls).items()):
            if isinstance(member, property) and member.fget and _returns_more(member.fget):
                sealing = property(_sealing(member.fget), member.fset, member.fdel, member.__doc__)
                setattr(cls, name, sealing)
            elif _keeps(member):
                for inner in ("func", "_function"):  # as functools calls it, and without its lock
                    if hasattr(member, inner):
                        setattr(member, inner, _sealing(getattr(member, inner)))

    def __post_init__(self) -> None:
        self.seal()

    def seal(self) -> None:
        """Make read-only what the attributes hold now."""
        for name, value in list(vars(self).items()):
            closed = sealed(value)
            if closed is not value:
                object.__setattr__(self, name, closed)

    def __getstate__(self) -> dict[str, Any]:
        lasting = vars(self).get("_lasting", ())
        return {
            name: value
            for name, value in vars(self).items()
            if name in lasting or not _keeps(getattr(type(self), name, None))
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, sealed(value))

    def _compared(self) -> list[Any]:
        names = self._content
        if is_dataclass(self):
            names = tuple(f.name for f in fields(self) if f.compare)
        return [getattr(self, name) for name in names]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or same(self._compared(), other._compared())

    def __hash__(self) -> int:
        return hash((type(self).__name__, *map(_hashed, self._compared())))


def know(one: Frozen, **found: Any) -> None:
    """State properties of ``one`` that were found otherwise; its copies have them too."""
    vars(one).update(found, _lasting=(*vars(one).get("_lasting", ()), *found))


def sealed(value: Any) -> Any:
    """``value`` with its arrays made read-only, and dictionaries that cannot be changed."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, tuple):
        for part in value:
            if isinstance(part, np.ndarray | tuple):
                sealed(part)
    elif type(value) is dict:
        return FrozenDict(value)
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal: arrays entry by entry, NaN equal to NaN."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.shape != b.shape:
            return False
        numbers = a.dtype.kind in "fc" and b.dtype.kind in "fc"
        return bool(np.array_equal(a, b, equal_nan=numbers))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(part, b[key]) for key, part in a.items())
    if isinstance(a, tuple | list) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float | complex) and isinstance(b, float | complex) and a != a:
        return b != b
    return bool(a == b)


def _keeps(member: Any) -> bool:
    """Whether a member of a class is a property that keeps what it has found."""
    return hasattr(type(member), "__set_name__") and not hasattr(type(member), "__set__")


def _returns_more(function: Any) -> bool:
    """Whether a property may return more than a number or a name, which nobody can change."""
    return getattr(function, "__annotations__", {}).get("return") not in _PLAIN


def _sealing(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function of a property, with the arrays that it returns made read-only."""

    @functools.wraps(function)
    def get(self: Any) -> Any:
        value = function(self)
        return sealed(value) if isinstance(value, np.ndarray | tuple) else value

    return get


def _hashed(value: Any) -> int:
    """The same for equal values; of arrays and dictionaries only their size."""
    if isinstance(value, np.ndarray):
        return hash(value.shape)
    if isinstance(value, dict | list):
        return len(value)
    if isinstance(value, tuple):
        return hash(tuple(map(_hashed, value)))
    return hash(value) if value == value else 0
