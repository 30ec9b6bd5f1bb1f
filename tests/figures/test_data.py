"""The numbers behind the figures, at few points, against physics that is known another way."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Covariance, Ridge, ScoreModel, solve
from figures import early_stopping, phase_diagram
from figures.catalogue import MODULES, figure
from figures.numbers import Numbers
from tests.helpers.tiny_figures import TINY
from validation.common import style


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_drawn_and_read(
    name: str, numbers: Callable[[str], Numbers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the numbers alone, at print size, with labelled axes and text of 7 points or more."""
    from matplotlib.text import Text

    data = numbers(name)
    module = importlib.import_module(f"figures.{MODULES[name]}")
    for constant, value in TINY[name].items():
        monkeypatch.setattr(module, constant, value)
    with style.styled():
        picture = figure(name).draw(data)
        picture.savefig(tmp_path / "x.pdf")
    assert picture.get_figwidth() <= style.PAGE
    sizes = [t.get_fontsize() for t in picture.findobj(Text) if t.get_text() and t.get_visible()]
    assert min(sizes) >= 7.0
    for ax in picture.axes:
        shared_x = ax.get_shared_x_axes().get_siblings(ax)
        shared_y = ax.get_shared_y_axes().get_siblings(ax)
        assert any(one.get_xlabel() for one in shared_x) or ax.get_label() == "<colorbar>"
        assert any(one.get_ylabel() for one in shared_y) or len(picture.axes) > 4


# -- spectra -----------------------------------------------------------------------------------


def _mass(data: Numbers, path: str) -> float:
    """Integral of a stored density over its bulk: the theta grid is a midpoint rule in log x."""
    x, rho = data[f"{path}/x"][1:-1], data[f"{path}/rho"][1:-1]
    low, high = data[f"{path}/x"][[0, -1]]
    theta = math.pi * (np.arange(x.size) + 0.5) / x.size
    slope = 0.5 * math.log(high / low) * np.sin(theta) * x
    return float(np.sum(rho * slope) * math.pi / x.size)


def test_spectrum(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("spectrum")
    exact = [[0.00368317, 0.0101885], [0.0913296, 0.359474], [9.83588, 44.69297]]
    np.testing.assert_allclose(data["iso/edges"], exact, rtol=1e-5)
    np.testing.assert_allclose(data["iso/masses"], [1 / 64, 7 / 64, 1 / 64], rtol=1e-10)
    for row in ("iso", "two"):
        total = data[f"{row}/masses"].sum() + data[f"{row}/atoms"][0, 1]
        assert total == pytest.approx(1.0, abs=1e-12)
        for i, mass in enumerate(data[f"{row}/masses"]):
            assert _mass(data, f"{row}/bulks/{i}") == pytest.approx(mass, rel=1e-6)
    # leading order: s^2 + v^2 (1 -+ sqrt 8)^2 with mass 1/8, and mu_1^2 (8 -+ 1)^2 + N
    c = ScoreModel(0.01, 64.0, 8.0).coefficients
    ends = c.s2 + c.v2 * (1.0 + np.array([-1.0, 1.0]) * math.sqrt(8.0)) ** 2
    np.testing.assert_allclose(data["iso/leading/samples/edges"][0], ends, rtol=1e-12)
    assert _mass(data, "iso/leading/samples/bulks/0") == pytest.approx(1 / 8, rel=1e-6)
    ends = c.mu1**2 * np.array([7.0, 9.0]) ** 2 + c.residual_variance
    np.testing.assert_allclose(data["iso/leading/population/edges"][0], ends, rtol=1e-6)
    assert _mass(data, "iso/leading/population/bulks/0") == pytest.approx(1 / 64, rel=1e-6)


def test_matrices_follow_the_law(numbers: Callable[[str], Numbers]) -> None:
    """d, 7 d and d eigenvalues of each Gaussian-equivalent matrix lie in the three bulks."""
    data = numbers("spectrum")
    drawn = data["iso/equivalent/eigenvalues"]
    d, seeds = (int(data.number(f"iso/equivalent/{k}")) for k in ("d", "seeds"))
    cuts = np.sqrt(data["iso/edges"][:-1, 1] * data["iso/edges"][1:, 0])
    counts = np.bincount(np.digitize(drawn, cuts))
    np.testing.assert_array_equal(counts, np.array([1, 7, 1]) * d * seeds)
    assert drawn[0] > data.number("iso/s2")
    for i, group in enumerate(np.split(drawn, np.cumsum(counts)[:-1])):
        x, rho = data[f"iso/bulks/{i}/x"], data[f"iso/bulks/{i}/rho"]
        mean = np.trapezoid(x * rho, x) / np.trapezoid(rho, x)
        assert group.mean() == pytest.approx(mean, rel=0.1)  # about 1/d
    # the trace of U is that of the networks, up to fluctuations of 1/sqrt(p n)
    moment = ScoreModel(0.01, 64.0, 8.0).coefficients.second_moment
    networks = data["iso/eigenvalues"]
    assert networks.mean() == pytest.approx(moment, rel=0.15)


def test_more_samples_move_the_lower_bulks_down(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("spectrum-samples")
    few, many = data["psi_n=8/edges"], data["psi_n=32/edges"]
    assert np.all(many[:2, 0] < few[:2, 0])
    assert np.ptp(many[2]) < np.ptp(few[2])
    assert data["psi_n=32/atoms"][0, 1] == pytest.approx(1.0 - 33.0 / 64.0)


# -- learning curves ---------------------------------------------------------------------------


def _half(data: Numbers, path: str) -> float:
    """Time at which the stored gap is half its last value, interpolated in log tau."""
    tau = data[f"{path}/tau"]
    gap = data[f"{path}/test"] - data[f"{path}/train"]
    return float(np.exp(np.interp(0.5 * gap[-1], gap, np.log(tau))))


def test_curves_collapse_in_units_of_the_lowest_edge(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("learning-curves")
    raw, scaled = [], []
    for psi_n in (4, 8, 16, 32):
        path = f"psi_n={psi_n}/theory"
        model = ScoreModel(0.1, 64.0, psi_n)
        train, test, score = (data[f"{path}/{k}"] for k in ("train", "test", "score_error"))
        np.testing.assert_allclose(test, model.floor + model.coefficients.Delta_t * score)
        assert np.all(np.diff(train) <= 1e-12)
        assert np.all(test >= model.floor)
        raw.append(_half(data, path))
        scaled.append(raw[-1] / data.number(f"{path}/tau_mem"))
    # the unit takes out most of the spread, not all: the rest of the spectrum changes with n too
    spread = [math.log(max(times) / min(times)) for times in (raw, scaled)]
    assert spread[0] > math.log(2.5)
    assert spread[1] < 0.5 * spread[0]
    # the loss of the slowest mode, e^{-4 tau/tau_mem}, has then fallen to between 1/2 and 1/16
    assert min(scaled) > 0.25 * math.log(2.0)
    assert max(scaled) < 0.25 * math.log(16.0)


def test_networks_lie_on_the_lines_while_size_does_not_matter(
    numbers: Callable[[str], Numbers],
) -> None:
    """Early, before the sample is seen: within three standard errors and 1/d^2 of the theory."""
    data = numbers("learning-curves")
    for psi_n in (4, 8, 16, 32):
        path = f"psi_n={psi_n}"
        tau = data[f"{path}/networks/tau"]
        early = (tau > 0.3) & (tau < 6.0)
        assert early.sum() >= 2
        line = np.interp(
            np.log(tau[early]), np.log(data[f"{path}/theory/tau"]), data[f"{path}/theory/test"]
        )
        miss = np.abs(data[f"{path}/networks/test"][early] - line)
        d = data.number(f"{path}/networks/d")
        assert (d, data.number(f"{path}/largest/d")) == (6.0, 7.0)
        assert np.all(miss < 3.0 * data[f"{path}/networks/test_error"][early] + 1.0 / d**2)


def test_gap_maps(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("gap-maps")
    gap = data["gap"]
    assert gap.shape == (2, 5, 5)
    assert np.all(gap > 0.0)
    assert np.all(np.diff(gap, axis=2) < 0.0)  # more samples, smaller gap
    assert np.all(np.diff(gap, axis=1) > 0.0)  # more features, larger gap
    assert np.all(gap[1] >= gap[0] * (1.0 - 1e-6))  # and it grows with time, to rtol
    assert data.number("networks/d") == 24.0
    for psi_n, psi_p, *found in data["networks/gap"][:, :4]:
        theory = solve(ScoreModel(0.1, psi_p, psi_n)).learning_curves(data["times"])
        np.testing.assert_allclose(found, theory.generalization_gap, rtol=0.25)


def test_diffusion_times(numbers: Callable[[str], Numbers]) -> None:
    """The noisier the data, the less the loss rises again, above the exact score's loss."""
    data = numbers("diffusion-times")
    rises = []
    for t in ("0.01", "0.1", "0.5", "1"):
        test = data[f"t={t}/theory/test"]
        assert np.all(test >= data.number(f"t={t}/floor"))
        rises.append(test[-1] - test.min())
    assert np.all(np.diff(rises) < 0.0)
    # Delta_t Tr Sigma_t^{-1}/d for Sigma = I
    assert data.number("t=0.5/floor") == pytest.approx(math.exp(-1.0))


def test_the_scale_of_the_data(numbers: Callable[[str], Numbers]) -> None:
    """L_train = 1 - 4 Delta_t b^2 tau at first, and E_score from Tr Sigma_t^{-1}/d downwards."""
    data = numbers("data-scale")
    for sigma in (0.5, 2.0):
        model = ScoreModel(0.1, 64.0, 8.0, covariance=Covariance.isotropic(sigma**2))
        c = model.coefficients
        path = f"sigma={sigma:g}/psi_n=8/theory"
        tau = data[f"{path}/tau"][0]
        slope = (1.0 - data[f"{path}/train"][0]) / tau
        top = solve(model).spectrum.edges[-1, 1]
        # the fastest mode has relaxed by no more than 1 - e^{-2 alpha x tau}
        assert slope == pytest.approx(4.0 * c.Delta_t * c.b**2, rel=2.0 * model.rate * top * tau)
        start = 1.0 / (math.exp(-0.2) * sigma**2 - math.expm1(-0.2))
        assert 0.85 * start < data[f"{path}/score_error"][0] < start


# -- optima and times --------------------------------------------------------------------------


def test_minimal_errors(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("minimal-error")
    known = {
        1: 0.135089, 2: 0.110637, 4: 0.082922, 8: 0.057735, 16: 0.037823, 32: 0.023694,
        64: 0.014532, 10_000: 0.002501,
    }  # fmt: skip
    x, y = data["psi_p=32/psi_n"], data["psi_p=32/score_error"]
    for psi_n, value in known.items():
        (i,) = np.flatnonzero(np.isclose(x, psi_n))
        assert y[i] == pytest.approx(value, abs=1e-6)
    # local slopes lie between the secants on either side
    secant = -np.diff(np.log(y)) / np.diff(np.log(x))
    assert secant[0] == pytest.approx(0.288, abs=2e-3)
    assert data["psi_p=32/slope"][0] < secant[0] < data["psi_p=32/slope"][1]


def test_adam_learns_and_is_repeatable(numbers: Callable[[str], Numbers]) -> None:
    from figures import adam

    data = numbers("adam")
    for psi_n in (4, 16):
        assert data[f"psi_n={psi_n}/score_error"][0] == pytest.approx(1.0, abs=0.06)
        assert data[f"psi_n={psi_n}/score_error"].min() < 0.6
        assert data.number(f"psi_n={psi_n}/flow") < data[f"psi_n={psi_n}/score_error"].min()
    # the minimum is lower for more samples and comes no later
    few, many = (data[f"psi_n={psi_n}/score_error"] for psi_n in (4, 16))
    assert many.min() < few.min()
    assert np.argmin(many) <= np.argmin(few)
    # few samples are fitted first
    assert data["psi_n=4/train"][-1] < data["psi_n=4/test"][-1]
    assert data["psi_n=4/test"][-1] > data["psi_n=4/test"].min()
    again = adam.train(4, 4, 2, 3, 1e-2)
    np.testing.assert_allclose(again["test"][0], data["psi_n=4/test"][0], rtol=1e-12)


def test_timescales(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("timescales")
    for name in ("isotropic", "b"):
        gen, best, end = (data[f"{name}/tau_{k}"] for k in ("gen", "opt", "mem"))
        assert np.all(gen < best)
        assert np.all(best < end)
    # with 10^4 samples per dimension tau_gen is that of the population (psi_n = 10^9)
    from dmft_rf import timescales

    many = timescales(solve(ScoreModel(0.01, 256.0, 1e9)))
    assert data["isotropic/tau_gen"][-1] == pytest.approx(many.tau_gen, rel=1e-2)


def test_phase_borders_solve_their_equations(numbers: Callable[[str], Numbers]) -> None:
    """At each border the gap of the exact curves is a tenth of what there is to learn."""
    data = numbers("phase-diagram")
    assert np.all(data["n_window"] < data["n_star"])
    for psi_p, star, at_time in zip(data["psi"], data["n_star"], data["borders"][0], strict=True):
        for psi_n, tau in ((star, math.inf), (at_time, 1e3)):
            model = ScoreModel(0.1, psi_p, psi_n)
            gap = solve(model).learning_curves([tau]).generalization_gap[0]
            assert gap == pytest.approx(0.1 * (1.0 - model.floor), rel=1e-3)
    width = phase_diagram.smallest_width(8.0)
    for factor, sign in ((0.99, 1.0), (1.01, -1.0)):
        solution = solve(ScoreModel(0.1, factor * width, 8.0))
        tau = np.geomspace(1.0, 1e3, 400)
        least = solution.learning_curves(tau).score_error.min()
        assert sign * (least - 0.1 * solution.model.initial_score_error) > 0.0


def test_early_stopping_and_ridge(numbers: Callable[[str], Numbers]) -> None:
    data = numbers("early-stopping")
    for name in early_stopping.DATA:
        stopped, ridge, forever = (data[f"{name}/{k}"] for k in ("stopped", "ridge", "forever"))
        assert np.all(stopped <= ridge)
        assert np.all(ridge < forever)
        # both ways end at least squares and begin at the untrained network
        assert data[f"{name}/path/ridge"][-1] == pytest.approx(data[f"{name}/path/flow"][-1], 0.02)
        assert data[f"{name}/path/ridge"][0] == pytest.approx(data[f"{name}/path/flow"][0], 0.05)
    # the minimum over the weight is one
    solution = solve(ScoreModel(0.1, 64.0, 1.0))
    weight, least = data["isotropic/weight"][0], data["isotropic/ridge"][0]
    for factor in (0.9, 0.99, 1.01, 1.1):
        near = solution.learning_curves([math.inf], Ridge(factor * weight)).score_error[0]
        assert near > least
