"""Stores of several machines or processes brought together in one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dmft_rf import DataError
from validation.networks.run.store import Run, Store


def merge(
    store: Store, files: Sequence[str | os.PathLike[str]], pictures: Sequence[str] = ("",)
) -> tuple[int, int]:
    """Add the runs of other files that a store does not have; nothing or all is written.

    Parameters
    ----------
    store : Store
        Is held meanwhile.
    files : sequence of path
        Are only read, and may be in use: what they hold when they are read is taken.
    pictures : sequence of str
        Generated pictures are kept of runs whose names begin with one of these (default: of all).

    Returns
    -------
    added, there : int
        Runs that were added, and runs that the store (or an earlier file) had already.

    Raises
    ------
    DataError
        If a file is missing or unusable, or two runs of one name differ in setting, end or any
        measurement.
    """
    missing = [os.fspath(file) for file in files if not Path(file).is_file()]
    if missing:
        raise DataError(f"{missing[0]}: no such store")
    others = [Store(file) for file in files]
    with store.filling():
        have: dict[str, tuple[Run, Path]] = {k: (r, store.path) for k, r in store.ended.items()}
        new: list[Run] = []
        there = 0
        for other in others:
            for key, run in other.ended.items():
                if key not in have:
                    kept = run if key.startswith(tuple(pictures)) else run.without_pictures()
                    have[key] = kept, other.path
                    new.append(kept)
                    continue
                mine, place = have[key]
                if not mine.same_numbers(run):
                    raise DataError(
                        f"{key}: {other.path} and {place} hold different numbers for it; nothing "
                        "was merged"
                    )
                there += 1
        store.add(*new)
    return len(new), there
