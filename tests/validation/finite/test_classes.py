"""What class structure does to the test loss of finite networks."""

import math

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, solve
from dmft_rf._typing import Array
from dmft_rf.monitor import sentences
from dmft_rf.monitor.classes import class_structure
from validation.finite import imagery, simulate
from validation.finite.case import Case

TWO = "two classes along each of 12 directions"
D, ROWS, BETWEEN = 64, 4000, 0.9  # share of the variance of a direction with classes


def _rows(kind: str) -> tuple[Array, Covariance]:
    """Made-up images with the covariance of the digits, and the spectral law of them."""
    rng = np.random.default_rng(5)
    scales = np.sqrt(np.linalg.eigvalsh(np.cov(imagery.rows("digits").T))[::-1].clip(0.0))
    z = rng.normal(size=(ROWS, D))
    if kind == TWO:
        z[:, :12] = math.sqrt(BETWEEN) * rng.choice([-1.0, 1.0], size=(ROWS, 12)) + (
            math.sqrt(1.0 - BETWEEN) * z[:, :12]
        )
    elif kind == "25 classes":  # at the corners of a simplex, turned, in the first 24 directions
        corners = math.sqrt(25.0) * np.linalg.qr(np.eye(25) - 1.0 / 25.0)[0][:, :24]
        corners = corners @ np.linalg.qr(rng.normal(size=(24, 24)))[0]
        z[:, :24] = math.sqrt(BETWEEN) * corners[rng.integers(25, size=ROWS)] + (
            math.sqrt(1.0 - BETWEEN) * z[:, :24]
        )
    x = z * scales
    x -= x.mean(axis=0)
    x /= np.sqrt(np.mean(x**2))
    law = Covariance.from_matrix(x.T @ x / ROWS)
    return x, Covariance(law.eigenvalues / law.mean, law.weights, dimension=D, samples=ROWS)


@pytest.mark.slow
def test_classes_lower_the_test_loss_by_as_much_as_advice_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table of docs/validation.md, with two of its sets."""
    losses, seen = {}, {}
    for kind in ("Gaussian", TWO, "25 classes"):
        rows, law = _rows(kind)
        monkeypatch.setattr(imagery, "rows", lambda name, rows=rows: rows)
        seen[kind] = class_structure(rows[:2000], rows[:2000].var(axis=0))
        times = (100.0, math.inf)
        case = Case(
            kind, "", ScoreModel(0.1, 4.0, 2.0, covariance=law), ((D, 16),), times, data=kind
        )
        tau = case.tau(next(iter(case.rules.values())))
        at = [int(np.flatnonzero(tau == time)[0]) for time in times]
        runs = [simulate.simulate(case, D, seed).arrays["0/test"][at] for seed in range(16)]
        # each set has a covariance of its own: against the theory's loss for that
        theory = solve(case.model).learning_curves(np.array(times)).test
        losses[kind] = np.mean(runs, axis=0) / theory
    best, end = 100.0 * (1.0 - losses[TWO] / losses["Gaussian"])
    assert seen[TWO] == pytest.approx(sentences.NO_HARM, abs=0.02)
    assert max(abs(best), abs(end)) < 1.5 * sentences.NO_HARM_PERCENT  # two standard errors are 0.5
    best, end = 100.0 * (1.0 - losses["25 classes"] / losses["Gaussian"])
    assert seen["25 classes"] == pytest.approx(sentences.HARM[1], abs=0.04)
    assert best == pytest.approx(sentences.HARM_BEST[1], abs=1.0)
    assert end == pytest.approx(sentences.HARM_END[1], abs=2.0)
