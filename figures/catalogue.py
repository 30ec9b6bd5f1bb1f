"""The list of figures; the module of a figure is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from dmft_rf import ModelError
from figures.figure import Figure

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
    "sgd-losses": "sgd_losses",
    "sgd-delay": "sgd_delay",
    "sgd-repair": "sgd_repair",
    "generated-quality": "generated_quality",
    "generated-stopping": "generated_stopping",
    "generated-score": "generated_score",
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
    "networks-boundary",
    "networks-quiet",
    "networks-criteria",
    "networks-optimisers",
    "networks-passes",
    "networks-mixture",
    "networks-divergence",
    "networks-guidance",
    "networks-mixture-scaling",
    "networks-theory",
    "networks-exponents",
)


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
