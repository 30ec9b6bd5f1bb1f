"""Which law and which nodes a model has: of finite or infinite width, or on samples themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmft_rf.curves.drawn_nodes import DrawnNodes
from dmft_rf.curves.image_nodes import ImageNodes
from dmft_rf.curves.infinite_width import WideNodes, wide_room
from dmft_rf.curves.nodes import Nodes, enclosed, nodes_on_contour
from dmft_rf.images.image_model import ImageModel
from dmft_rf.images.law import DrawnLaw, ImageLaw
from dmft_rf.images.networks import drawn_networks
from dmft_rf.numerics.contour import contour_in, flattened
from dmft_rf.spectra.spectrum import Spectrum, WideSpectrum, spectrum

if TYPE_CHECKING:
    from dmft_rf.model.feature_model import FeatureModel
    from dmft_rf.numerics.region import Region


# of the leverages of an `ImageModel`, as a part of the accuracy of its curves, and the least
_LEVERAGES, _FINEST = 0.01, 1e-11


def law_of(model: FeatureModel, rtol: float) -> Spectrum:
    """The spectral law of a model of any kind, for curves of the relative accuracy ``rtol``."""
    if not isinstance(model, ImageModel):
        return spectrum(model)
    if model.route == "networks":
        return DrawnLaw(model, drawn_networks(model))
    return ImageLaw(model, max(_LEVERAGES * rtol, _FINEST))


def nodes_in(law: Spectrum, region: Region, size: int, low: float | None = None) -> Nodes:
    """The nodes of a law on a contour in ``region``; all of its networks if they are drawn."""
    if isinstance(law, DrawnLaw):
        return DrawnNodes(law, law.networks)
    if isinstance(law, WideSpectrum):
        return WideNodes(law, region, size)
    if isinstance(law, ImageLaw):
        m, M = enclosed(law, region)
        return ImageNodes(law, contour_in(region, m if low is None else low, M, size))
    return nodes_on_contour(law, region, size, low)


def room_for(law: Spectrum, region: Region) -> tuple[float, float]:
    """What a contour in ``region`` leads around, as seen in a half-plane; inf without room."""
    if isinstance(law, WideSpectrum):
        return wide_room(law, region)
    return flattened(region, *enclosed(law, region))
