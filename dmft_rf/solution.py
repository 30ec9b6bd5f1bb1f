r"""The solved model: from a ScoreModel to learning curves with a stated accuracy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf.contour import disc_contour, flattened, nodes_for
from dmft_rf.dynamics import LearningCurves, curves_on
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.law import Spectrum, spectrum
from dmft_rf.measure import SpectralNodes
from dmft_rf.model import ScoreModel
from dmft_rf.nodes import ContourNodes
from dmft_rf.rules import GradientFlow, Rule

Array = NDArray[np.float64]

_TRIES = 8
_DISCS_KEPT = 4
_SMALLEST_RTOL = 1e-13
_MOST_SPECTRAL_NODES = 2000


@dataclass(frozen=True)
class Solution:
    """A solved ScoreModel: learning curves of any linear training rule at any time.

    Attributes
    ----------
    model : ScoreModel
    rtol : float
        Relative accuracy that was asked for.
    spectrum : Spectrum
        The spectral law of U.
    nodes : ContourNodes
        One- and two-point functions on the contour.
    error_estimate : float
        Estimated relative error of train loss, test loss and score error under gradient flow, the
        largest over all times (LearningCurves.relative_error).
    diagnostics : dict
        nodes, newton_steps, residual (relative size of the last Newton step), support
        (lowest and highest edge), defect (of the quadrature, against two exact integrals), tries,
        seconds.
    """

    model: ScoreModel
    rtol: float
    spectrum: Spectrum
    nodes: ContourNodes
    error_estimate: float
    diagnostics: dict[str, Any] = field(compare=False)

    @property
    def train_limit(self) -> float:
        """Training loss of minimum-norm least squares, the limit tau -> infinity."""
        return self.nodes.train_limit

    def learning_curves(self, tau: ArrayLike, rule: Rule | None = None) -> LearningCurves:
        """Train loss, test loss, generalization gap and score error at the times ``tau``.

        Parameters
        ----------
        tau : array, any shape
            Gradient-flow time (dA/dtau = -d^2 grad L_train), >= 0; may hold 0 and inf.
        rule : Rule
            GradientFlow() by default; Ridge, WeightAverage, GradientDescent, HeavyBall.

        Raises
        ------
        ModelError
            If a time is negative or NaN, or the rule diverges on this spectrum.
        ConvergenceError
            If ``rtol`` cannot be reached for this rule.
        """
        rule = GradientFlow() if rule is None else rule
        rule.check(self.diagnostics["support"][1], self.model.rate)
        disc = rule.disc(self.model.rate)
        curves = self._on_contour(tau, rule, disc) if disc else self._on_spectrum(tau, rule)
        return curves.require(self.rtol)

    def _on_contour(self, tau: ArrayLike, rule: Rule, end: float) -> LearningCurves:
        """Curves from a contour inside the disc with diameter (0, end), refined as the rule needs.

        The nodes of the last few discs are kept, the half-plane's (end = inf) always.
        """
        m, M = self.diagnostics["support"]
        if end not in self._discs:
            for old in list(self._discs)[1 : 1 - _DISCS_KEPT]:
                del self._discs[old]
            self._discs[end] = _accurate_nodes(self.spectrum, m, M, end, self.rtol)[0]
        for _ in range(_TRIES):
            curves = curves_on(self._discs[end], tau, rule)
            if curves.relative_error <= self.rtol:
                break
            more = math.ceil(1.25 * self._discs[end].points.size)
            self._discs[end] = ContourNodes(self.spectrum, disc_contour(m, M, end, more))
        return curves

    def _on_spectrum(self, tau: ArrayLike, rule: Rule) -> LearningCurves:
        """Curves from the spectral measures, on panels halved until they resolve the filter."""
        for level in range(12):
            nodes = self._spectral_nodes(level)
            curves = curves_on(nodes, tau, rule)
            if curves.relative_error <= self.rtol or 2 * nodes.size > _MOST_SPECTRAL_NODES:
                break
        return curves

    @cached_property
    def _discs(self) -> dict[float, ContourNodes]:
        return {math.inf: self.nodes}

    @cached_property
    def _spectral_levels(self) -> list[SpectralNodes]:
        return []

    def _spectral_nodes(self, level: int) -> SpectralNodes:
        """Nodes on the spectrum; each level halves the panels of the one before."""
        levels = self._spectral_levels
        while len(levels) <= level:
            panels = levels[-1].panels.halved() if levels else self.spectrum.panels
            levels.append(SpectralNodes(self.spectrum, panels, self.nodes, self._probes))
        return levels[level]

    @cached_property
    def _probes(self) -> Array:
        return probe_times(self.model, *self.diagnostics["support"])


def solve(model: ScoreModel, rtol: float = 1e-10) -> Solution:
    """Solve ``model`` once, for all training rules and times.

    Parameters
    ----------
    model : ScoreModel
    rtol : float
        Relative accuracy of train loss, test loss and score error, between 1e-13 and 1e-2; values
        below 1e-4 of the untrained network's are accurate to rtol times that.

    Raises
    ------
    ModelError
        If ``rtol`` is outside its range.
    ConvergenceError
        If the one-point equations fail at a node, if the support of U touches 0, or if ``rtol`` is
        not reached; ``partial`` is then the Solution with its error estimate.
    """
    if not _SMALLEST_RTOL <= rtol <= 1e-2:
        raise ModelError(f"rtol is {rtol!r}; it must be between {_SMALLEST_RTOL:g} and 0.01")
    start = time.perf_counter()
    law = spectrum(model)
    m, M = float(law.edges[0, 0]), float(law.edges[-1, 1])
    if not m > 0.0:
        raise ConvergenceError(
            f"the support of U begins at {m!r}: at psi_p = {model.psi_p} this activation has a "
            "hard edge at 0 and no contour separates them; move psi_p off this value",
            partial=law,
        )
    nodes, error, tries = _accurate_nodes(law, m, M, math.inf, rtol)
    diagnostics = {
        "nodes": int(nodes.points.size),
        "newton_steps": nodes.resolvent.iterations,
        "residual": float(nodes.resolvent.residual.max()),
        "support": (m, M),
        "defect": nodes.defect,
        "tries": tries,
        "seconds": time.perf_counter() - start,
    }
    solution = Solution(model, rtol, law, nodes, error, diagnostics)
    if not error <= rtol:
        raise ConvergenceError(
            f"learning curves reached a relative error of {error:.1e} with {nodes.points.size} "
            f"nodes; rtol = {rtol:g} was asked for (t = {model.t}, psi_p = {model.psi_p}, "
            f"psi_n = {model.psi_n})",
            partial=solution,
            residual=error,
        )
    return solution


def _accurate_nodes(
    law: Spectrum, m: float, M: float, end: float, rtol: float
) -> tuple[ContourNodes, float, int]:
    """Nodes inside the disc with diameter (0, end) that carry gradient flow to ``rtol``/2.

    Returns them with the relative error that they reached and the number of tries.
    """
    probes = probe_times(law.model, m, M)
    n = nodes_for(*flattened(m, M, end), rtol)
    tries = 0
    while True:
        tries += 1
        nodes = ContourNodes(law, disc_contour(m, M, end, n))
        error = curves_on(nodes, probes, GradientFlow()).relative_error
        if error <= 0.5 * rtol or tries == _TRIES:
            return nodes, error, tries
        n = math.ceil(1.25 * n)


def probe_times(model: ScoreModel, m: float, M: float) -> Array:
    """Times from before the fastest mode of a spectrum in [m, M] to after the slowest, and inf."""
    return np.append(np.geomspace(0.03 / (model.rate * M), 30.0 / (model.rate * m), 25), np.inf)
