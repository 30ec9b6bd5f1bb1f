"""Solutions against networks of finite size, and random initial weights."""

import math

import numpy as np
import pytest

from dmft_rf import GradientFlow, Ridge, ScoreModel, WeightAverage, solve
from tests.helpers.plain import network
from tests.helpers.solved import INF, TWO, WIDE


class TestInitialWeights:
    STD = 0.7

    @pytest.mark.parametrize(
        "model",
        [ScoreModel(0.3, 2.0, 1.0, "tanh", TWO), ScoreModel(0.3, 4.0, 1.0, "relu", TWO)],
        ids=["no atom", "atom"],
    )
    def test_finite_matrices(self, model: ScoreModel) -> None:
        """The average over A_0 is exact: kappa^2 Delta_t (1/p) Tr[g U g], and U~ for U in test."""
        d = 200 if model.psi_p < 3 else 120
        net = network(model, d, seed=9)
        values, vectors = net.eigen()
        solution = solve(model)
        tau = np.geomspace(0.01, 100.0, 6) / (model.rate * float(values[-1]))
        rule = GradientFlow(initial_std=self.STD)
        with_start, without = solution.learning_curves(tau, rule), solution.learning_curves(tau)
        seen = np.einsum("ij,ik,kj->j", vectors, net.U_population, vectors)
        g2 = rule.memory(values, tau, model.rate) ** 2
        scale = self.STD**2 * model.coefficients.Delta_t / net.p
        train, test = scale * g2 @ values, scale * g2 @ seen
        # one draw, self-averaging: relative fluctuations of a few 1/d
        np.testing.assert_allclose(with_start.train - without.train, train, rtol=5.0 / d)
        np.testing.assert_allclose(with_start.test - without.test, test, rtol=5.0 / d)


class TestFiniteNetworks:
    @pytest.mark.parametrize(
        ("model", "d"),
        [
            (ScoreModel(0.1, 2.0, 1.0, "tanh", TWO), 300),
            (ScoreModel(0.3, 0.5, 2.0, "relu", TWO), 400),
            (ScoreModel(0.1, 1.5, 0.5, "gelu", WIDE), 300),
            (ScoreModel(0.1, 2.0, 1.5, "linear", TWO), 200),
        ],
        ids=["tanh", "relu", "gelu", "linear"],
    )
    def test_curves(self, model: ScoreModel, d: int) -> None:
        """Both losses of finite matrices at all times and rules, to a few 1/d."""
        net = network(model, d, seed=11)
        values, vectors = net.eigen()
        solution = solve(model)
        low, high = solution.diagnostics["support"]
        # for an atom at 0 (linear, p > d) V has no weight there: the filter may be anything
        safe = np.maximum(values, 0.5 * low)
        overlaps = vectors.T @ net.V
        strength = np.sum(overlaps**2, axis=1) / d
        population = vectors.T @ net.U_population @ vectors
        rules = [GradientFlow(), GradientFlow(weight_decay=0.1 * high), Ridge(0.01 * high)]
        rules.append(WeightAverage(1.0 / (model.rate * math.sqrt(low * high))))
        tau = np.concatenate([np.geomspace(0.1 / high, 30.0 / low, 7) / model.rate, [INF]])
        for rule in rules:
            curves = solution.learning_curves(tau, rule)
            h = rule.filter(safe, tau, model.rate)
            train = 1.0 - (2.0 * h - safe * h * h) @ strength
            test = 1.0 - 2.0 * h @ strength
            learned = [overlaps * x[:, None] for x in h]
            test += np.array([np.sum((population @ y) * y) for y in learned]) / d
            # one draw; L_test of a nearly interpolating network fluctuates more, hence 8
            np.testing.assert_allclose(curves.train, train, rtol=8.0 / d)
            np.testing.assert_allclose(curves.test, test, rtol=8.0 / d)
