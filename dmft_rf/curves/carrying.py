"""The nodes of a model of any kind: where contours lead, and how many nodes carry gradient flow."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from dmft_rf.curves.image_nodes import DrawnNodes, ImageNodes
from dmft_rf.curves.infinite_width import WideNodes, wide_room
from dmft_rf.curves.kernel_nodes import KernelNodes
from dmft_rf.curves.losses import HARD_EDGE, curves_on, probe_times
from dmft_rf.curves.nodes import MOST_NODES, Nodes, enclosed, nodes_on_contour
from dmft_rf.images.image_model import ImageModel
from dmft_rf.numerics.contour import contour_in, flattened, nodes_for
from dmft_rf.numerics.estimate import with_more_nodes
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import GradientFlow, Rule

if TYPE_CHECKING:
    from dmft_rf.images.law import DrawnLaw, ImageLaw
    from dmft_rf.spectra.spectrum import Spectrum, WideSpectrum

# lower over upper end of the spectrum below which contours may have to lead around 0, for rounding
_NEAR_EDGE = 1e-5
# the nodes of such a solution itself carry times up to the inverse of the first of these at which
# rounding, which grows like the root of that time, stays below rtol
_NEAREST = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
# a contour this much closer to 0 than the lower end of the spectrum leads around nothing but the
# spectrum
_NEGLIGIBLE = 0.1


def nodes_in(law: Spectrum, region: Region, size: int, low: float | None = None) -> Nodes:
    """The nodes of a law on a contour in ``region``; all of its networks if they are drawn.

    ``low`` is a place below the spectrum that the contour leads around as well.
    """
    if law.drawn:
        drawn = cast("DrawnLaw", law)
        return DrawnNodes(drawn, drawn.networks)
    if isinstance(law.model, ImageModel):
        m, M = enclosed(law, region)
        contour = contour_in(region, m if low is None else low, M, size)
        return ImageNodes(cast("ImageLaw", law), contour)
    if math.isinf(law.model.psi_p):
        wide = cast("WideSpectrum", law)
        if low is None:
            return WideNodes(wide, region, size)
        return KernelNodes(wide, contour_in(region, low, wide.ends[1], size))
    return nodes_on_contour(law, region, size, low)


def nodes_needed(law: Spectrum, region: Region, rtol: float) -> float:
    """How many nodes a contour in ``region`` needs for ``rtol``; inf where it has no room."""
    if math.isinf(law.model.psi_p):
        return nodes_for(*wide_room(cast("WideSpectrum", law), region), rtol)
    return nodes_for(*flattened(region, *enclosed(law, region)), rtol)


def carrying_nodes(
    law: Spectrum, rtol: float, first: int | None = None
) -> tuple[Nodes, float, int]:
    """Nodes of ``law``, or of one that is solved more accurately if ``rtol`` needs it.

    ``first`` is the number of nodes that is tried first, where it is known. Returns what
    accurate_nodes does, the best found if none reaches ``rtol``.
    """
    found = _carrying(law, rtol, first)
    while not found[1] <= rtol and law.finer is not None:
        law = law.finer
        found = _carrying(law, rtol)
    return found


def _carrying(law: Spectrum, rtol: float, first: int | None = None) -> tuple[Nodes, float, int]:
    """Nodes right of 0, or around it where the spectrum leaves no room for accurate ones."""
    m, M = law.ends
    if law.drawn:
        nodes = nodes_in(law, Region(), 0)
        curves = curves_on(nodes, probe_times(law.model, m, M), GradientFlow())
        return nodes, curves.relative_error, 1
    found: list[tuple[Nodes, float, int]] = []
    closed_form = law.model.closed_form
    if m > HARD_EDGE * M or closed_form:
        found.append(accurate_nodes(law, Region(), rtol, first))
    if not closed_form and m <= _NEAR_EDGE * M:
        for nearest in _NEAREST:
            if found and found[-1][1] <= rtol:
                break
            found.append(accurate_nodes(law, Region(start=-nearest * M), rtol))
    return next((one for one in found if one[1] <= rtol), found[0])


def accurate_nodes(
    law: Spectrum, region: Region, rtol: float, first: int | None = None
) -> tuple[Nodes, float, int]:
    """Nodes inside ``region`` that carry gradient flow to ``rtol``/2.

    Returns them with the relative error that they reached and the number of tries.
    """
    probes = probe_times(law.model, *law.ends)
    if region.start < 0.0:
        probes = np.geomspace(probes[0], -1.0 / (law.model.rate * region.start), probes.size - 1)
    if first is None:
        first = int(nodes_needed(law, region, law.slack * rtol))

    def attempt(count: int) -> tuple[Nodes, float]:
        nodes = nodes_in(law, region, count)
        return nodes, curves_on(nodes, probes, GradientFlow()).relative_error

    return with_more_nodes(attempt, first, MOST_NODES, 0.5 * rtol)


def region_until(nodes: Nodes, rule: Rule, latest: float, support: tuple[float, float]) -> Region:
    """Where a contour carries ``rule`` at a hard edge, for times up to ``latest``.

    ``nodes`` are those of the solution, ``support`` the ends of its spectrum.
    """
    rate, (m, M) = nodes.model.rate, support
    region = rule.region(rate)
    if math.isinf(latest):
        return replace(region, start=region.start - rule.margin(latest, rate))
    latest = max(latest, 1.0 / (rate * M))
    start = nodes.contour.start
    if region != Region() or rule.margin(latest, rate) < -start:
        latest = 2.0 ** math.ceil(math.log2(latest))  # so that calls share their contours
        start = region.start - rule.margin(latest, rate)
    if start > -_NEGLIGIBLE * m:
        start = region.start  # there is room enough right of 0
    return replace(region, start=start)
