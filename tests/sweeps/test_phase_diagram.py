"""Phase diagrams: maps are the solver's, regions agree with the curves at every point."""

import contextlib
import math
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dmft_rf import DataError, ModelError, ScoreModel, phase_diagram, solve, sweep, timescales
from dmft_rf.files.results import load
from dmft_rf.plotting.phases import plot_phase_diagram
from dmft_rf.sweeps.results import REGIONS, TIME_REGIONS
from tests.helpers.command import refused, result, run
from tests.helpers.sweeping import completed, contents, environment, interrupted, limited

MODEL = ScoreModel(0.05, 16.0, 4.0)
N = np.geomspace(2.0, 2000.0, 7)
PLANES = {
    "psi_p": {"psi_n": N, "psi_p": np.geomspace(1.0, 64.0, 5)},
    "t": {"psi_n": N, "t": np.geomspace(0.01, 0.5, 5)},
    "tau": {"psi_n": N, "tau": np.geomspace(1.0, 1e6, 25)},
}


@pytest.fixture(scope="module", params=PLANES)
def diagram(request):
    return phase_diagram(MODEL, PLANES[request.param], tau=None, level=0.15, multiple=2.0)


def test_maps_are_those_of_the_solver(diagram):
    for i, j in ((0, 0), (2, 3), (6, 4)):
        psi_n, other = diagram.axes["psi_n"][i], diagram.axes[diagram.y][j]
        model = MODEL.replace(psi_n=psi_n)
        where = (i,) if diagram.y == "tau" else (i, j)
        if diagram.y != "tau":
            model = model.replace(**{diagram.y: other})
        solution = solve(model)
        curves = solution.learning_curves(diagram.tau)
        best = timescales(solution).score_error_min
        np.testing.assert_allclose(
            diagram.relative_gap[where], curves.generalization_gap / (1.0 - model.floor),
            rtol=1e-5, atol=1e-5,
        )  # fmt: skip
        np.testing.assert_allclose(diagram.ratio[where], curves.score_error / best, rtol=1e-5)


def test_regions_agree_with_the_curves_at_every_point(diagram):
    """Regions come from roots in n or tau; here each point is asked for itself."""
    assert diagram.failures == {}
    assert diagram.regions.shape == tuple(a.size for a in diagram.axes.values())
    if diagram.y == "tau":
        assert diagram.region_names == TIME_REGIONS
        memorizes = diagram.relative_gap >= diagram.level
        np.testing.assert_array_equal(diagram.regions == 2, memorizes)
        found = sweep(MODEL, {"psi_n": N}, "tau_gen").quantities["tau_gen"]
        learns = diagram.axes["tau"] < found[:, None]
        np.testing.assert_array_equal(diagram.regions == 0, learns & ~memorizes)
    else:
        assert diagram.region_names == REGIONS
        found = sweep(MODEL, diagram.axes, ["gap_window", "gap_final"], multiple=2.0).quantities
        np.testing.assert_array_equal(diagram.regions == 0, found["gap_window"] > 0.15)
        np.testing.assert_array_equal(diagram.regions == 2, found["gap_final"] <= 0.15)
    assert set(np.unique(diagram.regions)) == {0, 1, 2}  # the plane shows all of them


def test_boundaries_are_where_the_definitions_say(diagram):
    level = diagram.level
    if diagram.y == "tau":
        for psi_n, gen, best, end in zip(
            N, *(diagram.boundaries[name] for name in ("tau_gen", "tau_opt", "tau_overfit")),
            strict=True,
        ):  # fmt: skip
            model = MODEL.replace(psi_n=psi_n)
            times = timescales(solve(model))
            assert gen == pytest.approx(times.tau_gen, rel=1e-4)
            assert best == pytest.approx(times.tau_opt, rel=1e-2)
            if math.isinf(end):
                assert psi_n > diagram.boundaries["n_star"]
                continue
            gap = solve(model).learning_curves(end).generalization_gap
            assert float(gap) == pytest.approx(level * (1.0 - model.floor), rel=1e-4)
        return
    for k, value in enumerate(diagram.axes[diagram.y]):
        for name, quantity in (("n_window", "gap_window"), ("n_star", "gap_final")):
            psi_n = diagram.boundaries[name][k]
            found = sweep(
                MODEL, {"psi_n": [psi_n], diagram.y: value}, quantity, multiple=2.0
            ).quantities[quantity][0]
            assert found == pytest.approx(level, rel=1e-3)


def test_definitions_are_those_of_the_plane(diagram):
    """Of regions and boundaries, and of what a definition refers to: no more, no less."""
    definitions = diagram.definitions
    shown = {*diagram.region_names, *diagram.boundaries, "relative_gap", "ratio"}
    used = {
        name
        for name in definitions.keys() - shown
        if any(name in text for key, text in definitions.items() if key != name)
    }
    assert definitions.keys() == shown | used
    # regions are told apart by the time in one plane, by the multiple c in the others
    text = definitions["memorization"]
    assert ("c tau_gen" in text) == (diagram.y != "tau")
    assert ("tau_overfit" in text) == (diagram.y == "tau")


def test_the_grid_of_the_map_does_not_move_the_boundary():
    fine = phase_diagram(MODEL, {"psi_n": [3.0], "psi_p": [4.0]}, tau=[1.0])
    rough = phase_diagram(MODEL, {"psi_n": [1.0, 1e3], "psi_p": [1.0, 4.0, 9.0]}, tau=[10.0])
    for name in ("n_window", "n_star"):
        assert fine.boundaries[name][0] == rough.boundaries[name][1]


def test_without_nonlinearity_nothing_is_unknown():
    """A linear network: a point that cannot be solved is nan, its boundary unknown, and told."""
    model = MODEL.replace(activation="linear")
    found = phase_diagram(model, {"psi_n": [2.0, 50.0], "psi_p": [0.5, 1.0]}, tau=[1.0])
    assert np.all(found.regions[:, 0] >= 0)
    assert np.all(found.regions[:, 1] == -1)
    assert np.all(np.isnan(found.relative_gap[:, 1]))
    assert {name.split()[0] for name in found.failures} == {"map", "boundary"}


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"psi_n": [1.0]}, "plane"),
        ({"psi_p": [1.0], "t": [0.1]}, "plane"),
        ({"psi_n": [1.0], "momentum": [0.1]}, "plane"),
        ({"psi_n": [1.0], "t": [0.0]}, "t is"),
        ({"psi_n": [1.0, math.inf], "t": [0.1]}, "psi_n is"),
        ({"psi_n": [], "t": [0.1]}, "psi_n is"),
    ],
)
def test_wrong_planes_are_named(over, message):
    with pytest.raises(ModelError, match=message):
        phase_diagram(MODEL, over)


def test_files_are_completed_and_equal(tmp_path):
    path, plain = tmp_path / "a.h5", tmp_path / "plain.h5"
    interrupted(12, phase_diagram, MODEL, PLANES["psi_p"], path=path)
    first, there = completed(phase_diagram, MODEL, PLANES["psi_p"], path=path, workers=2)
    assert 12 <= there < 40
    with ThreadPoolExecutor(3) as threads:
        phase_diagram(MODEL, PLANES["psi_p"], path=plain, executor=threads)
    assert contents(path) == contents(plain)
    again = phase_diagram(MODEL, PLANES["psi_p"], path=path)
    np.testing.assert_array_equal(again.regions, first.regions)
    np.testing.assert_array_equal(again.relative_gap, first.relative_gap)
    run = load(path)["phases"]
    assert run.kind == "phase-diagram"
    assert run.attributes["level"] == 0.1
    np.testing.assert_array_equal(run.arrays["boundary_n_star"], first.boundaries["n_star"])
    with pytest.raises(DataError, match="something else"):
        phase_diagram(MODEL, PLANES["t"], path=path)


def test_picture(diagram):
    figure = plot_phase_diagram(diagram)
    figure.canvas.draw()
    ax = figure.axes[0]
    assert len({line.get_label() for line in ax.get_lines()}) >= len(diagram.boundaries)
    places = {text.get_text().replace("\n", " "): text.get_position() for text in ax.texts}
    finite = np.isfinite(diagram.axes[diagram.y])
    present = {diagram.region_names[k] for k in np.unique(diagram.regions[:, finite]) if k >= 0}
    assert set(diagram.region_names) & set(places) == present
    for name in present:  # each region is named inside
        i, j = (
            int(np.argmin(np.abs(axis - place)))
            for axis, place in zip(diagram.axes.values(), places[name], strict=True)
        )
        assert diagram.region_names[diagram.regions[i, j]] == name


@pytest.mark.parametrize(
    "axes",
    [{"psi_n": [1.0, 4.0], "psi_p": [2.0, 8.0]}, {"psi_n": [1.0, 4.0], "psi_p": [1.0, 64.0]}],
)
def test_a_corner_where_the_bulk_reaches_down_to_zero(axes):
    """p = n m: no slowest mode, but a map with the times of all but the last per cent."""
    model = ScoreModel(0.01, 64.0, 8.0, noise_draws=2 if axes["psi_p"][0] == 2.0 else 1)
    found = phase_diagram(model, axes)
    assert found.regions.shape == (2, 2)
    tau = found.sweeps["map"].request["tau"]
    assert np.all(np.isfinite(tau[:-1]))


# -- the command --------------------------------------------------------------------------------

COMMAND = [sys.executable, "-W", "error", "-m", "dmft_rf", "phase-diagram", "--n-points", "4"]


def test_command(tmp_path, warm_matplotlib):
    few, out = ("phase-diagram", "--n-points", 4, "--points", 3), tmp_path / "a.h5"
    found = result(*few, "--out", out, "--plot", tmp_path / "a.png")["results"]
    expected = phase_diagram(
        ScoreModel(0.01, 64, 8),
        {"psi_n": np.geomspace(1, 4096, 4), "psi_p": np.geomspace(1, 256, 3)},
    )
    assert found["regions"] == expected.regions.tolist()
    assert found["boundaries"]["n_star"] == expected.boundaries["n_star"].tolist()
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "architectural regularization" in run(*few, "--out", out).stdout
    assert result(*few, "--threads", 2)["results"] == found


@pytest.mark.parametrize("plane", ["n-p", "n-t", "n-tau"])
def test_footnotes_explain_what_is_in_the_tables(plane):
    """Each term of a table has a definition, and each definition a term of a table."""
    arguments = ["phase-diagram", "--plane", plane, "--n-points", "3", "--points", "3"]
    answer = run(*arguments)
    assert (answer.exit_code, answer.stderr) == (0, "")
    tables, _, notes = answer.stdout.partition("\n\ng = ")
    regions, boundaries = tables.split("Boundaries")
    title, columns = boundaries.splitlines()[:2]
    terms = {*columns.split()[1:], *re.findall(r"(\w+) = ", title)}
    names = [*REGIONS, *TIME_REGIONS]
    rows = [line for line in regions.splitlines() if line.startswith(tuple(names))]
    assert len(rows) == 3
    explained = set(re.findall(r"^(\w+): ", notes, re.MULTILINE))
    within = {name for name in ("tau_gen",) if name in regions + notes}
    assert explained == terms | within
    assert "tau_mem" not in answer.stdout
    for word in ("c tau_gen", "tau_overfit"):
        assert (word in answer.stdout) == ((plane == "n-tau") == (word == "tau_overfit"))
    found = result(*arguments)
    results, definitions = found["results"], found["definitions"]
    assert terms == set(results["boundaries"])
    assert {*terms, *results["region_names"], *within} == definitions.keys() - {
        "relative_gap",
        "ratio",
    }
    for row, name in zip(rows, results["region_names"], strict=True):
        assert row.startswith(name)
        assert definitions[name][:20] in row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plane", "p-n"], "--plane"),
        (["--n-from", "0"], "--n-from"),
        (["--from", "3", "--to", "2"], "--from"),
        (["--points", "0"], "--points"),
        (["--workers", "0"], "--workers"),
        (["--workers", "1", "--dask", "x"], "--dask"),
        (["--threads", "0"], "--threads"),
        (["--threads", "2", "--workers", "2"], "--threads and --workers"),
        (["--multiple", "1e-320"], "multiple is"),
        (["--multiple", "1e300"], "multiple is"),
        (["--level", "0"], "level is 0.0"),
        (["--out", "a.txt"], "a.txt"),
        (["--psi-p", "-1"], "psi_p"),
    ],
)
def test_wrong_values_are_one_line_and_exit_2(arguments, message):
    assert message in refused("phase-diagram", *arguments)


def as_in_a_terminal():
    """Ctrl-C is heard, also where the tests were started in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def collect(terminal, shown):
    """Read what a terminal shows to its end; one that nobody reads holds up who writes to it."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            shown.append(part)


def test_interrupted_command_says_where_its_points_are_and_completes(tmp_path):
    """On a terminal: a bar with rate and remaining time, and nothing of it on stdout."""
    path = tmp_path / "a.h5"
    master, slave = pty.openpty()
    # so many points that it cannot end before it is interrupted
    command = [*COMMAND, "--n-points", "500", "--out", str(path)]
    with subprocess.Popen(
        command, env={**environment(), "COLUMNS": "100", "TERM": "xterm"},
        stdout=subprocess.PIPE, stderr=slave, text=True,
        start_new_session=True, preexec_fn=as_in_a_terminal,
    ) as process, limited(process):  # fmt: skip
        os.close(slave)
        shown = []
        reader = threading.Thread(target=collect, args=(master, shown))
        reader.start()
        journal = tmp_path / "a.h5.points"
        while not (journal.exists() and journal.stat().st_size > 50_000):
            time.sleep(0.02)
            assert process.poll() is None
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        reader.join()
        assert process.wait(30) == 130
        assert process.stdout.read() == ""
    os.close(master)
    text = b"".join(shown).decode()
    assert "/s" in text
    assert "phase diagram" in text
    assert "same command completes the rest" in " ".join(text.split())
    assert "Traceback" not in text
    assert journal.exists()
