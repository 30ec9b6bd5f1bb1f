"""What the theory predicts for a case: the only place where `dmft_rf` is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmft_rf import (
    GradientFlow,
    ScoreModel,
    StochasticGradientDescent,
    WeightAverage,
    generation,
    resolvent,
    solve,
)
from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array
from validation.finite.case import Case
from validation.finite.reverse import ReverseProcess

# of what is generated, far below what simulations can see
_RTOL = 1e-7


@dataclass(frozen=True)
class Prediction:
    """Theory of one case.

    Attributes
    ----------
    curves : dict
        LearningCurves by the label of the rule, at `Case.tau` of it; or Generation.
    resolvent : (n_points,) array
        (1/p) Tr z/(U + z) = z q(-z) at `Case.resolvent_points`.
    spectrum : Spectrum, or None where psi_p is infinite
    """

    curves: Mapping[str, Any]
    resolvent: Array
    spectrum: Any

    def values(self, label: str, name: str) -> Array:
        """What the theory says of one of `Case.quantities` under one rule, shape (n_tau,)."""
        curves = self.curves[label]
        if name in ("copies", "nearest"):
            return np.full(curves.tau.shape, 0.0 if name == "copies" else 1.0)
        if name == "fresh":
            return curves.empirical_error * curves.model.Delta_t
        return np.asarray(getattr(curves, name))

    @lazy
    def cdf(self) -> tuple[Array, Array]:
        """Points lambda and the continuous part of the law's distribution function there."""
        from numpy.polynomial.legendre import leggauss

        law = self.spectrum
        lam, mass = [], []
        start = 0.0
        for (low, high), bulk in zip(law.edges, law.bulk_masses, strict=True):
            nodes, weights = leggauss(400)
            theta = 0.5 * np.pi * (nodes + 1.0)
            width = 0.5 * np.pi * weights
            if low > 0.0:
                half = 0.5 * np.log(high / low)
                points = np.sqrt(low * high) * np.exp(-half * np.cos(theta))
                step = points * half * np.sin(theta)
            else:  # a hard edge, where the density diverges like the inverse root
                root = np.sin(0.5 * theta) ** 2
                points, step = high * root**2, high * root * np.sin(theta)
            piece = np.cumsum(width * law.density(points) * step)
            lam += [[low], points, [high]]
            # the mass up to the middle of each weight, normalised to the exact mass
            middle = piece - 0.5 * np.diff(piece, prepend=0.0)
            mass += [[start], start + bulk * middle / piece[-1], [start + bulk]]
            start += bulk
        return np.concatenate(lam), np.concatenate(mass)


def predict(
    case: Case, model: ScoreModel | None = None, *, smooth_only: bool = False
) -> Prediction:
    """Theory for ``case``; ``model`` replaces its model (a mutation).

    Parameters
    ----------
    smooth_only
        Leave out the discrete rules, which are integrated along another path.
    """
    model = case.model if model is None else model
    if case.generated:
        laws = {
            label: generation(
                model, case.tau(rule), rule.schedule, rule.sampler, rule.t_start, rule.t_end, _RTOL
            )
            for label, rule in case.rules.items()
            if isinstance(rule, ReverseProcess)
        }
        return Prediction(laws, np.empty(0), None)
    solution = solve(model)
    curves = {
        label: solution.learning_curves(case.tau(rule), rule)
        for label, rule in case.rules.items()
        if isinstance(rule, GradientFlow | WeightAverage | StochasticGradientDescent)
        or not smooth_only
    }
    z = case.resolvent_points
    return Prediction(curves, z * resolvent(model, -z).q.real, solution.spectrum)
