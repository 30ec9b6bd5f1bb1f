from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

import numpy as np
import pytest

import dmft_rf
from dmft_rf import (
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Ridge,
    ScoreModel,
    StochasticGradientDescent,
    WeightAverage,
)
from dmft_rf.cli._frame import one_blas_thread
from dmft_rf.cli._report import plain
from dmft_rf.curves.automatic_times import automatic_times
from dmft_rf.files.results import load, save
from tests.helpers.command import COMMANDS, SMALL, help_of, result, run

MODEL = ScoreModel(0.1, 8.0, 2.0)


def floats(values: Any) -> np.ndarray:
    if isinstance(values, list):
        return np.array([floats(v) for v in values])
    return np.array(math.nan if values is None else float(values))


# Numbers are those of the library -----------------------------------------------------------


def test_spectrum_agrees_with_the_library():
    found = result("spectrum", *SMALL)
    law = dmft_rf.spectrum(MODEL)
    assert np.array_equal(floats(found["results"]["edges"]), law.edges)
    assert np.array_equal(floats(found["results"]["bulk_masses"]), law.bulk_masses)
    assert np.array_equal(floats(found["results"]["atoms"]), law.atoms)
    grid = floats(found["results"]["grid"])
    assert np.array_equal(floats(found["results"]["density"]), law.density(grid))
    assert found["error_estimate"] == law.mass_error
    assert found["model"]["psi_p"] == 8.0
    assert found["model"]["noise_draws"] == "inf"


@pytest.mark.parametrize(
    ("options", "rule", "tau"),
    [
        ((), GradientFlow(), [0.0, 1.0, 50.0, math.inf]),
        (("--weight-decay", "0.1", "--initial-std", "1"), GradientFlow(0.1, 1.0), [0.0, 9.0]),
        (("--rule", "ridge", "--ridge", "0.2"), Ridge(0.2), [1.0]),
        (("--rule", "gradient-descent", "--step", "0.5"), GradientDescent(0.5), [0.0, 5.0]),
        (
            ("--rule", "heavy-ball", "--step", "0.5", "--momentum", "0.8"),
            HeavyBall(0.5, momentum=0.8),
            [0.0, 5.0, math.inf],
        ),
        (("--rule", "weight-average", "--decay-time", "7"), WeightAverage(7.0), [1.0, 70.0]),
        (("--sgd-noise", "3"), StochasticGradientDescent(3.0), [0.0, 9.0, math.inf]),
        (
            ("--sgd-noise", "2", "--step", "0.5", "--momentum", "0.5", "--batch", "4"),
            StochasticGradientDescent(2.0, 4, 0.5, finite_steps=0.5),
            [0.0, 5.0],
        ),
        (
            ("--learning-rate", "30", "--dimension", "10", "--batch", "2", "--decay-time", "4"),
            StochasticGradientDescent(1.5, 2, average=4.0),
            [5.0],
        ),
    ],
)
def test_curves_agree_with_the_library(options, rule, tau):
    found = result("curves", *SMALL, *options, "--tau", ",".join(map(str, tau)))
    curves = dmft_rf.solve(MODEL).learning_curves(tau, rule)
    for name in ("tau", "train", "test", "generalization_gap", "score_error"):
        assert np.array_equal(floats(found["results"][name]), getattr(curves, name)), name
    assert found["rule"]["rule"] == type(rule).__name__
    assert found["error_estimate"] == curves.relative_error
    assert found["rtol"] == 1e-10


def test_timescales_agree_with_the_library():
    found = result(
        "timescales", *SMALL, "--eigenvalues", "0.5,1.5", "--weights", "0.25,0.75",
        "--activation", "relu", "--rtol", "1e-8",
    )  # fmt: skip
    model = MODEL.replace(covariance=Covariance([0.5, 1.5], [0.25, 0.75]), activation="relu")
    times = dmft_rf.timescales(dmft_rf.solve(model, 1e-8))
    for name, value in found["results"].items():
        np.testing.assert_equal(floats(value), times.values[name])
        np.testing.assert_equal(floats(found["errors"][name]), times.error[name])
    start, end = times.usable()
    assert found["usable"] == {"factor": 1.1, "start": start, "end": end}
    assert found["definitions"] == times.definitions
    assert found["covariance"]["weights"] == [0.25, 0.75]


def test_timescales_under_sgd(tmp_path):
    """The options of curves, the rule in the answer, and the picture."""
    picture = tmp_path / "a.png"
    noise = ("--sgd-noise", "0.2", "--decay-time", "3")
    found = result("timescales", *SMALL, *noise, "--plot", picture)
    rule = StochasticGradientDescent(0.2, average=3.0)
    times = dmft_rf.timescales(dmft_rf.solve(MODEL), rule=rule)
    for name, value in found["results"].items():
        np.testing.assert_equal(floats(value), times.values[name])
    assert found["definitions"] == times.definitions
    assert found["rule"]["rule_noise"] == 0.2
    assert picture.stat().st_size > 10_000
    real = ("--learning-rate", "4", "--batch", "2", "--dimension", "10")
    found = result("timescales", *SMALL, *real)
    rule = StochasticGradientDescent.from_run(learning_rate=4.0, batch=2, dimension=10)
    times = dmft_rf.timescales(dmft_rf.solve(MODEL), rule=rule)
    assert floats(found["results"]["tau_mem"]) == times.tau_mem
    assert floats(found["steps"]["tau_mem"]["paper"]) == pytest.approx(times.tau_mem * 100 / 4)


def test_nothing_to_memorize_is_said_and_not_dated():
    found = result("timescales", "--psi-n", "1e6", "--rtol", "1e-8")
    assert found["memorizes"] is False
    assert found["results"]["tau_mem"] is found["results"]["window"] is None
    assert "nothing to memorize" in found["reasons"]["tau_mem"].lower()
    text = " ".join(run("timescales", "--psi-n", "1e6", "--rtol", "1e-8").stdout.split())
    assert "Nothing to memorize" in text
    assert "tau_mem none" in text
    assert "when to stop any time from tau = 332.3 on" in text


def test_when_to_stop_comes_first():
    text = " ".join(run("timescales").stdout.split())
    assert "when to stop between tau = 112.5 and 158, best at 132.8" in text
    assert text.index("when to stop") < text.index("tau_gen")


def test_steps_follow_the_learning_rate():
    found = result("timescales", *SMALL, "--learning-rate", "0.5", "--dimension", "100")
    tau = found["results"]["tau_opt"]
    assert found["steps"]["tau_opt"]["paper"] == pytest.approx(tau * 100**2 / 0.5)
    assert found["steps"]["tau_opt"]["no_sqrt_p"] == pytest.approx(tau * 100 / (0.5 * 8.0))
    text = run("timescales", *SMALL, "--learning-rate", "0.5", "--dimension", "100").stdout
    assert "steps" in text


@pytest.mark.parametrize(
    ("over", "start", "stop"), [("psi_n", 1, 4), ("psi_p", 4, 16), ("t", 0.05, 0.2)]
)
def test_scaling_agrees_with_the_library(over, start, stop):
    options = ("--over", over, "--from", str(start), "--to", str(stop), "--points", "3")
    found = result("scaling", *SMALL, *options)
    sweep = dmft_rf.scaling(MODEL, over, found["results"]["values"])
    np.testing.assert_allclose(found["results"]["values"], np.geomspace(start, stop, 3))
    for name, values in sweep.quantities.items():
        np.testing.assert_equal(floats(found["results"]["quantities"][name]), values)
        np.testing.assert_equal(
            floats(found["results"]["local_exponents"][name]), sweep.local_exponents[name]
        )
    for name, fit in sweep.fits.items():
        assert found["results"]["fits"][name]["exponent"] == fit.exponent
    assert over not in found["model"]


def test_default_ranges_of_a_sweep():
    found = result("scaling", "--points", "3", *SMALL)
    assert found["results"]["values"] == pytest.approx([8 / 64, 0.7071067811865476, 4.0])


def test_a_swept_power_law_is_what_the_head_states(tmp_path):
    options = ("scaling", *SMALL, "--over", "power-law", "--atoms", "16", "--points", "3")
    text = " ".join(run(*options).stdout.split())
    law = Covariance.power_law(2.0, 16)
    assert "power law: 16 eigenvalues proportional to k^-alpha, mean 1; alpha is swept" in text
    assert f"16.0 at alpha = 0 and {law.effective_dimension:.1f} at 2" in text
    found = result(*options)
    assert "eigenvalues" not in found["covariance"]
    assert "d_eff" not in found["model"]


def test_every_quantity_of_a_scaling_is_defined():
    answer = run("scaling", *SMALL, "--points", "3")
    found = result("scaling", *SMALL, "--points", "3")
    assert found["definitions"].keys() == found["results"]["quantities"].keys()
    for name in found["definitions"]:
        assert f"\n{name}: " in answer.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_table_states_model_and_accuracy(command):
    few = ("--points", "3") if command == "scaling" else ()
    answer = run(command, *SMALL, "--eigenvalues", "0.5,1.5", *few)
    assert answer.exit_code == 0, answer.output
    assert "psi_p = 8" in answer.stdout
    assert "accuracy" in answer.stdout
    assert "d_eff = 0.8 d" in answer.stdout
    assert not any(line != line.rstrip() for line in answer.stdout.splitlines())


def test_times_chosen_automatically():
    found = result("curves", *SMALL)
    tau = floats(found["results"]["tau"])
    solution = dmft_rf.solve(MODEL)
    low, high = solution.diagnostics["support"]
    assert tau[0] == 0.0
    assert tau[-1] == math.inf
    assert tau[1] <= 0.03 / (MODEL.rate * high)
    assert tau[-2] >= 30.0 / (MODEL.rate * low)
    assert np.all(np.diff(tau[:-1]) > 0)
    for rule in (GradientDescent(0.3), HeavyBall(0.3)):
        steps = automatic_times(solution, rule)[1:-1] / 0.3
        np.testing.assert_allclose(steps, np.rint(steps), rtol=1e-12)
    assert np.array_equal(automatic_times(solution, Ridge()), [math.inf])
    table = run("curves", *SMALL).stdout
    assert f"of {tau.size} times shown" in table
    # the atom at s_t^2 holds what it was given at the start
    late = automatic_times(solution, GradientFlow(initial_std=1.0))[-2]
    assert late >= 30.0 / (MODEL.rate * solution.spectrum.atoms[0, 0])


def test_json_has_no_constants_outside_the_standard():
    assert plain({"a": [math.nan, math.inf, -math.inf], "b": np.array([1.5, np.nan])}) == {
        "a": [None, "inf", "-inf"],
        "b": [1.5, None],
    }
    assert plain((np.float64(0.1), np.int64(3), np.bool_(True))) == [0.1, 3, True]


def test_a_law_of_many_bulks_is_cut_in_the_table():
    values = ",".join(f"{10.0**k:g}" for k in np.linspace(-6, 6, 60))
    answer = run("spectrum", "--psi-n", "1000", "--psi-p", "4000", "--eigenvalues", values)
    assert answer.exit_code == 0, answer.output
    assert "rows shown" in answer.stdout


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_out_and_plot_hold_the_printed_result(tmp_path, command):
    few = ("--points", "3") if command == "scaling" else ()
    out, plot = tmp_path / "a.h5", tmp_path / "a.pdf"
    found = result(command, *SMALL, *few, "--out", out, "--plot", plot)
    runs = load(out)
    assert set(runs) == ({"scaling", "points"} if command == "scaling" else {command})
    stored = runs[command]
    assert stored.kind == command
    assert stored.attributes["wall_time_seconds"] > 0.0
    assert stored.attributes["eigenvalues_divided_by"] is None
    if command == "curves":
        assert np.array_equal(stored.arrays["test"], floats(found["results"]["test"]))
    if command == "timescales":
        assert stored.attributes["tau_mem"] == found["results"]["tau_mem"]
    if command == "scaling":
        assert stored.attributes["rtol"] == 1e-10
        stored_times = stored.arrays["tau_mem"]
        assert np.array_equal(stored_times, floats(found["results"]["quantities"]["tau_mem"]))
    assert plot.read_bytes().startswith(b"%PDF-")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.pdf"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_picture_is_made_anew(tmp_path, command):
    """As by the README's first command, given twice; the numbers of --out stay protected."""
    few = ("--points", "3") if command == "scaling" else ()
    plot = tmp_path / "a.png"
    plot.write_bytes(b"\x89PNG of yesterday")
    for _ in range(2):
        answer = run(command, *SMALL, *few, "--plot", plot)
        assert answer.exit_code == 0, answer.output
        assert len(plot.read_bytes()) > 5000
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert "made anew" in help_of(command)


def test_overwrite_replaces_both_files(tmp_path):
    out, plot = tmp_path / "a.h5", tmp_path / "a.png"
    out.write_text("old")
    plot.write_text("old")
    answer = run("spectrum", *SMALL, "--out", out, "--plot", plot, "--overwrite")
    assert answer.exit_code == 0, answer.output
    assert load(out)
    assert plot.read_bytes().startswith(b"\x89PNG")


# Help and the installed command -------------------------------------------------------------


def test_the_default_sweep_shows_a_law():
    """psi_p = inf, psi_n = 1 to 1024: tau_mem ~ n, as far as the exponent is within 0.05 of one."""
    found = result("scaling", "--points", "4")
    assert found["results"]["values"] == [
        1.0,
        pytest.approx(10.0, rel=0.01),
        pytest.approx(101.6, rel=0.01),
        1024.0,
    ]
    law = found["results"]["fits"]["tau_mem"]
    assert law["decades"] > 2.0
    assert 0.99 < law["exponent_low"] <= law["exponent"] <= law["exponent_high"] < 1.09
    text = run("scaling", "--points", "4").stdout
    assert f"{law['exponent']:+.3f} ({law['exponent_low']:+.2f} to" in text
    assert "+-" not in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom dmft_rf.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'numba', 'matplotlib', 'h5py', 'sympy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_small_matrices_get_one_thread(monkeypatch, tmp_path):
    kept = tmp_path / "law.h5"
    save(kept, Covariance([0.5, 1.5]))
    names = {"OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    for name in (*names, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def chosen(data: str | None, **given: str) -> dict[str, str]:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        before = dict(os.environ)
        one_blas_thread(data)
        new = {key: os.environ[key] for key in os.environ.keys() - before.keys()}
        for name in (*given, *new):
            monkeypatch.delenv(name)
        return new

    assert chosen(None) == {}  # numpy is there already: it would only mislead
    monkeypatch.delitem(sys.modules, "numpy")
    assert chosen(None) == chosen("digits") == dict.fromkeys(names, "1")
    assert chosen("samples.npy") == {}
    assert chosen(str(kept)) == chosen(None)
    assert chosen(None, OMP_NUM_THREADS="4") == {}


def test_the_installed_command(tmp_path, warm_matplotlib):
    script = shutil.which("dmft-rf", path=sysconfig.get_path("scripts"))
    assert script is not None
    answer = subprocess.run(
        [script, "timescales", *SMALL, "--json", "--plot", str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["command"] == "timescales"
    answer = subprocess.run(
        [sys.executable, "-m", "dmft_rf", "curves", "--t", "-1"], capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "error: t is -1.0; it must be finite and > 0\n"
