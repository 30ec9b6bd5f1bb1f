"""Networks that come with the project: they are what the figures ask for, and meet the theory."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmft_rf import ScoreModel, spectrum
from figures.catalogue import MODULES, figure
from figures.numbers import Numbers
from figures.shared import laws
from figures.simulations import FILE, SHIPPED, Simulations, estimate
from figures.spectrum import NETWORKS, models
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
    simulations = Simulations(tmp_path)
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


def test_three_sizes_are_extrapolated_in_the_logarithm() -> None:
    """Networks whose value is 2 e^(3/d), without scatter: 2 at infinity, and a small error."""
    d = np.repeat([10, 20, 40], 2)
    value, error = estimate(d, 2.0 * np.exp(3.0 / d)[:, None])
    assert value == pytest.approx(2.0, rel=1e-12)
    assert np.all(error < 1e-12)
    value, error = estimate(d[:4], np.arange(1.0, 5.0))  # two sizes: the mean of the larger
    assert (value, error) == (3.5, 0.5)
