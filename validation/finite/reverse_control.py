r"""A linear process beside the network's, by which most of the scatter is removed.

What a network generates depends on its sample and on the noise of its process, and so, nearly in
the same way, does what the linear score -G_t(C) x makes of the same sample and the same noise.
What is kept is

    network - linear + mean of linear over other samples,

where the last term is known without noise: a linear process has a covariance that Heun's steps
carry from step to step, one number for each eigenvalue of C. The two linear terms have the same
mean, up to O(1/(N d)) in a quotient: a wrong G would leave more scatter and change nothing else.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.generated.activation_in_time import in_time
from dmft_rf.kernels.infinite_width import learned_scores
from dmft_rf.model.activation import Activation
from validation.finite.reverse import ReverseProcess, Score, of_covariance, step_free

OTHERS = 40
"""Samples over which the linear process is averaged, for each network."""


@dataclass(frozen=True)
class LinearProcess:
    """The linear process of a rule after a training time, for one sample size."""

    rule: ReverseProcess
    tau: float
    psi_n: float
    activation: Activation
    sigma_x2: float

    def strengths(self, x: Array) -> Array:
        """G at the edges of the steps and at eigenvalues x of C, shape (n_edges, n)."""
        a2, noise, signal, vn, clock = _constants(self)
        points = x.astype(np.complex128)
        return np.asarray(learned_scores(points, a2, noise, signal, vn, clock).real)

    def score(self, X: Array) -> Score:
        """Of one sample X (n, d)."""
        x, axes = np.linalg.eigh(X.T @ X / X.shape[0])
        matrices = [(axes * -one) @ axes.T for one in self.strengths(x)]
        return lambda samples, i: np.asarray(samples @ matrices[i])

    def expected(self, X: Array, eigenvalues: Array) -> dict[str, float]:
        """What `validation.finite.reverse.measured` finds for this score, on average over noise."""
        x, axes = np.linalg.eigh(X.T @ X / X.shape[0])
        strength, t_end = self.strengths(x), self.rule.t_end
        found = []
        for stride in (1, 2):
            law = self._variances(strength, stride)
            covariance, inverse = ((axes * one) @ axes.T for one in (law, 1.0 / law))
            log = float(np.log(law).sum())
            found.append(of_covariance(covariance, inverse, log, X, eigenvalues, t_end))
        return step_free(*found)

    def _variances(self, strength: Array, stride: int) -> Array:
        """Of what Heun's steps make of N(0, 1) along each axis."""
        noisy, edges = self.rule.sampler == "sde", self.rule.edges
        m = 1.0 - (2.0 if noisy else 1.0) * strength
        variance = np.ones(strength.shape[1])
        for i in range(0, self.rule.steps, stride):
            j = i + stride
            h = edges[i] - edges[j]
            variance = variance * (1.0 + 0.5 * h * (m[i] + m[j] + h * m[i] * m[j])) ** 2
            if noisy:
                variance = variance + 2.0 * h * (1.0 + 0.5 * h * m[j]) ** 2
        return np.asarray(variance)

    def mean(self, eigenvalues: Array, rng: np.random.Generator) -> dict[str, float]:
        """`expected`, averaged over ``OTHERS`` samples."""
        shape = (round(self.psi_n * eigenvalues.size), eigenvalues.size)
        rows = [
            self.expected(rng.standard_normal(shape) * np.sqrt(eigenvalues), eigenvalues)
            for _ in range(OTHERS)
        ]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@lru_cache(maxsize=16)
def _constants(process: LinearProcess) -> tuple[Array, Array, Array, Array, Array]:
    """a_t^2, Delta_t, e^{-2t}, v_t^2/psi_n and the clock 2 Delta_t tau at the edges."""
    t, along = process.rule.edges, in_time(process.activation, process.sigma_x2)
    noise, signal = -np.expm1(-2.0 * t), np.exp(-2.0 * t)
    deviation = np.log(noise + signal * process.sigma_x2)
    a = along.linear(float(deviation.min()), float(deviation.max()))(deviation)
    constant = process.rule.schedule == "noise"
    clock = np.full(t.size, 2.0 * process.tau) if constant else 2.0 * noise * process.tau
    return a * a, noise, signal, along.v2(t) / process.psi_n, clock
