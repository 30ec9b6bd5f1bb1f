"""The list of figures, and what a figure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmft_rf import ModelError

if TYPE_CHECKING:
    from figures.numbers import Numbers
    from figures.simulations import Simulations
    from validation.cases import Case

PROFILES = ("quick", "paper")

#: module of each figure, in the order in which they are shown
MODULES: dict[str, str] = {
    "spectrum": "spectrum",
    "spectrum-samples": "spectrum_samples",
    "learning-curves": "learning_curves",
    "gap-maps": "gap_maps",
    "diffusion-times": "diffusion_times",
    "data-scale": "data_scale",
    "minimal-error": "minimal_error",
    "adam": "adam",
    "timescales": "timescales",
    "phase-diagram": "phase_diagram",
    "early-stopping": "early_stopping",
    "bulk-learning": "bulk_learning",
    "eigenmodes": "eigenmodes",
    "real-data": "real_data",
    "noise-draws": "noise_draws",
}

#: figures of trained networks, drawn only from a store of them (`figures.networks`)
NETWORKS = (
    "networks-regimes",
    "networks-times",
    "networks-losses",
    "networks-scaling",
    "networks-scaling-width",
    "networks-width",
    "networks-diagram",
    "networks-criteria",
    "networks-optimisers",
    "networks-passes",
    "networks-mixture",
    "networks-mixture-scaling",
    "networks-theory",
    "networks-exponents",
)


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


def figure(name: str) -> Figure:
    """The figure of this name.

    Raises
    ------
    ModelError
        If there is none.
    """
    if name in NETWORKS:
        found = import_module("figures.networks").figure(name)
        assert isinstance(found, Figure)
        return found
    if name not in MODULES:
        raise ModelError(f"no figure {name!r}; there are {', '.join((*MODULES, *NETWORKS))}")
    found = import_module(f"figures.{MODULES[name]}").FIGURE
    assert isinstance(found, Figure)
    return found
