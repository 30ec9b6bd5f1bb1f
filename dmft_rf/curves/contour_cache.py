"""What a solution keeps of the nodes that it has solved, for any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The last few values of a function of a key.

    Every value depends on its key alone, so that what is found does not depend on what was asked
    for before, or by which thread. There is no lock that a forked process could find taken: each
    operation on the dictionary is atomic, threads that ask at once may compute a value twice, and
    all get the one that was kept first. A pickled object keeps nothing.

    Parameters
    ----------
    most : int
        How many values are kept; the oldest go first.
    """

    def __init__(self, most: int):
        self._most = most
        self._values: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of ``key``, made by ``make`` where it is not kept."""
        found = self._values.get(key)
        if found is None:
            found = self._values.setdefault(key, make())
            for old in list(self._values)[: -self._most]:
                self._values.pop(old, None)
        return found

    def __reduce__(self) -> tuple[type[Kept[T]], tuple[int]]:
        return type(self), (self._most,)
