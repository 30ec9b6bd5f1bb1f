r"""Predictions that are wrong on purpose: each formula off by a few per cent.

A validation is worth what it would notice. Each mutation changes one coefficient or one factor of
the theory and leaves the rest of the library as it is; the simulations are reused, and the
comparison must end with FAIL every time.

    b2, s2, v2, gamma2   the Gaussian-equivalent coefficients, one at a time
    alpha                the rate 2 Delta_t/psi_p (its factor 2), that is, the unit of time
    kappa                1 - kappa, the denominator of the two-point function's last term
    omega                the feature-noise part omega c_Q of T0_Q (through v_t^2 in u_Q)
    sample               the factor y~_1 y~_2/psi_n of the sample's two-point correction in t_Q
    one_point            psi_n in the one-point equations alone

Coefficients are replaced in the model; the two-point function by a kernel that stands in for
`dmft_rf.kernels.two_point.assemble` while the prediction is made. Rules without a contour in the
half-plane (discrete steps) are left out of the comparison of a mutation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import dmft_rf.nodes
from dmft_rf import ScoreModel
from dmft_rf.kernels import two_point
from validation.cases import Case
from validation.theory import Prediction, predict

SIZE = 0.03
"""Relative size of a mutation."""

Assemble = Callable[..., Any]
_assemble: Assemble = two_point.assemble


class _Mistimed(ScoreModel):
    """A ScoreModel whose rate is off."""

    @property
    def rate(self) -> float:
        """Alpha, too large."""
        return super().rate * self.__dict__["_factor"]


@dataclass(frozen=True)
class Mutation:
    """One wrong formula.

    Attributes
    ----------
    name, about : str
    model : callable
        From a ScoreModel and a factor to the mutated model; None leaves it as it is.
    kernel : callable
        From a factor to the stand-in for `assemble`; None leaves it as it is.
    """

    name: str
    about: str
    model: Callable[[ScoreModel, float], ScoreModel] | None = None
    kernel: Callable[[float], Assemble] | None = None

    def predict(self, case: Case, size: float = SIZE) -> Prediction:
        """The wrong prediction for ``case``, off by the relative ``size``."""
        factor = 1.0 + size
        model = case.model if self.model is None else self.model(case.model, factor)
        with _replaced(None if self.kernel is None else self.kernel(factor)):
            return predict(case, model, smooth_only=True)


@contextmanager
def _replaced(kernel: Assemble | None) -> Iterator[None]:
    if kernel is None:
        yield
        return
    with mock.patch.object(dmft_rf.nodes, "assemble", kernel):
        yield


def _coefficient(name: str) -> Callable[[ScoreModel, float], ScoreModel]:
    """Multiply one coefficient of the model, and nothing else."""

    def change(model: ScoreModel, factor: float) -> ScoreModel:
        mutant = model.replace()
        # b is stored, not its square
        power = math.sqrt(factor) if name == "b" else factor
        value = getattr(model.coefficients, name) * power
        wrong = dataclasses.replace(model.coefficients, **{name: value})
        mutant.__dict__["coefficients"] = wrong  # the cached property, and what is made of it
        for derived in ("parameters", "classes", "groups"):
            mutant.__dict__.pop(derived, None)
        return mutant

    return change


def _rate(model: ScoreModel, factor: float) -> ScoreModel:
    mutant = _Mistimed(model.t, model.psi_p, model.psi_n, model.activation, model.covariance)
    mutant.__dict__["_factor"] = factor
    return mutant


def _one_point(model: ScoreModel, factor: float) -> ScoreModel:
    mutant = model.replace()
    wrong = model.parameters.copy()
    wrong[1] *= factor
    wrong.setflags(write=False)
    mutant.__dict__["parameters"] = wrong
    return mutant


def _kappa(factor: float) -> Assemble:
    """1 - kappa is psi_p-th part of the inverse secant slope dk/dz: stretch z by the factor."""

    def kernel(z1: Any, k1: Any, E1: Any, z2: Any, k2: Any, E2: Any, dk: Any, *rest: Any) -> Any:
        return _assemble(z1 * factor, k1, E1, z2 * factor, k2, E2, dk / factor, *rest)

    return kernel


def _parameters(**factors: int) -> Callable[[float], Assemble]:
    """Multiply the kernel's psi_n and v2 by powers of the factor."""

    def build(factor: float) -> Assemble:
        def kernel(*arguments: Any) -> Any:
            par = arguments[-1].copy()
            par[1] *= factor ** factors.get("psi_n", 0)
            par[3] *= factor ** factors.get("v2", 0)
            return _assemble(*arguments[:-1], par)

        return kernel

    return build


MUTATIONS = (
    Mutation("b2", "b_t^2", _coefficient("b")),
    Mutation("s2", "s_t^2", _coefficient("s2")),
    Mutation("v2", "v_t^2", _coefficient("v2")),
    Mutation("gamma2", "gamma^2", _coefficient("gamma2")),
    Mutation("alpha", "the factor 2 in alpha = 2 Delta_t/psi_p", _rate),
    Mutation("kappa", "1 - kappa in the two-point function", kernel=_kappa),
    # v2/psi_n is the only place of v2 in the kernel
    Mutation("omega", "omega c_Q in the two-point function", kernel=_parameters(v2=1)),
    # psi_n and v2 together: v2/psi_n stays, 1/psi_n changes
    Mutation(
        "sample", "y~_1 y~_2/psi_n in the two-point function", kernel=_parameters(psi_n=1, v2=1)
    ),
    Mutation("one_point", "psi_n in the one-point equations", _one_point),
)
"""Every mutation, by what it changes."""
