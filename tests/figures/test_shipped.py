"""Networks that come with the project: they are what the figures ask for, and meet the theory."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmft_rf import ScoreModel, solve, spectrum
from figures import (
    adam,
    bulk_learning,
    data_scale,
    diffusion_times,
    eigenmodes,
    gap_maps,
    learning_curves,
    minimal_error,
    noise_draws,
)
from figures.catalogue import MODULES, figure
from figures.numbers import Numbers
from figures.shared import laws
from figures.simulations import FILE, SHIPPED, Simulations, described, estimate, means
from figures.spectrum import NETWORKS, models
from validation.finite.case import FLOW, Case
from validation.finite.runner import pending
from validation.finite.store import Store

LARGE = 3000  # features whose eigenvectors take longer than a quick figure may


@pytest.fixture(scope="module")
def shipped() -> Store:
    return Store(SHIPPED / FILE)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("simulated again")


def test_the_quick_profile_simulates_no_large_network(
    shipped: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MODULES:
        cases = figure(name).cases("quick")
        missing = [one.shape(d)[0] for one, d, _ in pending(shipped, cases)]
        assert not missing or max(missing) < LARGE, name
    monkeypatch.setattr(laws, "conditional_average", never)
    monkeypatch.setattr(bulk_learning, "networks", never)
    monkeypatch.setattr(bulk_learning, "WIDTHS", {"quick": 2})
    simulations = Simulations(tmp_path)
    figure("bulk-learning").compute("quick", simulations)
    samples = importlib.import_module("figures.spectrum_samples").PSI_N
    for model in [*models().values(), *(ScoreModel(0.01, 64.0, float(n)) for n in samples)]:
        laws.put_eigenvalues(Numbers(), "x", model, simulations, *NETWORKS)


def test_bulks_of_a_network_of_the_papers_size(tmp_path: Path) -> None:
    """Exact separation, and the means that the caption names."""
    numbers = Numbers()
    for row, model in models().items():
        laws.put_eigenvalues(numbers, row, model, Simulations(tmp_path), *NETWORKS)
        law, found = spectrum(model), numbers[f"{row}/eigenvalues"]
        counts = np.rint(law.bulk_masses * found.size).astype(int)
        atom, *bulks = np.split(found, np.cumsum([found.size - counts.sum(), *counts[:-1]]))
        cuts = np.sqrt(law.edges[:-1, 1] * law.edges[1:, 0])
        assert all(
            low[-1] < cut < high[0]
            for low, cut, high in zip(bulks[:-1], cuts, bulks[1:], strict=True)
        )
        worst = 0.0
        for (low, high), group in zip(law.edges, bulks, strict=True):
            x = np.linspace(low, high, 4001)
            rho = law.density(x)
            mean = np.trapezoid(x * rho, x) / np.trapezoid(rho, x)
            worst = max(worst, abs(group.mean() / mean - 1.0))
        assert worst < 0.07
        if row == "iso":
            caption = figure("spectrum").caption
            assert atom[-1] < law.edges[0, 0]
            assert [group.size for group in bulks] == [100, 700, 100]
            assert f"within {100 * worst:.1f} % of it" in caption
            assert f"from {atom[0]:.4f} to {atom[-1]:.4f}" in caption


def cases() -> list[Case]:
    modules = (data_scale, diffusion_times, learning_curves, minimal_error)
    return [one for module in modules for one in module.cases("quick")]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_extrapolated_networks_lie_on_the_curves(shipped: Store, case: Case) -> None:
    """Within 5 % and three standard errors, at every time that is drawn."""
    tau = case.tau(case.rules[FLOW])
    shown = (tau > 0.0) & (tau <= 1e7)
    if case.name.startswith("figure_minimal"):
        shown = tau == case.judged[0]
    found = means(shipped.of(case), tau)
    assert math.isinf(found["d"])
    theory = solve(case.model).learning_curves(tau[shown])
    for name in ("train", "test", "score_error"):
        line = getattr(theory, name)
        miss = np.abs(found[name][shown] / line - 1.0)
        assert np.all(miss < 0.05 + 3.0 * found[f"{name}_error"][shown] / line), (name, miss)


def test_extrapolated_gaps_lie_on_the_maps(shipped: Store) -> None:
    """Within 5 % and three standard errors; the caption names the largest distance."""
    worst = 0.0
    for case in gap_maps.cases("quick"):
        value, error = gap_maps.gaps(case, shipped.of(case))
        line = solve(case.model).learning_curves(gap_maps.TIMES).generalization_gap
        miss = np.abs(value / line - 1.0)
        assert np.all(miss < 0.05 + 3.0 * error / line), (case.name, miss)
        worst = max(worst, float(miss.max()))
    assert f"miss the map by {100.0 * worst:.1f} % at most" in figure("gap-maps").caption


def test_extrapolated_parts_lie_on_the_curves() -> None:
    kept = [Numbers.load(path) for path in SHIPPED.glob("simulations-bulks-*.h5")]
    (networks,) = kept
    assert math.isinf(described(networks["d"])["d"])
    model = ScoreModel(bulk_learning.T, bulk_learning.PSI_P, bulk_learning.PSI_N)
    split = bulk_learning.bulk_split(solve(model), bulk_learning.AT)
    for name in ("removed", "test"):
        value, error = estimate(networks["d"], networks[name])
        line = getattr(split, name)
        assert np.all(np.abs(value / line - 1.0) < 0.05 + 3.0 * error / line), name


@pytest.mark.parametrize("draws", noise_draws.CUTS)
def test_extrapolated_noise_draws_lie_on_the_curves(
    draws: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_draws, "networks", never)
    found = noise_draws.kept(Simulations(tmp_path), draws)
    value, error = estimate(found["d"], found["test"])
    model = noise_draws.model_of(draws)
    line = solve(model, rtol=1e-8).learning_curves(noise_draws.AT).test
    assert np.all(np.abs(value / line - 1.0) < 0.05 + 3.0 * error / line)


def test_extrapolated_modes_lie_on_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares learned, up to 1.7: within 0.05 and three standard errors."""
    monkeypatch.setattr(eigenmodes, "networks", never)
    monkeypatch.setattr(eigenmodes, "PSI_N", ())
    numbers = eigenmodes.compute("quick", Simulations(tmp_path))
    line = eigenmodes.learned(solve(eigenmodes.model_of(8.0)), eigenmodes.AT)
    miss = np.abs(numbers["networks/learned"] - line)
    assert np.all(miss < 0.05 + 3.0 * numbers["networks/learned_error"])


def test_adam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its caption says of the trainings that are shown."""
    monkeypatch.setattr(adam, "train", never)
    data = figure("adam").compute("quick", Simulations(tmp_path))
    above, least, steps = [], [], []
    for psi_n in adam.PSI_N:
        train, test, score, at = (
            data[f"psi_n={psi_n}/{key}"] for key in ("train", "test", "score_error", "steps")
        )
        above.append(score.min() / data.number(f"psi_n={psi_n}/flow"))
        least.append(at[np.argmin(score)])
        steps += at[test - train > 0.01][:1].tolist()
    caption = figure("adam").caption
    assert f"{min(above):.2f} to {max(above):.2f} times above" in caption
    assert least == sorted(least, reverse=True)
    a, b, c = steps  # the gap of the fourth is not as wide in the end
    assert f"by step {a:,.0f}, {b:,.0f} and {c:,.0f} for psi_n = 4, 8 and 16" in caption
    assert f"by {a / 4:.0f}, {b / 8:.0f} and {c / 16:.0f} psi_n" in caption


def test_three_sizes_are_extrapolated_in_the_logarithm() -> None:
    """Networks whose value is 2 e^(3/d), without scatter: 2 at infinity, and a small error."""
    d = np.repeat([10, 20, 40], 2)
    value, error = estimate(d, 2.0 * np.exp(3.0 / d)[:, None])
    assert value == pytest.approx(2.0, rel=1e-12)
    assert np.all(error < 1e-12)
    value, error = estimate(d[:4], np.arange(1.0, 5.0))  # two sizes: the mean of the larger
    assert (value, error) == (3.5, 0.5)
