"""Whatever a point raises is its reason: the others go on, and nothing is computed twice."""

import errno
import math
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

import dmft_rf as rf
from tests.helpers.sweeping import contents

MODEL = rf.ScoreModel(0.1, 8.0, 4.0)


def raising(x):
    raise RuntimeError("no such function\nat all")


def too_large(x):
    if x.size > 10_000:
        raise MemoryError("cannot allocate")
    return np.tanh(x)


@pytest.mark.parametrize(
    ("over", "quantities", "failed"),
    [
        ({"t": [1e-3, 1e-9], "isotropic.scale": [1.0, 1e-10]}, "edges", [3]),
        ({"t": [0.01, 0.1, 1e-300]}, "tau_mem", [2]),
        ({"t": [0.01, 400.0, 1e300]}, ["tau_mem", "n_star"], [1, 2]),
        ({"psi_n": [1, 1e300, 5e-324]}, ["tau_mem", "edges"], [1, 2]),
        ({"psi_p": [1e300, 1.0, 1e-300]}, "tau_mem", [0, 2]),
        ({"activation": ["tanh", raising, too_large, np.abs]}, "tau_mem", [1, 2, 3]),
        ({"activation": [lambda x: x[:3], lambda x: x + 0j, np.log, "erf"]}, "tau_mem", [0, 1, 2]),
        ({"power_law.exponent": [0.5, 200.0], "power_law.atoms": [4, 4096]}, "atom", [3]),
        ([{"t": 0.1, "psi_n": 2}, {"t": 1e-300, "psi_n": 2}], "tau_gen", [1]),
    ],
)
def test_a_point_that_cannot_be_stated(tmp_path, monkeypatch, over, quantities, failed):
    path = tmp_path / "a.h5"
    found = rf.sweep(MODEL, over, quantities, path=path)
    assert found.complete
    assert list(found.failures) == failed
    for reason in found.failures.values():
        assert reason.split(":")[0] in ("ModelError", "ConvergenceError", "OverflowError")
        assert "\n" not in reason
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    again = rf.sweep(MODEL, over, quantities, path=path)
    assert again.failures == found.failures
    for name, array in found.quantities.items():
        np.testing.assert_array_equal(again.quantities[name], array)


def test_the_others_are_what_they_are_alone():
    found = rf.sweep(MODEL, {"t": [0.01, 1e-300, 0.1]}, "tau_mem").quantities["tau_mem"]
    for i, t in ((0, 0.01), (2, 0.1)):
        assert found[i] == rf.timescales(rf.solve(MODEL.replace(t=t))).tau_mem


ERRORS = [
    MemoryError(),
    OverflowError("int too large to convert to float"),
    FloatingPointError("underflow"),
    ZeroDivisionError("division by zero"),
    np.linalg.LinAlgError("Singular matrix"),
    RecursionError("maximum recursion depth exceeded"),
    KeyError("x"),
    OSError(errno.EIO, "disk"),
    rf.ConvergenceError("lost"),
    AssertionError(),
    SystemError("kernel"),
    RuntimeWarning("overflow encountered"),
    ValueError("a\0b\n" + 1000 * "c"),
    ValueError("\udcff"),
]


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("cannot say")


@pytest.mark.parametrize("error", [*ERRORS, Mute()], ids=lambda error: type(error).__name__)
def test_any_exception_is_a_reason(tmp_path, monkeypatch, error):
    from dmft_rf.sweeps import quantities as points

    compute = points.compute

    def failing(model, rule, request):
        if model.psi_n == 2.0:
            raise error
        return compute(model, rule, request)

    monkeypatch.setattr("dmft_rf.sweeps.quantities.compute", failing)
    over = {"psi_n": [1.0, 2.0, 3.0]}
    for path in (None, tmp_path / "a.h5"):
        found = rf.sweep(MODEL, over, "tau_mem", path=path)
        np.testing.assert_array_equal(found.status, [1, 2, 1])
        assert found.failures[1].startswith(type(error).__name__)
        assert found.failures[1].isprintable()
        assert len(found.failures[1]) <= 500
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    assert rf.sweep(MODEL, over, "tau_mem", path=tmp_path / "a.h5").failures == found.failures


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_no_reason(monkeypatch, error):
    def ending(*_):
        raise error

    monkeypatch.setattr("dmft_rf.sweeps.quantities.compute", ending)
    with pytest.raises(error):
        rf.sweep(MODEL, {"psi_n": [1.0]}, "tau_mem")


def test_an_interruption_inside_a_kernel_is_no_reason(monkeypatch):
    """numba makes a SystemError of it."""

    def interrupted(*_):
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    monkeypatch.setattr("dmft_rf.sweeps.quantities.compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rf.sweep(MODEL, {"psi_n": [1.0]}, "tau_mem")


# -- phase diagrams and scaling laws ------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "sound"),
    [
        ({"psi_n": [1.0, 10.0, 1e300], "psi_p": [4.0, 8.0]}, (slice(0, 2), slice(None))),
        ({"psi_n": [1e-300, 10.0, 1e300], "t": [1e-300, 0.1, 1e3]}, (slice(1, 2), slice(1, 2))),
        ({"psi_n": [1.0, 1e300], "tau": [1.0, 100.0]}, (slice(0, 1), slice(None))),
        ({"psi_n": [1e-300, 1e300], "t": [1e-300, 1e3]}, (slice(0, 0), slice(0, 0))),
    ],
)
def test_a_phase_diagram_with_corners_that_cannot_be_stated(tmp_path, monkeypatch, axes, sound):
    path = tmp_path / "a.h5"
    found = rf.phase_diagram(MODEL, axes, path=path)
    there = np.zeros(found.regions.shape, dtype=bool)
    there[sound] = True
    known = ~np.all(np.isnan(found.relative_gap), axis=-1)
    known = known if known.shape == there.shape else np.broadcast_to(known[:, None], there.shape)
    if "tau" in axes:
        known = ~np.isnan(found.relative_gap)
    np.testing.assert_array_equal(known, there)
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    again = rf.phase_diagram(MODEL, axes, path=path)
    assert again.failures == found.failures
    np.testing.assert_array_equal(again.relative_gap, found.relative_gap)


def test_times_of_a_plane_come_from_the_points_that_have_a_spectrum():
    """The corner at psi_n = 1e300 counts for nothing: the times are those without it."""
    with_it, without = (
        rf.phase_diagram(MODEL, {"psi_n": [1.0, 10.0, *more], "psi_p": [4.0, 8.0]})
        for more in ([1e300], [])
    )
    np.testing.assert_array_equal(with_it.tau, without.tau)
    np.testing.assert_array_equal(with_it.relative_gap[:2], without.relative_gap)


@pytest.mark.parametrize(
    ("model", "parameter", "values", "failed"),
    [
        (MODEL, "psi_n", [1.0, 2.0, 4.0, 1e300, 1.7e308, 5e-324], [5e-324, 1e300, 1.7e308]),
        (MODEL, "t", [1e-300, 0.01, 0.02, 0.04, 400.0, 1e300], [1e-300, 400.0, 1e300]),
        (MODEL, "psi_p", [1e-308, 1.0, 2.0, 4.0, 1e308], [1e-308, 1e308]),
        (
            MODEL.replace(covariance=rf.Covariance.power_law(1.0, 8)), "power_law.exponent",
            [0.0, 1.0, 2.0, 1e3, 1e300], [1e3, 1e300],
        ),
    ],
)  # fmt: skip
def test_a_scaling_law_beside_points_that_cannot_be_stated(
    tmp_path, monkeypatch, model, parameter, values, failed
):
    path = tmp_path / "a.h5"
    found = rf.scaling(model, parameter, values, path=path)
    assert sorted(found.failures) == failed
    good = rf.scaling(model, parameter, [v for v in values if v not in failed])
    kept = ~np.isin(found.values, failed)
    for name, array in good.quantities.items():
        np.testing.assert_array_equal(found.quantities[name][kept], array)
        np.testing.assert_array_equal(found.local_exponents[name][kept], good.local_exponents[name])
    assert found.fits == good.fits
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    assert rf.scaling(model, parameter, values, path=path).failures == found.failures


# -- executors ----------------------------------------------------------------------------------


class Faulty(Executor):
    """Computes at once, but refuses some tasks by an exception of its own."""

    def __init__(self, refuses):
        self.refuses, self.tasks = refuses, 0

    def submit(self, function, *arguments):
        future = Future()
        self.tasks += 1
        try:
            points = arguments[0].points
            if any(self.refuses(values) for _, values in points):
                raise LookupError("quota exceeded\nfor this task")
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def test_an_executors_own_exception_is_the_reason_of_its_point(tmp_path, monkeypatch):
    path, over = tmp_path / "a.h5", {"psi_n": np.arange(1.0, 9.0).tolist()}
    monkeypatch.setattr("dmft_rf.sweeps.run._TASK_SECONDS", 10.0)  # several points in a task
    found = rf.sweep(
        MODEL, over, "tau_gen", path=path, executor=Faulty(lambda v: v["psi_n"] == 5.0)
    )
    assert found.failures == {4: "LookupError: quota exceeded for this task"}
    plain = rf.sweep(MODEL, over, "tau_gen").quantities["tau_gen"]
    others = np.arange(8) != 4
    np.testing.assert_array_equal(found.quantities["tau_gen"][others], plain[others])
    idle = Faulty(lambda _: True)
    assert rf.sweep(MODEL, over, "tau_gen", path=path, executor=idle).failures == found.failures
    assert idle.tasks == 0


def test_an_executor_that_computes_nothing_is_no_reason(tmp_path):
    """A file full of nan would be complete for ever."""
    path = tmp_path / "a.h5"
    over = {"psi_n": [1.0, 2.0]}
    with pytest.raises(rf.WorkerError, match=r"computes nothing.*quota exceeded"):
        rf.sweep(MODEL, over, "tau_gen", path=path, executor=Faulty(lambda _: True))
    assert list(tmp_path.iterdir()) == []
    assert rf.sweep(MODEL, over, "tau_gen", path=path).failures == {}


def test_an_executor_that_takes_no_work_is_told():
    with ThreadPoolExecutor(1) as executor:
        pass
    with pytest.raises(rf.WorkerError, match=r"takes no work.*shutdown"):
        rf.sweep(MODEL, {"psi_n": [1.0]}, "tau_gen", executor=executor)


def test_an_executor_whose_workers_are_gone_is_told():
    class Broken(Executor):
        def submit(self, *_):
            raise BrokenProcessPool("all of them\ndied")

    with pytest.raises(rf.WorkerError, match="died"):
        rf.sweep(MODEL, {"psi_n": [1.0]}, "tau_gen", executor=Broken())


def test_threads_with_failing_points_give_the_same_file(tmp_path):
    over = {"t": [0.01, 1e-300, 0.1, 400.0], "psi_n": [1.0, 1e300, 4.0]}
    rf.sweep(MODEL, over, ["tau_mem", "edges"], path=tmp_path / "a.h5")
    with ThreadPoolExecutor(3) as executor:
        rf.sweep(MODEL, over, ["tau_mem", "edges"], path=tmp_path / "b.h5", executor=executor)
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")


# -- what is wrong for the whole sweep is refused at once ----------------------------------------


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"t": [0.1, 0.0]}, r"t is 0\.0"),
        ({"t": [0.1, math.nan]}, "t is nan"),
        ({"psi_n": [1.0, math.inf]}, "psi_n is inf"),
        ({"psi_n": [1.0, "2"]}, "psi_n is '2'"),
        ({"psi_n": [1.0, True]}, "psi_n is True"),
        ({"psi_n": [1.0, None]}, "psi_n is None"),
        ({"psi_n": [1.0, 1j]}, "psi_n is 1j"),
        ({"noise_draws": [1, 1.5]}, r"noise_draws is 1\.5"),
        ({"activation": ["tanh", "swish"]}, "'swish' is unknown"),
        ({"activation": ["tanh", 3]}, "activation must be one of"),
        ({"covariance": [rf.Covariance([1.0]), [1.0, 2.0]]}, "covariance is"),
        ({"power_law.exponent": [1.0, -1.0]}, r"power_law\.exponent is -1\.0"),
        ({"power_law.exponent": [1.0], "power_law.atoms": [8, 8.5]}, r"power_law\.atoms is 8\.5"),
        ({"power_law.exponent": [1.0], "power_law.atoms": [8, 10**9]}, r"power_law\.atoms is"),
        ({"isotropic.scale": [1.0, 0.0]}, r"isotropic\.scale is 0\.0"),
        ({"weight_decay": [0.0, -1.0]}, "weight_decay"),
        ({"weight_decay": [0.0, "x"]}, "weight_decay"),
        ({"psi_n": [1.0], "t": None}, "t is None"),
        ({"isotropic.scale": [1.0], "power_law.exponent": [1.0]}, "exclude one another"),
        ({"isotropic.scale": [1.0], "covariance": [rf.Covariance([1.0])]}, "exclude one another"),
    ],
)
def test_a_value_that_is_none_of_its_parameter(monkeypatch, over, message):
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    with pytest.raises(rf.ModelError, match=message) as caught:
        rf.sweep(MODEL, over, "edges")
    assert "\n" not in str(caught.value)
