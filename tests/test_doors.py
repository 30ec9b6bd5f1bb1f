"""Public functions, classes and methods, given what they were not made for: one line."""

import math
import numbers
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dmft_rf
from dmft_rf import ConvergenceError, DataError, ModelError
from dmft_rf._convert import as_float, shown
from tests.helpers.public import COVARIANCE, MODEL, Call, calls, public_callables


class Rude(numbers.Real):
    """A number that refuses to be one."""

    def _no(self, *_: Any) -> Any:
        raise RuntimeError("no")

    for _name in numbers.Real.__abstractmethods__:
        locals()[_name] = _no
    __array__ = __repr__ = _no


WRONG = [
    None, True, "x", "", b"1", 3, -1, 0, 0.5, math.nan, math.inf, -math.inf, 1j, 10**400, 10**5000,
    1e300, object(), int, len, [], [1.0, "x"], [[1.0], [2.0, 3.0]], {}, {"a": 1}, {1: {2: 3}},
    (1.0, -2.0), (x for x in (1.0,)), np.ma.array([1.0, 2.0], mask=[0, 1]), np.ma.masked,
    np.datetime64("2026-01-01"), np.array(["2026-01-01"], dtype="M8[D]"), np.timedelta64(3, "s"),
    np.array(1 + 2j), np.zeros((2, 2, 2)), np.array([None]), np.array([1.0, math.nan]),
    Decimal("NaN"), Decimal(3), Fraction(1, 3), np.int8(-3), np.float16(0.5), Rude(), MODEL,
    COVARIANCE, ScoreModel := dmft_rf.ScoreModel,
]  # fmt: skip

NO_NUMBERS = [
    value for value in WRONG if as_float(value) is None and not isinstance(value, list | np.ndarray)
]

# what others of the tests are about: files, sweeps, activations, the workers' and the errors' own
ELSEWHERE = {
    "Activation", "Activation.of", "read_covariance", "save_figure", "sweep", "scaling",
    "phase_diagram", "Scaling", "Sweep", "PhaseDiagram", "PowerLaw", "ConvergenceError",
    "DataError", "ModelError", "WorkerError", "plot_phase_diagram",
}  # fmt: skip
# results, which the package makes itself, and what stands behind the readings of pencils
MADE = {
    "BulkSplit", "ErrorParts", "ErrorTimes", "LearningCurves", "Solution", "Timescales",
    "Coefficients", "PencilNodes", "PencilNodes.integral", "PencilNodes.quadratic",
    "Advice", "FiniteCurves", "FiniteSize", "ManyCurves", "Derivatives", "Fit",
    "converged", "of_stated", "deviation", "Profile", "profile_under", "half_mean_square_increment",
    "Activation.values_for", "Generation",
    "GenerationTimes", "PathBound", "linear_part", "PowerLaw.plot",
}  # fmt: skip


def test_every_public_name_is_called() -> None:
    inherited = {"Pencil.seal", *(f"{name}.seal" for name in dmft_rf.__all__)}
    silent = {"semicircle", "anticommutator", "sample_covariance", "deformed_covariance"}
    silent |= {"wishart_sum", "wishart_product", "score_model", "regression"}
    drawing = {name for name in public_callables() if name.startswith("draw_")}  # on given axes
    drawing |= {"above_floor", "finish_losses", "floor_name", "floor_of"}
    left = public_callables() - drawing - set(calls()) - ELSEWHERE - MADE - inherited - silent
    assert left == set(), "a public function needs a valid call in tests/public.py"


def outcome(call: Call, argument: str, value: Any) -> str | None:
    """What is wrong with how a call ends; None for an answer or a short error of the package."""
    try:
        call.function(**{**call.arguments, argument: value})
    except (ModelError, DataError, ConvergenceError) as error:
        text = str(error)
        return None if len(text) < 300 and text.isprintable() else f"{len(text)} letters: {text!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("part", range(4))
def test_wrong_arguments_are_one_line(part: int) -> None:
    bad = []
    for name in sorted(calls())[part::4]:
        call = calls()[name]
        call.function(**call.arguments)
        for argument in call.arguments.keys() - {"activation"}:  # these have tests of their own
            for value in NO_NUMBERS if call.long else WRONG:
                found = outcome(call, argument, value)
                if found is not None:
                    bad.append(f"{name}({argument}={shown(value)}): {found}")
    assert not bad, "\n".join(bad)
