"""One cell of work: one draw of one case, with everything that is kept of it."""

import dataclasses
import time
import zlib
from dataclasses import dataclass, replace

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.model.activation import Activation
from dmft_rf.rules.stochastic import StochasticGradientDescent
from validation.finite import imagery
from validation.finite.case import SIMULATION, Case
from validation.finite.losses import Losses, Trained
from validation.finite.network import FiniteNetwork, draw_network, network_on_rows
from validation.finite.reverse import (
    QUANTITIES,
    ReverseProcess,
    copies,
    generated,
    measured,
    network_score,
    step_free,
    trained,
)
from validation.finite.reverse_control import LinearProcess
from validation.finite.stochastic import sgd_losses

HELD_OUT = 1024
"""Most rows of real data that the test loss is averaged over; they are never trained on."""


@dataclass(frozen=True)
class Cell:
    """What is kept of one draw.

    Attributes
    ----------
    case, d, seed
        Which draw.
    fingerprint : str
        Of the case, see `Case.fingerprint`.
    arrays : dict
        ``eigenvalues`` (p,) of U; ``<i>/train``, ``<i>/test``, ``<i>/score_error`` (n_tau,) of the
        i-th rule, and ``<i>/fresh`` where the noise is drawn; ``truncation`` and ``orders`` of the
        Hermite expansions. Of what is generated: `Case.quantities`, and the eigenvalues of its
        covariance.
    seconds : float
        Wall time; not part of the content.
    package_version, git_commit : str
        What computed it; empty: what writes it down.
    """

    case: str
    d: int
    seed: int
    fingerprint: str
    arrays: dict[str, Array]
    seconds: float = 0.0
    package_version: str = ""
    git_commit: str = ""

    @property
    def key(self) -> str:
        """Unique name, usable as a file name."""
        return f"{self.case}.d{self.d}.s{self.seed}"


def generator(case: Case, d: int, seed: int) -> np.random.Generator:
    """An independent stream of random numbers for each cell."""
    return np.random.default_rng([SIMULATION, zlib.crc32(case.name.encode()), d, seed])


def network_of(case: Case, d: int, seed: int) -> FiniteNetwork:
    """The finite network of one cell."""
    rng = generator(case, d, seed)
    p, n = case.shape(d)
    activation = case.model.activation
    assert isinstance(activation, Activation)
    if not case.data:
        return draw_network(
            rng, case.eigenvalues(d), p, n, case.model.t, activation,
            sizes=case.class_sizes(d), draws=case.model.noise_draws,
        )  # fmt: skip
    rows = imagery.rows(case.data)[rng.permutation(imagery.rows(case.data).shape[0])]
    return network_on_rows(rng, rows[:n], rows[n : n + HELD_OUT], p, case.model.t, activation)


def simulate(case: Case, d: int, seed: int) -> Cell:
    """Draw, diagonalise, and evaluate every rule of the case at all of its times."""
    start = time.perf_counter()
    if case.generated:
        arrays = _generated(case, d, seed)
        return Cell(case.name, d, seed, case.fingerprint, arrays, time.perf_counter() - start)
    network = network_of(case, d, seed)
    averages = replace(network, U=network.U.copy()) if case.stochastic else network
    trained = Trained(network)
    arrays = {
        "eigenvalues": trained.eigenvalues,
        "truncation": np.array(network.truncation),
        "orders": np.array(network.orders),
    }
    for i, rule in enumerate(case.rules.values()):
        if isinstance(rule, StochasticGradientDescent):
            losses = _stochastic(case, averages, rule, [d, seed, i])
        else:
            losses = trained.losses(rule, case.tau(rule))
        for name in case.quantities:
            arrays[f"{i}/{name}"] = getattr(losses, name)
    return Cell(case.name, d, seed, case.fingerprint, arrays, time.perf_counter() - start)


def _stochastic(
    case: Case, network: FiniteNetwork, rule: StochasticGradientDescent, place: list[int]
) -> Losses:
    """One run of SGD on the network of a cell, whose weights and samples are drawn again."""
    d, seed, i = place
    rng, (p, n) = generator(case, d, seed), case.shape(d)
    W = rng.standard_normal((p, d))
    X = rng.standard_normal((n, d)) * np.sqrt(case.eigenvalues(d))
    steps = np.random.default_rng([SIMULATION, zlib.crc32(case.name.encode()), d, seed, i])
    activation = case.model.activation
    assert isinstance(activation, Activation)
    return sgd_losses(network, W, X, activation, rule, case.tau(rule), steps)


def _generated(case: Case, d: int, seed: int) -> dict[str, Array]:
    """What one network generates after every time of the case, by each of its rules."""
    rng, (p, n) = generator(case, d, seed), case.shape(d)
    eigenvalues = case.eigenvalues(d)
    W = rng.standard_normal((p, d))
    X = rng.standard_normal((n, d)) * np.sqrt(eigenvalues)
    activation = case.model.activation
    assert isinstance(activation, Activation)
    sigma_x2 = float(eigenvalues.mean())
    arrays: dict[str, list[float]] = {}
    known: dict[ReverseProcess, list[Array]] = {}  # rules of both samplers share their networks
    for i, rule in enumerate(case.rules.values()):
        assert isinstance(rule, ReverseProcess)
        like = dataclasses.replace(rule, sampler="")
        if like not in known:
            known[like] = [trained(W, X, float(tau), rule, activation) for tau in case.tau(rule)]
        for tau, B in zip(case.tau(rule), known[like], strict=True):
            linear = LinearProcess(rule, float(tau), case.model.psi_n, activation, sigma_x2)
            scores = network_score(B, W, rule, activation), linear.score(X)
            fine, coarse = generated(scores, rule, d, rng)
            network, beside = (
                step_free(*(measured(x, X, eigenvalues, rule.t_end) for x in both))
                for both in zip(fine, coarse, strict=True)
            )
            mean = linear.mean(eigenvalues, rng)
            found = {q: network[q] - beside[q] + mean[q] for q in QUANTITIES}
            for name, value in {**found, **copies(fine[0], X)}.items():
                arrays.setdefault(f"{i}/{name}", []).append(value)
    spread = np.linalg.eigvalsh(np.cov(fine[0].T))
    return {"eigenvalues": spread, **{name: np.array(one) for name, one in arrays.items()}}
