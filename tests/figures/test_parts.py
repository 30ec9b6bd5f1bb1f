"""Parts and modes of the curves of figures, and data beside the theory."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from dmft_rf import Covariance, GradientFlow, ScoreModel, solve
from dmft_rf.model.activation import Activation
from figures import bulk_learning, eigenmodes, noise_draws
from figures.catalogue import MODULES, figure
from figures.numbers import Numbers
from figures.real_data import NAMES, TAU
from validation.finite.cases import grid
from validation.finite.losses import Trained
from validation.finite.network import draw_network

# -- parts and modes ---------------------------------------------------------------------------


def test_bulks_add_up(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("bulk-learning")
    np.testing.assert_allclose(
        data["split/removed"].sum(axis=0), 1.0 - data["whole/train"], atol=1e-11
    )
    np.testing.assert_allclose(data["split/removable"], [0.641, 0.003, 0.022], atol=5e-4)
    # networks: the parts are exact there too, whatever d
    parts = data["networks/removed"].sum(axis=0)
    assert np.all(np.diff(parts) > 0.0)
    assert parts[-1] < 1.0
    # only the bulk of the data is learned by then, and there d = 4 is enough
    early = data["networks/tau"] < 30.0
    line = np.interp(
        np.log(data["networks/tau"][early]), np.log(data["split/tau"]), data["split/removed"][2]
    )
    np.testing.assert_allclose(data["networks/removed"][2][early], line, rtol=0.25)


def test_the_parts_of_a_network_add_up() -> None:
    """Eigenvalues on either side of the cuts, each in one group: 1 - L_train is their sum."""
    model = ScoreModel(0.1, 4.0, 2.0)
    assert isinstance(model.activation, Activation)
    rng = np.random.default_rng(0)
    trained = Trained(draw_network(rng, np.ones(8), 32, 16, 0.1, model.activation))
    lam, tau = trained.eigenvalues, np.array([10.0, 1e3])
    borders = [0.0, float(lam[10]), float(lam[25]), math.inf]
    parts = [
        1.0 - trained.losses(bulk_learning.OnInterval(low=low, high=high), tau).train
        for low, high in itertools.pairwise(borders)
    ]
    whole = 1.0 - trained.losses(GradientFlow(), tau).train
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-10)
    assert min(part[1] for part in parts) > 0.0


def test_many_draws_tend_to_the_exact_average() -> None:
    """<V_m, V>/<V, V> and the same for U are 1 on average over fixed draws."""
    for name in ("U", "V"):
        ratios = []
        for seed in range(5):
            p, n = round(noise_draws.PSI_P * 4), round(noise_draws.PSI_N * 4)
            activation = noise_draws.model_of(1).activation
            assert isinstance(activation, Activation)
            rng = np.random.default_rng([seed, 4])
            exact = draw_network(rng, np.ones(4), p, n, noise_draws.T, activation)
            drawn = getattr(noise_draws.network_with(60, 4, seed), name)
            known = getattr(exact, name)
            ratios.append(float(np.sum(drawn * known) / np.sum(known * known)))
        error = np.std(ratios, ddof=1) / math.sqrt(len(ratios))
        assert error < 0.01
        assert abs(np.mean(ratios) - 1.0) < 3.5 * error


def test_half_times_of_the_modes(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("eigenmodes")
    times = data["psi_n=8/half_time"]
    assert np.all(np.diff(data["eigenvalues"]) > 0.0)
    assert np.all(np.diff(times) < 0.0)  # large eigenvalues first
    solution = solve(eigenmodes.model_of(8.0))
    at = eigenmodes.learned(solution, times)
    np.testing.assert_allclose(np.diag(at), 0.5, atol=1e-8)
    # many samples and features: 1 - e^{-2 Delta_t a^2 lambda_t tau}
    model = ScoreModel(0.1, 1e4, 1e6, covariance=Covariance([0.5, 1.5]))
    many = eigenmodes.half_times(solve(model))
    np.testing.assert_allclose(many, eigenmodes.population_times(model), rtol=2e-3)
    # networks of d = 64 learn the shares of theory while they are learned
    tau = data["networks/tau"]
    early = tau < 30.0
    theory = eigenmodes.learned(solution, tau[early])
    found = data["networks/learned"][early]
    assert np.sqrt(np.mean((found - theory) ** 2)) < 0.06


def test_the_share_learned_by_a_network_is_what_it_says() -> None:
    """-E[s_A(x_t) x_t^T] over many draws of x_t, for a small network."""
    t, d, p, n = 0.3, 3, 12, 30
    lam = np.array([0.5, 1.0, 2.0])
    activation = ScoreModel(t, 4.0, 4.0).activation
    assert isinstance(activation, Activation)
    rng = np.random.default_rng(5)
    network = draw_network(rng, lam, p, n, t, activation)
    W = np.random.default_rng(5).standard_normal((p, d))
    U, V = network.U.copy(), network.V.copy()
    delta = network.Delta_t
    diffused = math.exp(-2.0 * t) * lam + delta
    tau = np.array([5.0])
    share = eigenmodes.learned_by(network, Trained(network), diffused, tau)[0]
    # gradient flow by hand: B = -V^T h(U)/sqrt(Delta_t)
    values, vectors = np.linalg.eigh(U)
    h = vectors @ np.diag(-np.expm1(-network.rate * values * tau[0]) / values) @ vectors.T
    B = -V.T @ h / math.sqrt(delta)
    x = rng.standard_normal((400_000, d)) * np.sqrt(diffused)
    score = activation(x @ W.T / math.sqrt(d)) @ B.T
    products = -score * x
    error = products.std(axis=0) / math.sqrt(x.shape[0])
    assert np.all(np.abs(products.mean(axis=0) - share) < 4.0 * error)


def test_real_data(numbers: Callable[[str], Numbers]) -> None:
    """What its caption says of the final gaps, and of the test losses on the way down."""
    data = numbers("real-data")
    names = [name for name in NAMES if f"{name}/d" in data]
    gaps = {
        source: [
            100.0 * (data.number(f"{name}/{source}/final_gap") / trained - 1.0)
            for name in names
            for trained in [data.number(f"{name}/rows/final_gap")]
        ]
        for source in ("theory", "samples")
    }
    caption = figure("real-data").caption
    by = {name: f"{gap:.0f}" for name, gap in zip(names, gaps["theory"], strict=True)}
    assert f"by {', '.join(by.values())} % for" in caption
    assert f"within {max(map(abs, gaps['samples'])):.1f} % of" in caption
    early = (TAU > 0.5) & (TAU < 12.0)
    for name in names:
        networks, line = (data[f"{name}/{source}/test"] for source in ("rows", "theory"))
        own = data[f"{name}/samples/test"]
        # Gaussian data of the same size lie between the limit and the images in the end
        assert networks[-1] < data[f"{name}/gauss/test"][-1] < line[-1]
        assert np.abs(own / networks - 1.0).max() < np.abs(line / networks - 1.0).max()
        if name != "patches":
            np.testing.assert_allclose(networks[early], line[early], rtol=0.03)


def test_noise_draws(numbers: Callable[[str], Numbers]) -> None:
    """Static losses from the equations of arXiv:2609.26392 for other m and p, and networks."""
    data = numbers("noise-draws")
    for (m, psi_p), value in {(1, 8): 2.7979, (4, 16): 1.8322, (16, 8): 1.0348}.items():
        assert noise_draws.final(m, psi_p) == pytest.approx(value, abs=6e-5)
    np.testing.assert_array_equal(data["draws"], [1.0, 64.0])
    assert data["over_width"][0, 0] == pytest.approx(2.7979, abs=6e-5)  # m = 1, psi_p = 8
    # one draw: the peak is at p = n, at the left end of these widths
    assert np.all(np.diff(data["over_width"][0]) < 0.0)
    tau = data["networks/tau"]
    early = tau < 200.0
    line = np.interp(np.log(tau[early]), np.log(data["tau"]), data["m=16/test"])
    found, error = (data[f"m=16/networks/{k}"][early] for k in ("test", "test_error"))
    assert np.all(np.abs(found - line) < 3.0 * error + 1.0 / 8**2)


def test_cases_of_validation_are_used_where_there_are_any() -> None:
    """The same name means the same parameters: cells of a validation store fit."""
    known = {case.name: case.fingerprint for case in [*grid("quick"), *grid("paper")]}
    shared = 0
    for name in MODULES:
        for profile in ("quick", "paper"):
            for case in figure(name).cases(profile):
                if case.name.startswith("figure_"):
                    assert case.name not in known
                else:
                    assert case.fingerprint == known[case.name]
                    shared += 1
    assert shared == 8  # learning curves, both profiles
