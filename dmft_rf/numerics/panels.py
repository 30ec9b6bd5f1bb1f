"""Panels of an interval, halved until each of them carries what is asked of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dmft_rf._typing import Array, Mask


def halve(left: Array, right: Array) -> tuple[Array, Array]:
    """Both halves of every panel, one beside the other."""
    middle = 0.5 * (left + right)
    return np.stack([left, middle], axis=1).ravel(), np.stack([middle, right], axis=1).ravel()


def resolved(
    unresolved: Callable[[Array, Array], Mask], ends: Array, most: float = math.inf
) -> tuple[Array, bool]:
    """Ends of panels, ascending, of which ``unresolved`` finds none any more.

    Parameters
    ----------
    unresolved : callable
        From the left and the right ends of new panels to those that are to be halved. It is asked
        once about every panel; halves come side by side, in the order of what they are halves of.
    ends : (n + 1,) array
        Of the first panels.
    most : float
        Panels that may be made.

    Returns
    -------
    ends : array
    complete : bool
        False if ``most`` did not suffice; the panels that were not resolved are left out then.
    """
    left, right = ends[:-1], ends[1:]
    kept: list[Array] = []
    count = 0
    while left.size and left.size + count <= most:
        split = unresolved(left, right)
        kept.append(left[~split])
        count += kept[-1].size
        left, right = halve(left[split], right[split])
    return np.append(np.sort(np.concatenate([*kept, ends[:0]])), ends[-1]), not left.size


class ByHalves:
    """For `resolved`: a panel is resolved when its two halves agree with it; they are kept.

    Parameters
    ----------
    integrals : callable
        Integrals over panels, from their left and right ends.
    tolerance : callable
        What may be missing of a panel, from the integral over all panels as far as it is known.

    Attributes
    ----------
    total : float
        Integral over the panels that are kept.
    """

    def __init__(
        self, integrals: Callable[[Array, Array], Array], tolerance: Callable[[float], float]
    ):
        self.total = 0.0
        self._integrals, self._tolerance = integrals, tolerance
        self._whole: Array | None = None

    def __call__(self, left: Array, right: Array) -> Mask:
        """Which panels, new ones or pairs of halves, have yet to be halved."""
        parts = self._integrals(left, right)
        split = np.ones(left.size, dtype=np.bool_)
        if self._whole is not None:
            miss = np.abs(parts.reshape(-1, 2).sum(axis=1) - self._whole)
            allowed = self._tolerance(self.total + float(parts.sum()))
            split = np.repeat(~(miss <= allowed), 2)
        self.total += float(parts[~split].sum())
        self._whole = parts[split]
        return split
