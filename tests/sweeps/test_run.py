"""Sweeps: the numbers are those of the solver, wherever and in whatever order they are computed."""

import math
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.sweeps.campaign import Where
from dmft_rf.sweeps.quantities import DESCRIPTIONS, TIMES
from dmft_rf.sweeps.request import CURVES
from tests.helpers.sweeping import contents, deadly

MODEL = rf.ScoreModel(0.1, 8.0, 4.0)
MIXTURE = rf.Mixture([0.4, 0.6], [[0.5, 0.5], [1.0, 3.0]])
TAU = (0.0, 1.0, 30.0, 1e3, math.inf)
GRID = {"psi_n": [1.0, 4.0, 9.0], "t": [0.05, 0.3]}


# -- numbers ------------------------------------------------------------------------------------


def test_a_grid_holds_what_the_solver_gives():
    """Every quantity, at every point, bit by bit."""
    names = [name for name in DESCRIPTIONS if name not in ("n_star", "n_window")]
    found = rf.sweep(MODEL, GRID, names, tau=TAU)
    assert found.complete
    assert found.failures == {}
    for i, psi_n in enumerate(GRID["psi_n"]):
        for j, t in enumerate(GRID["t"]):
            model = MODEL.replace(psi_n=psi_n, t=t)
            solution, law = rf.solve(model), rf.spectrum(model)
            times, curves = rf.timescales(solution), solution.learning_curves(TAU)
            here = {name: array[i, j] for name, array in found.quantities.items()}
            for name in TIMES:
                np.testing.assert_equal(here[name], times.value(name))
            for name in ("train", "test", "generalization_gap", "score_error"):
                np.testing.assert_array_equal(here[name], getattr(curves, name))
            bulks = len(law.edges)
            np.testing.assert_array_equal(here["edges"][:bulks], law.edges)
            assert np.all(np.isnan(here["edges"][bulks:]))
            assert here["bulks"] == bulks
            assert (here["edge_low"], here["edge_high"]) == (law.edges[0, 0], law.edges[-1, 1])
            assert here["atom"] + law.bulk_masses.sum() == pytest.approx(1.0, abs=1e-14)
            assert here["final_train"] == solution.train_limit
            # one time or many: sums of another order
            assert here["final_test"] == pytest.approx(curves.test[-1], rel=1e-14)
            learnable = 1.0 - model.floor
            assert here["gap_final"] == pytest.approx(times.final_gap / learnable, rel=1e-12)
            late = solution.learning_curves(3.0 * times.tau_gen).generalization_gap
            assert here["gap_window"] == pytest.approx(float(late) / learnable, rel=1e-12)
            at = solution.learning_curves(here["tau_overfit"]).generalization_gap
            assert float(at) == pytest.approx(0.1 * learnable, rel=1e-9)


def test_a_list_is_its_points_in_any_order():
    grid = rf.sweep(MODEL, GRID, ["tau_mem", "score_error"], tau=TAU)
    points = [{"psi_n": n, "t": t} for n in GRID["psi_n"] for t in GRID["t"]]
    backwards = rf.sweep(MODEL, points[::-1], ["tau_mem", "score_error"], tau=TAU)
    for name, array in grid.quantities.items():
        flat = array.reshape(len(points), *array.shape[2:])
        np.testing.assert_array_equal(flat, backwards.quantities[name][::-1])


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"activation": ["relu", "erf"]}, [MODEL.replace(activation=a) for a in ("relu", "erf")]),
        (
            {"power_law.exponent": [0.5, 1.5], "power_law.atoms": 16},
            [MODEL.replace(covariance=rf.Covariance.power_law(a, 16)) for a in (0.5, 1.5)],
        ),
        (
            {"covariance": [rf.Covariance([1, 2]), rf.Covariance([1, 9])]},
            [MODEL.replace(covariance=rf.Covariance(e)) for e in ([1, 2], [1, 9])],
        ),
        (
            {"isotropic.scale": [0.5, 2.0], "psi_n": 7},
            [MODEL.replace(covariance=rf.Covariance.isotropic(s), psi_n=7) for s in (0.5, 2.0)],
        ),
        (
            {"noise_draws": [1, 4.0, math.inf]},
            [MODEL.replace(noise_draws=m) for m in (1, 4, math.inf)],
        ),
        (
            {"covariance": [rf.Covariance([1.0, 2.0]), MIXTURE]},
            [MODEL.replace(covariance=c) for c in (rf.Covariance([1.0, 2.0]), MIXTURE)],
        ),
    ],
)
def test_any_parameter_of_the_model_can_be_swept(over, expected):
    found = rf.sweep(MODEL, over, ["final_gap", "edges"])
    values = [rf.timescales(rf.solve(model)).final_gap for model in expected]
    np.testing.assert_array_equal(found.quantities["final_gap"], values)


def test_parameters_of_the_rule_can_be_swept():
    decays = [0.0, 1e-3, 0.1]
    found = rf.sweep(MODEL, {"weight_decay": decays}, "test", tau=TAU)
    for row, decay in zip(found.quantities["test"], decays, strict=True):
        curves = rf.solve(MODEL).learning_curves(TAU, rf.GradientFlow(weight_decay=decay))
        np.testing.assert_array_equal(row, curves.test)


# -- failures -----------------------------------------------------------------------------------


def test_what_cannot_be_computed_is_recorded_and_stops_nothing():
    """A linear network with psi_p = 1 has a hard edge at 0; a long step diverges."""
    found = rf.sweep(MODEL, {"activation": ["linear"], "psi_p": [0.5, 1.0, 2.0]}, "test", tau=[1.0])
    assert found.complete
    assert list(found.failures) == [1]
    assert found.failures[1].startswith("ConvergenceError: ")
    np.testing.assert_array_equal(found.status, [[1, 2, 1]])
    np.testing.assert_array_equal(
        np.isnan(found.quantities["test"][..., 0]), [[False, True, False]]
    )
    rule = rf.GradientDescent(step=0.5)
    found = rf.sweep(MODEL, {"step": [0.5, 1e6]}, "test", rule=rule, tau=[0.0])
    assert list(found.failures) == [1]
    assert "diverges" in found.failures[1]


@pytest.mark.parametrize(
    ("over", "quantities", "message"),
    [
        ({"psi_q": [1.0]}, "tau_mem", "psi_q.*psi_n"),
        ({"psi_n": [1.0, -1.0]}, "tau_mem", r"psi_n is -1\.0"),
        ({"psi_n": []}, "tau_mem", "at least one"),
        ([], "tau_mem", "at least one"),
        ([{"t": 1.0}, {"psi_n": 1.0}], "tau_mem", "same parameters"),
        ({"psi_n": [1.0]}, "tau_men", "tau_men.*tau_mem"),
        ({"psi_n": [1.0]}, ["tau_mem", "tau_mem"], "twice"),
        ({"psi_n": [1.0]}, [], "no quantity"),
        ({"psi_n": [1.0]}, "test", "no tau"),
        ({"power_law.atoms": [8, 16]}, "tau_mem", r"power_law\.exponent"),
        ({"weight_decay": [0.0, 0.1]}, "n_star", "without weight decay"),
    ],
)
def test_wrong_input_is_named(over, quantities, message):
    with pytest.raises(rf.ModelError, match=message):
        rf.sweep(MODEL, over, quantities)


# -- executors ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "a.h5"
    rf.sweep(MODEL, WIDE, WANTED, tau=TAU, path=path)
    return contents(path)


WIDE = {"psi_p": np.geomspace(1.5, 90.0, 7), "psi_n": np.geomspace(0.7, 30.0, 6)}
WANTED = ["tau_opt", "score_error", "edges"]


def test_threads_give_the_same_file(tmp_path, reference):
    with ThreadPoolExecutor(3) as executor:
        rf.sweep(MODEL, WIDE, WANTED, tau=TAU, path=tmp_path / "b.h5", executor=executor)
    assert contents(tmp_path / "b.h5") == reference


def test_workers_that_are_killed_give_the_same_file(tmp_path, reference):
    """Processes of the pool die while they work; their points are computed by others."""
    killed = set()

    def progress(done, total):
        assert total == 42
        if done > 9 * len(killed) and len(killed) < 2:
            victim = multiprocessing.active_children()[0]
            victim.kill()
            killed.add(victim.pid)

    path = tmp_path / "b.h5"
    rf.sweep(MODEL, WIDE, WANTED, tau=TAU, path=path, workers=2, progress=progress)
    assert len(killed) == 2
    assert contents(path) == reference
    assert multiprocessing.active_children() == []


def test_workers_that_always_die_are_given_up_and_nothing_is_lost(tmp_path):
    path = tmp_path / "a.h5"
    over = {"activation": ["tanh", "relu", deadly]}
    seen = []
    with pytest.raises(rf.WorkerError, match="died"):
        rf.sweep(
            MODEL, over, "tau_mem", path=path, workers=1,
            progress=lambda done, total: seen.append(done),
        )  # fmt: skip
    assert (tmp_path / "a.h5.points").exists()
    found = rf.sweep(
        MODEL, over, "tau_mem", path=path, progress=lambda done, total: seen.append(done)
    )
    assert seen.count(2) == 2  # before it gave up, and at the start of the second call
    assert found.complete


def test_a_lambda_is_refused_by_name(tmp_path):
    model = MODEL.replace(activation=lambda x: np.tanh(2.0 * x))
    with pytest.raises(rf.ModelError, match=r"top level of a module"):
        rf.sweep(model, {"psi_n": [1.0]}, "tau_mem", workers=1)
    assert rf.sweep(model, {"psi_n": [1.0]}, "tau_mem").complete


def test_functions_of_one_name_are_told_apart(tmp_path):
    path = tmp_path / "a.h5"
    rf.sweep(
        MODEL.replace(activation=lambda x: np.tanh(2.0 * x)), {"psi_n": [1.0]}, "tau_mem", path=path
    )
    with pytest.raises(rf.DataError, match="something else"):
        rf.sweep(
            MODEL.replace(activation=lambda x: np.tanh(3.0 * x)), {"psi_n": [1.0]}, "tau_mem",
            path=path,
        )  # fmt: skip


# -- what a file says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"workers": 2.5}, "workers is 2.5"),
        ({"executor": 1}, "executor is 1"),
        ({"progress": 1}, "progress is 1"),
        ({"overwrite": "yes"}, "overwrite is 'yes'"),
    ],
)
def test_where_is_checked_at_the_door(arguments, message):
    with pytest.raises(rf.ModelError, match=message):
        Where(**arguments)


@pytest.mark.parametrize(
    "over",
    [
        {"psi_n": [0.5, 4.0, 300.0], "t": [0.01, 0.3]},
        {"psi_p": [2.0, 8.0], "activation": ["tanh", "relu"]},
        {"power_law.exponent": [0.5, 1.0], "power_law.atoms": 8},
    ],
)
def test_compiled_points_are_those_of_the_solution(monkeypatch, over):
    """Points that share a statement, beside the same ones by ``solve``."""
    wanted = [*CURVES, "score_error_min", "gap_final"]
    tau = np.append(np.geomspace(0.1, 1e7, 80), np.inf)
    quick = rf.sweep(MODEL, over, wanted, tau=tau, rtol=1e-8)
    monkeypatch.setattr("dmft_rf.sweeps.tables.is_quick", lambda _: False)
    slow = rf.sweep(MODEL, over, wanted, tau=tau, rtol=1e-8)
    assert quick.failures == slow.failures == {}
    for name in CURVES:
        np.testing.assert_array_equal(quick.quantities[name], slow.quantities[name])
    for name in wanted[len(CURVES) :]:
        # two routes to numbers that are known to rtol
        np.testing.assert_allclose(quick.quantities[name], slow.quantities[name], rtol=2e-8)
