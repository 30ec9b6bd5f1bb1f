"""What a figure is: a title, a caption, numbers, and a picture that is drawn from them alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from figures.numbers import Numbers
    from figures.simulations import Simulations
    from validation.finite.case import Case


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes
    ----------
    title, caption : str
        What it shows; what to see in it.
    compute : callable
        (profile, simulations) -> Numbers: everything that is drawn.
    draw : callable
        Numbers -> matplotlib Figure, from the numbers alone.
    cases : callable
        profile -> cases of finite networks that ``compute`` asks for.
    """

    title: str
    caption: str
    compute: Callable[[str, Simulations], Numbers]
    draw: Callable[[Numbers], Any]
    cases: Callable[[str], list[Case]] = lambda profile: []
