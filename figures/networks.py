"""Figures of trained networks, redrawn from a store of ``python -m validation networks``.

They are there only where such a store is given (``--networks``); JAX is not needed.
"""

from __future__ import annotations

from typing import Any

from dmft_rf import DataError
from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations
from validation.networks.pictures.pictures import PICTURES


def has_runs(name: str, simulations: Simulations) -> bool:
    """Whether the store holds runs for the figure of this name."""
    return simulations.networks is not None and bool(PICTURES[name].gather(simulations.networks))


def figure(name: str) -> Figure:
    """The figure of this name."""
    picture = PICTURES[name]

    def compute(profile: str, simulations: Simulations) -> Numbers:
        if simulations.networks is None:
            raise DataError(f"{name}: needs --networks FILE, a store of trained networks")
        numbers = picture.gather(simulations.networks)
        if not numbers:
            raise DataError(f"{name}: {simulations.networks.path} holds no runs for it")
        return Numbers(dict(numbers), {"store": str(simulations.networks.path.name)})

    def draw(numbers: Numbers) -> Any:
        return picture.draw(numbers.arrays)

    return Figure(picture.title, picture.caption, compute, draw)
