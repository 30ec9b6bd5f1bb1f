"""How a result says what is stored of it: its name in files, its attributes and its arrays."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeAlias

from numpy.typing import NDArray

Attributes: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, NDArray[Any]]
#: attributes (str, bool, int, float or None) and arrays, by the names that they have in a file
Stored: TypeAlias = tuple[Attributes, Arrays]


class Described(Protocol):
    """What says how it is stored, as a part of a result: a model, a rule, a solution."""

    def stored(self) -> Stored:
        """Attributes and arrays that state it."""


class Result(Described, Protocol):
    """What `dmft_rf.store.save` stores: attributes and arrays with those of its model."""

    kind: ClassVar[str]
