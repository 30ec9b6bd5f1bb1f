from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass

import h5py
import numpy as np
import pytest

import dmft_rf
from dmft_rf import (
    DataError,
    GradientFlow,
    HeavyBall,
    Mixture,
    ModelError,
    Ridge,
    ScoreModel,
    WeightAverage,
)
from dmft_rf.files import results as store_module
from dmft_rf.files.results import SCHEMA, load, save
from dmft_rf.pencil import zoo
from dmft_rf.store import load_results
from tests.helpers.results import LAW, MODEL

# What is stored -----------------------------------------------------------------------------


def test_one_file_holds_every_kind_and_gives_it_back_exactly(tmp_path, solution, results):
    path = tmp_path / "runs.h5"
    save(path, results, solution=solution)
    runs = load(path)
    assert set(runs) == set(results)
    assert all(run.kind == name for name, run in runs.items())
    curves, law, sweep = results["curves"], results["spectrum"], results["scaling"]
    for name in ("tau", "train", "test", "generalization_gap", "score_error"):
        stored = runs["curves"].arrays[name]
        assert stored.dtype == np.float64
        assert stored.shape == (2, 2)
        assert stored.tobytes() == getattr(curves, name).tobytes()
    for name, error in curves.error.items():
        assert np.array_equal(runs["curves"].arrays[f"{name}_error"], error)
    for name in ("edges", "bulk_masses", "atoms", "learning_bulks"):
        assert np.array_equal(runs["spectrum"].arrays[name], getattr(law, name))
    assert np.array_equal(
        runs["spectrum"].arrays["density"], law.density(runs["spectrum"].arrays["grid"])
    )
    for name, values in sweep.quantities.items():
        assert np.array_equal(runs["scaling"].arrays[name], values, equal_nan=True)
        assert np.array_equal(
            runs["scaling"].arrays[f"{name}_exponent"], sweep.local_exponents[name], equal_nan=True
        )
    assert np.array_equal(runs["scaling"].arrays["values"], sweep.values)
    for name, fit in sweep.fits.items():
        assert runs["scaling"].attributes[f"fit_{name}_exponent"] == fit.exponent
        assert runs["scaling"].attributes[f"fit_{name}_holds"] == fit.holds
    for name in ("tau_gen", "tau_opt", "tau_mem", "window", "test_min", "final_gap"):
        value = runs["timescales"].attributes[name]
        np.testing.assert_equal(value, getattr(results["timescales"], name))
    definitions = results["timescales"].definitions
    assert runs["timescales"].attributes["definition_tau_mem"] == definitions["tau_mem"]


def test_every_run_states_its_parameters_and_provenance(tmp_path, solution, results):
    path = tmp_path / "runs.h5"
    save(path, results, solution=solution, extra={"note": "x", "flag": True, "nothing": None})
    with h5py.File(path) as file:
        assert file.attrs["dmft_rf_schema"] == SCHEMA
    for run in load(path).values():
        a = run.attributes
        assert (a["t"], a["psi_p"], a["psi_n"], a["activation"]) == (0.02, 12.0, 3.0, "erf")
        assert a["noise_draws"] == math.inf
        assert (a["covariance_label"], a["dimension"], a["samples"]) == ("two atoms", 40, 400)
        assert a["d_eff"] == LAW.effective_dimension
        assert a["expected_finite_size_error"] == LAW.expected_finite_size_error
        assert a["package_version"] == dmft_rf.__version__
        assert re.fullmatch(r"unknown|[0-9a-f]{40}(-dirty)?", a["git_commit"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", a["created_utc"])
        assert (a["note"], a["flag"], a["nothing"]) == ("x", True, None)
        assert np.array_equal(run.arrays["eigenvalues"], LAW.eigenvalues)
        assert np.array_equal(run.arrays["weights"], LAW.weights)
        assert run.model() == MODEL
    a = load(path)["timescales"].attributes
    assert a["rtol"] == solution.rtol
    assert a["error_estimate"] == solution.error_estimate
    assert a["wall_time_seconds"] == solution.diagnostics["seconds"]


def test_curves_of_sgd_are_stored_with_their_noise(tmp_path, solution):
    """What is set of the rule, a schedule as its text, and the parts of the losses."""
    schedule = dmft_rf.schedules.InverseTime(2.0, 50.0)
    rule = dmft_rf.StochasticGradientDescent(schedule, average=3.0)
    curves = solution.learning_curves([1.0, 20.0], rule)
    save(tmp_path / "a.h5", {"run": curves})
    (run,) = load(tmp_path / "a.h5").values()
    assert run.attributes["rule"] == "StochasticGradientDescent"
    assert run.attributes["rule_noise"] == "InverseTime(start=2.0, decay_time=50.0)"
    assert run.attributes["rule_average"] == 3.0
    assert "rule_finite_steps" not in run.attributes
    for name in ("test", "train_noise", "test_noise", "load"):
        assert np.array_equal(run.arrays[name], getattr(curves, name))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (GradientFlow(0.1, 0.2), {"rule_weight_decay": 0.1, "rule_initial_std": 0.2}),
        (Ridge(0.3), {"rule_weight": 0.3}),
        (WeightAverage(5.0), {"rule_decay_time": 5.0, "rule_weight_decay": 0.0}),
        (HeavyBall(0.5, momentum=0.8), {"rule_step": 0.5, "rule_momentum": 0.8}),
    ],
)
def test_the_rule_and_its_parameters_are_stored(tmp_path, solution, rule, expected):
    save(tmp_path / "a.h5", solution.learning_curves([0.0, 10.0], rule))
    a = load(tmp_path / "a.h5")["curves"].attributes
    assert a["rule"] == type(rule).__name__
    assert expected.items() <= a.items()


def test_unknown_dimension_comes_back_as_none(tmp_path):
    save(tmp_path / "a.h5", dmft_rf.spectrum(ScoreModel(0.1, 4.0, 2.0)))
    run = load(tmp_path / "a.h5")["spectrum"]
    assert run.attributes["dimension"] is None
    assert run.attributes["d_eff"] is None
    assert run.model() == ScoreModel(0.1, 4.0, 2.0)


def test_a_function_of_the_user_cannot_come_back(tmp_path):
    def bent(x):
        return np.tanh(x) + 0.1 * x

    save(tmp_path / "a.h5", dmft_rf.spectrum(ScoreModel(0.1, 4.0, 2.0, bent)))
    run = load(tmp_path / "a.h5")["spectrum"]
    assert run.attributes["activation"] == "bent"
    with pytest.raises(ModelError, match="bent"):
        run.model()


def test_results_are_made_again_from_their_file(tmp_path, solution, results):
    heavy = solution.learning_curves([0.0, 0.5, 5.0], HeavyBall(0.5, momentum=0.8))
    parts, times = dmft_rf.error_parts(solution, [0.0, 5.0]), dmft_rf.error_times(solution)
    slopes = dmft_rf.derivatives(solution, [0.0, 5.0], ("psi_p", "tau", "eigenvalues"), Ridge(0.1))
    steps = np.geomspace(1.0, 1e4, 6)
    curves = solution.learning_curves(steps)
    run = {"steps": steps, "train": curves.train, "train_error": 0.01 * curves.train}
    fitted = dmft_rf.fit(run, MODEL, ("psi_n", "rate"), rate=1.1, rtol=1e-5)
    kept = {**results, "heavy": heavy, "parts": parts, "times": times}
    kept |= {"slopes": slopes, "fitted": fitted}
    save(tmp_path / "a.h5", kept, solution=solution)
    again = load_results(tmp_path / "a.h5")
    assert again.keys() == kept.keys()
    for name, result in kept.items():
        assert type(again[name]) is type(result)
        assert again[name] == result, name
    mixed = ScoreModel(0.1, 4.0, 2.0, "relu", Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]]), 2)
    save(tmp_path / "mixed.h5", dmft_rf.spectrum(mixed))
    assert load_results(tmp_path / "mixed.h5")["spectrum"].model == mixed


def test_sweeps_and_diagrams_are_made_again_from_their_file(tmp_path):
    over = {"activation": ["tanh", "erf"], "psi_n": [2.0, 1e300], "t": 0.1}
    swept = dmft_rf.sweep(
        MODEL,
        over,
        ["train", "edges", "bulks"],
        rule=HeavyBall(0.5, momentum=0.8),
        tau=[0.5],
        rtol=1e-6,
        path=tmp_path / "s.h5",
    )
    assert swept.failures
    assert load_results(tmp_path / "s.h5") == {"sweep": swept}
    plane = {"psi_n": [1.0, 2.0], "tau": [1.0, 10.0]}
    diagram = dmft_rf.phase_diagram(MODEL, plane, path=tmp_path / "p.h5")
    again = load_results(tmp_path / "p.h5")
    assert again["phases"] == diagram
    assert again["map"] == diagram.sweeps["map"]


def test_what_no_file_can_hold_is_not_made_again(tmp_path, solution):
    @dataclass(frozen=True)
    class Mine(GradientFlow):
        pass

    save(tmp_path / "a.h5", solution.learning_curves([1.0], Mine()))
    with pytest.raises(DataError, match="Mine is none of this package"):
        load_results(tmp_path / "a.h5")
    save(tmp_path / "p.h5", zoo.semicircle().bind().spectrum())
    with pytest.raises(DataError, match="'pencil' cannot be made again"):
        load_results(tmp_path / "p.h5")


def test_a_result_says_itself_how_it_is_stored(tmp_path, solution):
    class Counts:
        kind = "counts"

        def stored(self):
            attributes, arrays = MODEL.stored()
            return {**attributes, "of": "a test"}, {**arrays, "counts": np.arange(3)}

    save(tmp_path / "a.h5", Counts())
    run = load(tmp_path / "a.h5")["counts"]
    assert (run.kind, run.attributes["of"], run.model()) == ("counts", "a test", MODEL)
    assert run.arrays["counts"].tolist() == [0, 1, 2]


def test_a_file_is_read_without_what_made_it(tmp_path, results):
    save(tmp_path / "a.h5", results["spectrum"])
    code = (
        "import sys; from dmft_rf.store import load\n"
        f"run = load({str(tmp_path / 'a.h5')!r})['spectrum']\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('dmft_rf.')}\n"
        "assert not rooms & {'model', 'spectra', 'curves', 'sweeps', 'pencil', 'kernels'}, rooms\n"
        "assert run.model().psi_p == 12.0\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('dmft_rf.')}\n"
        "assert not rooms & {'spectra', 'curves', 'sweeps', 'pencil'}, rooms\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_single_time_and_no_time_are_stored(tmp_path, solution):
    curves = {"one": solution.learning_curves(3.0), "none": solution.learning_curves([])}
    save(tmp_path / "a.h5", curves)
    runs = load(tmp_path / "a.h5")
    assert runs["one"].arrays["tau"].shape == ()
    assert runs["one"].arrays["test"] == curves["one"].test
    assert runs["none"].arrays["test"].shape == (0,)


# What cannot be stored ----------------------------------------------------------------------


def test_only_results_are_stored(tmp_path, results):
    with pytest.raises(ModelError, match="ScoreModel"):
        save(tmp_path / "a.h5", MODEL)
    with pytest.raises(DataError, match="no result"):
        save(tmp_path / "a.h5", {})
    with pytest.raises(DataError, match="cannot name a run"):
        save(tmp_path / "a.h5", {"a/b": results["spectrum"]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"t": 1.0}, "t is stored already"),
        ({"a": [1]}, "a is a list"),
        ({"": 1}, "cannot name"),
        ({"a": 2**70}, "64 bits"),
        ({"a": "x\0y"}, "null character"),
    ],
)
def test_bad_extras_are_refused(tmp_path, results, extra, message):
    with pytest.raises(DataError, match=message):
        save(tmp_path / "a.h5", results["spectrum"], extra=extra)
    assert list(tmp_path.iterdir()) == []


# Provenance ---------------------------------------------------------------------------------


def test_the_commit_is_unknown_outside_a_checkout_or_without_git(tmp_path, monkeypatch):
    store_module.git_commit.cache_clear()
    package = tmp_path / "dmft_rf" / "files"
    package.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "__file__", str(package / "results.py"))
        assert store_module.git_commit() == "unknown"
        store_module.git_commit.cache_clear()
        (tmp_path / ".git").mkdir()
        for error in (FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)):

            def missing(*_args, error=error, **_kwargs):
                raise error

            patch.setattr(subprocess, "run", missing)
            assert store_module.git_commit() == "unknown"
            store_module.git_commit.cache_clear()


def test_the_commit_is_read_without_writing_to_the_repository(tmp_path, monkeypatch):
    def git(*command):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        run = ["git", *who, "-C", str(tmp_path), *command]
        # neither another repository nor the habits of who runs the tests
        alone = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        alone |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(run, check=True, capture_output=True, env=alone)

    package = tmp_path / "dmft_rf" / "files"
    package.mkdir(parents=True)
    (package / "results.py").write_text("one")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    monkeypatch.setattr(store_module, "__file__", str(package / "results.py"))
    index = tmp_path / ".git" / "index"
    os.utime(package / "results.py", (1.0, 1.0))  # the index would be refreshed
    before = index.read_bytes()
    store_module.git_commit.cache_clear()
    clean = store_module.git_commit()
    assert re.fullmatch("[0-9a-f]{40}", clean)
    assert index.read_bytes() == before
    (package / "results.py").write_text("two")
    store_module.git_commit.cache_clear()
    assert store_module.git_commit() == clean + "-dirty"
    assert index.read_bytes() == before
    store_module.git_commit.cache_clear()
