r"""The solved model: from a ScoreModel to learning curves with a stated accuracy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance, number, shown
from dmft_rf._show import Shown, Table
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.curves.automatic_times import automatic_times
from dmft_rf.curves.carrying import (
    accurate_nodes,
    carrying_nodes,
    nodes_in,
    nodes_needed,
    region_until,
)
from dmft_rf.curves.compression import Compression, compressed_or_whole
from dmft_rf.curves.contour_cache import Kept
from dmft_rf.curves.fused import flow_nodes, nodes_before, with_flow
from dmft_rf.curves.image_nodes import DrawnNodes
from dmft_rf.curves.losses import (
    LearningCurves,
    checked_times,
    curves_on,
    diverged,
    merged,
    probe_times,
)
from dmft_rf.curves.nodes import MOST_NODES, Nodes
from dmft_rf.curves.spectral_nodes import SpectralNodes, nodes_on
from dmft_rf.curves.stochastic import Access, StochasticCurves, curves_of_noise
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.images.image_model import ImageModel
from dmft_rf.images.law import law_of
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.estimate import with_more_nodes
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import GradientFlow, Ridge, Rule, checked_rule
from dmft_rf.rules.stochastic import StochasticGradientDescent
from dmft_rf.spectra.spectrum import Spectrum

# sets of nodes and levels of panels that a solution keeps beside its own nodes
_NODES_KEPT, _LEVELS_KEPT = 6, 3
_MOST_SPECTRAL_NODES = 2500


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class Solution(Shown):
    """A solved model: learning curves of any linear training rule at any time.

    Attributes
    ----------
    model : ScoreModel or ImageModel
    rtol : float
        Relative accuracy that was asked for.
    spectrum : Spectrum
        The spectral law of U.
    nodes : Nodes
        One- and two-point functions on the contour.
    error_estimate : float
        Estimated relative error of train loss, test loss and score error under gradient flow, the
        largest over all times; at a hard edge, over those that the nodes carry.
    compression : Compression or None
        What ``compress`` made of the covariance; ``nodes`` are those of the quadrature then.
    diagnostics : dict
        nodes, newton_steps, residual (of the last Newton step, relative), support (both edges),
        defect (against two exact integrals), tries, seconds, compiled (whether one compiled call
        did all of it); of an ImageModel its route.
    """

    model: FeatureModel
    rtol: float
    spectrum: Spectrum
    nodes: Nodes
    error_estimate: float
    diagnostics: dict[str, Any] = field(compare=False)
    compression: Compression | None = None

    @property
    def train_limit(self) -> float:
        """Training loss of minimum-norm least squares, the limit tau -> infinity."""
        return self.nodes.train_limit

    def _about(self) -> str:
        nodes, reached = self.diagnostics["nodes"], self.error_estimate
        fewer = "" if self.compression is None else f" and {self.compression.atoms} eigenvalues"
        return f"{self.model.label}; error {reached:.1e} with {nodes} nodes{fewer}; gradient flow:"

    def _table(self) -> Table:
        return self.learning_curves(automatic_times(self, GradientFlow(), 2))._table()

    def stored(self) -> Stored:
        """What a file holds of the solution, beside what was computed from it."""
        attributes, arrays = self.model.stored()
        about = {
            "rtol": self.rtol,
            "error_estimate": self.error_estimate,
            "wall_time_seconds": self.diagnostics["seconds"],
        }
        return {**attributes, **about}, arrays

    @overload
    def learning_curves(self, tau: ArrayLike, rule: Rule | None = None) -> LearningCurves: ...

    @overload
    def learning_curves(
        self, tau: ArrayLike, rule: StochasticGradientDescent
    ) -> StochasticCurves: ...

    def learning_curves(
        self, tau: ArrayLike, rule: Rule | StochasticGradientDescent | None = None
    ) -> LearningCurves:
        """Train loss, test loss, generalization gap and score error at the times ``tau``.

        Parameters
        ----------
        tau : array, any shape
            Gradient-flow time (dA/dtau = -d^2 grad L_train), >= 0; may hold 0 and inf.
        rule : Rule
            GradientFlow() by default; Ridge, WeightAverage, GradientDescent, HeavyBall;
            StochasticGradientDescent, whose curves are StochasticCurves.

        Raises
        ------
        ModelError
            If a time is negative or NaN, or the rule diverges on this spectrum.
        ConvergenceError
            If ``rtol`` cannot be reached for this rule.
        """
        if isinstance(rule, StochasticGradientDescent):
            return self.uncompressed._under_noise(tau, rule).require(self.rtol)
        rule = checked_rule(rule)
        if rule.can_diverge:
            rule.check(self.spectrum.ends[1], self.model.rate)
        if self.compression is None:
            return self._curves(tau, rule).require(self.rtol)
        if rule.region(self.model.rate) != Region():  # on another contour its error is not known
            return self.uncompressed.learning_curves(tau, rule)
        return self.compression.applied(self._curves(tau, rule), self.model).require(self.rtol)

    @property
    def uncompressed(self) -> Solution:
        """The solution with every eigenvalue of the covariance: itself, unless it is compressed."""
        return self if self.compression is None else self._whole

    @lazy
    def _whole(self) -> Solution:
        return _whole(self.model, self.rtol)

    def _under_noise(self, tau: ArrayLike, rule: StochasticGradientDescent) -> StochasticCurves:
        _ = self.model.groups  # a model whose columns are not Gaussian says so
        law = self.nodes.law

        def nodes(region: Region, low: float, size: int) -> Nodes:
            key = (region, low, size)
            return self._kept.get(key, lambda: nodes_in(law, region, size, low))

        access = Access(law, self.rtol, self.hard_edge, self.learning_curves, nodes)
        return curves_of_noise(access, tau, rule)

    def scatter(self, tau: ArrayLike, rule: Rule | None = None) -> dict[str, Array]:
        """Standard error of the losses of drawn networks, by name, each shaped like ``tau``.

        Of train, test and generalization_gap; ``error`` of the curves is the rounding alone. Raises
        ModelError if the solution is not one of drawn networks, or as `learning_curves`.
        """
        if not isinstance(self.nodes, DrawnNodes):
            raise ModelError(f"{self.model} is solved by equations, which have no scatter")
        each = [curves_on(one, tau, checked_rule(rule)) for one in self.nodes.each()]
        root = math.sqrt(len(each))
        return {
            name: np.std([getattr(one, name) for one in each], axis=0, ddof=1) / root
            for name in ("train", "test", "generalization_gap")
        }

    def _curves(self, tau: ArrayLike, rule: Rule) -> LearningCurves:
        if isinstance(self.nodes, DrawnNodes):
            return curves_on(self.nodes, tau, rule)
        if self.hard_edge:
            return self._at_hard_edge(tau, rule)
        region = rule.region(self.model.rate)
        if self._fits(region):
            return self._with_nodes(tau, rule, region)[1]
        # momentum close to 1: the region is too thin for a contour
        return self._on_spectrum(tau, rule)

    @property
    def hard_edge(self) -> bool:
        """Whether contours lead around 0: at p = n m, where the test loss diverges, or near it."""
        return self.nodes.around_zero

    @property
    def horizon(self) -> float:
        """Time up to which gradient flow needs no other nodes than these: inf off a hard edge."""
        rate = self.model.rate
        return -1.0 / (rate * self.nodes.contour.start) if self.hard_edge else math.inf

    def _fits(self, region: Region) -> bool:
        law = self.nodes.law
        return region.start < law.ends[0] and nodes_needed(law, region, self.rtol) <= MOST_NODES

    def _at_hard_edge(self, tau: ArrayLike, rule: Rule) -> LearningCurves:
        """Curves from contours around 0, as far to the left as the latest finite time allows."""
        times = checked_times(tau)
        late = np.isinf(times) | isinstance(rule, Ridge)  # at its end at every time
        finite = times[~late]
        parts = []
        if finite.size or not late.any():
            region = self._until(rule, float(finite.max(initial=0.0)))
            parts.append((~late, self._around_zero(finite, rule, region)))
        if late.any():
            region = self._until(rule, math.inf)
            if region.start < 0.0:
                forever = self._around_zero(times[late], rule, region)
            elif self._fits(region):
                forever = self._with_nodes(times[late], rule, region)[1]
            else:
                forever = diverged(self.nodes, times[late], rule)
            parts.append((late, forever))
        return merged(parts, times)

    def _until(self, rule: Rule, latest: float) -> Region:
        return region_until(self.nodes, rule, latest, self.diagnostics["support"])

    def _around_zero(self, times: Array, rule: Rule, region: Region) -> LearningCurves:
        if times.size and not self._fits(region):
            raise ConvergenceError(
                f"the spectrum of U reaches down to {self.diagnostics['support'][0]!r} and no "
                f"contour carries {rule} around it",
                partial=self,
            )
        return self._with_nodes(times, rule, region)[1]

    def _with_nodes(
        self, tau: ArrayLike, rule: Rule, region: Region
    ) -> tuple[Nodes, LearningCurves]:
        """A contour inside ``region`` with as many nodes as the rule needs, and its curves."""
        first = self._first_nodes(region)
        size = first.points.size

        def attempt(count: int) -> tuple[tuple[Nodes, LearningCurves], float]:
            nodes = first if count == size else self._nodes_of(region, count)
            curves = curves_on(nodes, tau, rule)
            return (nodes, curves), curves.relative_error

        return with_more_nodes(attempt, size, MOST_NODES, self.rtol)[0]

    def _first_nodes(self, region: Region) -> Nodes:
        if region == Region(start=self.nodes.contour.start):
            return self.nodes
        law = self.nodes.law
        if region.start < 0.0:
            return self._nodes_of(region, int(nodes_needed(law, region, self.rtol)))
        return self._kept.get(region, lambda: accurate_nodes(law, region, self.rtol)[0])

    def _nodes_of(self, region: Region, size: int) -> Nodes:
        law = self.nodes.law
        return self._kept.get((region, size), lambda: nodes_in(law, region, size))

    @lazy
    def _kept(self) -> Kept[Nodes]:
        return Kept(_NODES_KEPT)

    @lazy
    def _kept_spectral(self) -> Kept[SpectralNodes]:
        return Kept(_LEVELS_KEPT)

    def _on_spectrum(self, tau: ArrayLike, rule: Rule) -> LearningCurves:
        """Curves from the spectral measures, on panels halved until they resolve the filter."""
        if not self.model.closed_form or math.isinf(self.model.psi_p):
            raise ConvergenceError(
                "a momentum this close to 1 is solved for one class of data, noise that is "
                "averaged exactly and finite width only: its filter grows too fast for a contour",
                partial=self,
            )
        law = self.nodes.law
        size = nodes_on(law.panels)
        if size > _MOST_SPECTRAL_NODES:
            raise ConvergenceError(
                f"a rule that no contour carries needs {size} nodes on this spectrum of "
                f"{len(law.edges)} bulks; {_MOST_SPECTRAL_NODES} are the most",
                partial=self,
            )
        level = 0
        while True:
            curves = curves_on(self._spectral_nodes(level), tau, rule)
            if curves.relative_error <= self.rtol or size << level + 1 > _MOST_SPECTRAL_NODES:
                return curves
            level += 1

    def _spectral_nodes(self, level: int) -> SpectralNodes:
        """Nodes on the spectrum; each level halves the panels of the one before."""

        def made() -> SpectralNodes:
            panels, nodes = self.nodes.law.panels, self.nodes
            for _ in range(level):
                panels = panels.halved()
            times = probe_times(self.model, *self.diagnostics["support"])
            return SpectralNodes(nodes.law, panels, nodes, times)

        return self._kept_spectral.get(level, made)


@ieee
def solve(
    model: FeatureModel, rtol: float | None = None, *, compress: bool | None = None
) -> Solution:
    """Solve ``model`` once, for all training rules and times; what comes back is a ``Solution``.

    Parameters
    ----------
    model : ScoreModel or ImageModel
    rtol : float, optional
        Relative accuracy of train loss, test loss and score error, between 1e-13 and 1e-2; values
        below 1e-3 of the untrained network's are accurate to rtol times that. By default 1e-10, of
        an ImageModel 1e-4.
    compress : bool, optional
        Solve with a Gauss quadrature of the covariance's law (``Covariance.gauss``), of as many
        nodes as ``rtol`` needs; by default from 1,000 eigenvalues on, where at most 100 nodes leave
        an error below ``rtol``/10. Curves are those of the model as stated, and so is ``spectrum``;
        discrete steps and SGD are solved with every eigenvalue all the same.

    Returns
    -------
    Solution
        For learning curves under every rule, timescales, bulks; with its estimated error.

    Raises
    ------
    ModelError
        If ``rtol`` is outside its range, or a Mixture is to be compressed.
    ConvergenceError
        If the one-point equations fail at a node, a linear activation makes the support of U touch
        0, or ``rtol`` is not reached: ``partial`` is then the Solution.
    """
    instance(model, (ScoreModel, ImageModel), "model", "ScoreModel(0.01, 64, 8)")
    rtol = model.usual_rtol if rtol is None else checked_rtol(rtol)
    return compressed_or_whole(model, rtol, compress, _whole)


def _whole(model: FeatureModel, rtol: float) -> Solution:
    """``solve`` with every eigenvalue."""
    start = time.perf_counter()
    law = law_of(model, rtol)
    found = flow_nodes(law, rtol)
    m, M = law.ends
    if not m > 0.0 and model.closed_form:
        raise ConvergenceError(
            f"the support of U begins at {m!r}: at psi_p = {model.psi_p} this activation has a "
            "hard edge at 0 and no contour separates them; move psi_p off this value",
            partial=law,
        )
    nodes, error, tries = found or carrying_nodes(law, rtol, nodes_before(law, rtol))
    nodes = nodes if found else with_flow(nodes)
    diagnostics = {
        "compiled": found is not None,
        "nodes": int(nodes.points.size),
        "newton_steps": nodes.solved[0],
        "residual": nodes.solved[1],
        "support": (m, M),
        "defect": nodes.defect,
        "tries": tries,
        "seconds": time.perf_counter() - start,
    }
    if isinstance(model, ImageModel):
        diagnostics["route"] = model.route
    solution = Solution(model, rtol, nodes.law, nodes, error, diagnostics)
    if not error <= rtol:
        raise ConvergenceError(
            f"learning curves reached a relative error of {error:.1e} with {nodes.points.size} "
            f"nodes; rtol = {rtol:g} was asked for (t = {model.t}, psi_p = {model.psi_p}, "
            f"psi_n = {model.psi_n})",
            partial=solution,
            residual=error,
        )
    return solution


def checked_rtol(rtol: Any) -> float:
    """Relative accuracy as a float; ModelError outside 1e-13 to 1e-2."""
    return number(rtol, "rtol", least=1e-13, most=1e-2)


def solved(value: Any, caller: str) -> Solution:
    """A Solution; the ModelError says how ``caller`` gets one."""
    if not isinstance(value, Solution):
        raise ModelError(f"{caller} takes a Solution: {caller}(solve(model)), not {shown(value)}")
    return value
