"""A covariance of thousands of eigenvalues, replaced by a Gauss quadrature of its law."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._convert import flag, instance
from dmft_rf.curves.automatic_times import Solved
from dmft_rf.curves.losses import JUDGED, SMALL, LearningCurves, probe_times
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.estimate import EPS
from dmft_rf.numerics.jacobi import JacobiMatrix
from dmft_rf.spectra.spectrum import spectrum

if TYPE_CHECKING:
    from dmft_rf.rules.flow import Rule

# what rounding of the atoms may add to a curve, relative to it, at least
_OF_ATOMS = 300.0 * EPS
# atoms that it begins with
_FEWEST_ATOMS = 36
# unasked, a covariance of so many atoms is compressed, to so few and at most this share of them,
# with an error of this share of rtol
_MANY_ATOMS, _FEW_ATOMS, _SHARE, _OF_RTOL = 1000, 100, 0.1, 0.1


@dataclass(frozen=True)
class Compression:
    """A covariance that was replaced by a Gauss quadrature of its law.

    Attributes
    ----------
    atoms : int
        Atoms that are left.
    error : float
        Largest relative difference of train loss, test loss and score error under gradient flow,
        over all times, from those with a quarter fewer atoms, and the rounding of atoms. As in
        LearningCurves.relative_error, small losses count as 1e-3 of the untrained network's. Rules
        that need other contours are solved with all atoms.
    """

    atoms: int
    error: float

    def applied(self, curves: LearningCurves, model: FeatureModel) -> LearningCurves:
        """The curves as those of ``model``, with this error added to their own."""
        least = dict(zip(JUDGED, (1.0, 1.0, model.initial_score_error), strict=True))
        error = {
            name: values
            + self.error * np.maximum(np.abs(getattr(curves, name)), SMALL * least.get(name, 0.0))
            for name, values in curves.error.items()
        }
        error["generalization_gap"] = error["train"] + error["test"]
        return replace(curves, model=model, error=error)


class Solution(Solved, Protocol):
    """What is needed of a `Solution`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def error_estimate(self) -> float:
        """Estimated relative error of its curves."""

    @property
    def hard_edge(self) -> bool:
        """Whether contours lead around 0."""

    def learning_curves(self, tau: ArrayLike, rule: Rule | None = None) -> LearningCurves:
        """Learning curves at the times ``tau``."""


S = TypeVar("S", bound=Solution)


def compressed_or_whole(
    model: FeatureModel, rtol: float, compress: bool | None, whole: Callable[[Any, float], S]
) -> S:
    """What ``whole`` makes of the model, or of a compression of it; ``compress`` as in `solve`."""
    asked = compress is not None and flag(compress, "compress")
    if asked:
        stated = instance(model, ScoreModel, "compress: model", "ScoreModel(0.01, 64, 8)")
        if isinstance(stated.covariance, Mixture):
            raise ModelError("compress is True; covariances of a mixture cannot be compressed")
        return _compressed(stated, rtol, whole, asked) or whole(model, rtol)
    if (
        compress is None
        and isinstance(model, ScoreModel)
        and not isinstance(model.covariance, Mixture)
        and model.covariance.n_atoms >= _MANY_ATOMS
    ):
        return _compressed(model, rtol, whole, asked) or whole(model, rtol)
    return whole(model, rtol)


def _compressed(
    model: ScoreModel, rtol: float, solve: Callable[[Any, float], S], asked: bool
) -> S | None:
    """``solve`` on Gauss quadratures of a third more nodes each time, until two agree.

    None where this needs about as many atoms as the covariance has; unless it was ``asked`` for,
    also where it needs more than a few, leads around 0 or fails.
    """
    start = time.perf_counter()
    cov = model.covariance
    assert not isinstance(cov, Mixture)
    most = 0.25 * cov.n_atoms if asked else min(_FEW_ATOMS, _SHARE * cov.n_atoms)
    allowed = 0.5 * rtol if asked else _OF_RTOL * rtol
    atoms, before, probes = _FEWEST_ATOMS, None, np.empty(0)
    jacobi = JacobiMatrix(cov.eigenvalues, cov.weights)
    while atoms < most:
        fewer = model.replace(covariance=cov.from_rule(*jacobi.rule(atoms)))
        try:
            found = solve(fewer, rtol)
        except ConvergenceError:
            if asked:
                raise
            return None
        if found.hard_edge and not asked:
            return None
        if before is None:
            probes = np.minimum(probe_times(fewer, *found.diagnostics["support"]), found.horizon)
        curves = found.learning_curves(probes)
        if before is not None:
            error = curves.difference(before) + _rounding_of_atoms(fewer, model)
            if error <= allowed and error + found.error_estimate <= rtol:
                diagnostics = {**found.diagnostics, "seconds": time.perf_counter() - start}
                return replace(
                    found,
                    model=model,
                    spectrum=spectrum(model),
                    error_estimate=found.error_estimate + error,
                    diagnostics=diagnostics,
                    compression=Compression(fewer.covariance.n_atoms, error),
                )
        atoms, before = math.ceil(4 * atoms / 3), curves
    return None


def _rounding_of_atoms(fewer: ScoreModel, model: ScoreModel) -> float:
    """What the atoms of a compression lose to rounding, relative to a loss.

    Two averages over the law are known of both models, the losses of the exact score and of the
    zero network; rules with more atoms and with fewer can be off by the same.
    """
    known = ((fewer.floor, model.floor), (fewer.initial_score_error, model.initial_score_error))
    return max(_OF_ATOMS, *(abs(found / exact - 1.0) for found, exact in known))
