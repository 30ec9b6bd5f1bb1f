"""Numbers and arrays of any type give what the same floats give, or are refused with a remedy."""

import math
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dmft_rf
from dmft_rf import (
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Mixture,
    ModelError,
    Ridge,
    ScoreModel,
    WeightAverage,
    resolvent,
    scaling,
    solve,
    spectrum,
    timescales,
)
from dmft_rf.curves.thresholds import n_star
from dmft_rf.numerics.jacobi import JacobiMatrix
from dmft_rf.pencil import Gaussian, Sigma, gram, inverse, parameters, sqrt, zoo
from dmft_rf.pencil.readings import Regression
from dmft_rf.units import steps_from_time, time_from_steps

MODEL = ScoreModel(0.1, 4.0, 2.0, "relu", Covariance([0.5, 1.5]))
SOLUTION = solve(MODEL, 1e-6)
NUMBERS = [
    np.int8(12), np.uint8(12), 12, np.float16(0.1), np.float32(0.1), np.longdouble(0.25),
    Decimal("0.1"), Fraction(1, 10), np.array(0.1), np.array(0.1, dtype=np.float16),
]  # fmt: skip


class TestNumbers:
    @pytest.mark.parametrize("value", NUMBERS, ids=lambda value: f"{type(value).__name__}{value}")
    def test_rules_keep_the_float(self, value: Any) -> None:
        for rule, name in (
            (GradientFlow(weight_decay=value), "weight_decay"),
            (GradientFlow(initial_std=value), "initial_std"),
            (Ridge(value), "weight"),
            (WeightAverage(value), "decay_time"),
            (GradientDescent(value), "step"),
            (HeavyBall(value, momentum=float(value) / 100.0), "step"),
        ):
            kept = getattr(rule, name)
            assert type(kept) is float
            assert kept == float(value)
        assert type(HeavyBall(0.1, momentum=np.float16(0.5)).momentum) is float

    @pytest.mark.parametrize("value", [np.float32(0.1), Decimal("0.1"), Fraction(1, 10)])
    def test_models_keep_the_float(self, value: Any) -> None:
        plain = float(value)
        assert ScoreModel(value, value, value) == ScoreModel(plain, plain, plain)
        assert type(ScoreModel(value, value, value).t) is float
        assert Covariance.isotropic(value) == Covariance.isotropic(plain)
        assert Covariance.power_law(value, np.int8(8)) == Covariance.power_law(plain, 8)
        assert solve(MODEL, value / 1000).rtol == float(value / 1000)
        assert timescales(SOLUTION, value) == timescales(SOLUTION, plain)
        assert time_from_steps(3, value, np.int8(100)) == time_from_steps(3.0, plain, 100.0)
        noise = Regression.of(4, 2, 1, 0.5, value).noise
        assert type(noise) is float
        assert Sigma * value == Sigma * plain or isinstance(value, Fraction)

    def test_counts_of_any_integer_type(self) -> None:
        assert type(Mixture([1.0], [[1.0]], dimension=np.uint8(200)).dimension) is int
        assert Covariance([1.0], dimension=np.int16(200)).effective_dimension == 200.0
        assert ScoreModel(0.1, 4, 2, noise_draws=np.int8(2)).noise_draws == 2.0

    @pytest.mark.parametrize(
        "call",
        [
            lambda: Mixture([1.0], [[1.0]], dimension=-1),
            lambda: Mixture([1.0], [[1.0]], samples=0),
            lambda: Mixture([1.0], [[1.0]], label=3),
            lambda: Covariance([1.0], dimension=10**400),
            lambda: ScoreModel(0.1, 4, 2, noise_draws="2"),
            lambda: GradientDescent(0.1).times(-1),
            lambda: GradientDescent(0.1).times(0.5),
            lambda: GradientDescent(0.1).times(math.nan),
            lambda: GradientDescent(0.1).times(1e300),
            lambda: SOLUTION.learning_curves(1.0, GradientFlow),
            lambda: n_star(MODEL, level=0),
            lambda: time_from_steps(1e308, 1e10, 1),
            lambda: steps_from_time(1e308, 1e-10, 1),
            lambda: spectrum(MODEL).moment(10**6),
            lambda: spectrum(MODEL).integrate(lambda lam: lam[:1]),
            lambda: spectrum(MODEL).integrate(lambda lam: 1 / 0),
            lambda: spectrum(MODEL).integrate(lambda lam: np.ma.array(lam, mask=lam > 1.0)),
            lambda: spectrum(MODEL).grid(10**12),
            lambda: resolvent(MODEL, 1j).S([1.0, 2.0, 3.0]),
            lambda: JacobiMatrix([1.0, 1.0], [0.5, 0.5]),
            lambda: JacobiMatrix([1.0, 2.0], [0.0, 1.0]),
            lambda: JacobiMatrix([1.0, 2.0], [0.5, 0.5]).rule(2),
            lambda: (Sigma * 1e200) ** 2,
            lambda: type(Sigma)(None),
            lambda: 1 / Gaussian("X", "p", "n", per="n"),
            lambda: zoo.semicircle().bind().solve(1j).trace("u", "u", sqrt(-1)),
            lambda: Regression(zoo.semicircle().bind(), 0.1),
        ],
    )
    def test_refused(self, call: Any) -> None:
        with pytest.raises(ModelError) as caught:
            call()
        assert len(str(caught.value)) < 300

    def test_a_model_in_place_of_its_solution(self) -> None:
        with pytest.raises(ModelError, match=r"takes a Solution: timescales\(solve\(model\)\)"):
            timescales(MODEL)
        with pytest.raises(ModelError, match=r"bulk_split\(solve\(model\)\)"):
            dmft_rf.bulk_split(MODEL, 1.0)

    def test_expressions_stay_small(self) -> None:
        with pytest.raises(TypeError, match="unsupported operand"):
            _ = Sigma * 10**400

        def repeated(value: Any, step: Any) -> None:
            for _ in range(2000):
                value = step(value)

        X = Gaussian("X", "p", "p", per="p")
        for value, step in (
            (X, lambda x: x * x),
            (X, lambda x: inverse(x + 1)),
            (X, lambda x: (x + 1) * (x + 1)),
            (Sigma, lambda x: 1 / (x + 1)),
            (Sigma, lambda x: (x + 1) * (x + 1)),
        ):
            with pytest.raises(ModelError, match=r"parts|inside one another|terms|beyond"):
                repeated(value, step)


class TestPandas:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "Int64", "Float64", "object"])
    def test_series_and_frames_are_arrays(self, dtype: str) -> None:
        pandas = pytest.importorskip("pandas")
        numbers = pandas.Series([1, 2, 4], index=[7, 3, 5], dtype=dtype)
        assert Covariance(numbers) == Covariance([1.0, 2.0, 4.0])
        quarters = pandas.Series([1, 2, 1], dtype=dtype) / 4
        assert Covariance([1, 2, 4], quarters) == Covariance([1, 2, 4], [0.25, 0.5, 0.25])
        assert SOLUTION.learning_curves(numbers) == SOLUTION.learning_curves([1.0, 2.0, 4.0])
        assert (
            time_from_steps(numbers, 0.1, 10).tolist()
            == time_from_steps([1, 2, 4], 0.1, 10).tolist()
        )
        values = np.array([[2, 1], [1, 2]])
        frame = pandas.DataFrame(values, columns=["a", "b"]).astype(dtype)
        assert Covariance.from_matrix(frame) == Covariance.from_matrix(values)
        assert Mixture([0.5, 0.5], frame) == Mixture([0.5, 0.5], values)
        samples = np.random.default_rng(0).integers(0, 9, (40, 2))
        assert Covariance.from_samples(
            pandas.DataFrame(samples).astype(dtype)
        ) == Covariance.from_samples(samples)

    @pytest.mark.parametrize("dtype", ["Int64", "Float64", "float64"])
    def test_missing_values_are_refused(self, dtype: str) -> None:
        pandas = pytest.importorskip("pandas")
        numbers = pandas.Series([1, None, 4], dtype=dtype)
        for call in (
            Covariance,
            SOLUTION.learning_curves,
            lambda x: Covariance.from_samples(x.to_frame()),
        ):
            with pytest.raises(ModelError, match="missing values; drop or fill"):
                call(numbers)

    def test_what_is_no_number_is_refused(self) -> None:
        pandas = pytest.importorskip("pandas")
        for series in (
            pandas.Series(["1", "2"]), pandas.Series([True, False]), pandas.Series([1j]),
            pandas.to_datetime(["2026-01-01"]), pandas.Series(["a"], dtype="category"),
            pandas.MultiIndex.from_tuples([(1, 2)]), pandas.Series([True], dtype="boolean"),
        ):  # fmt: skip
            with pytest.raises(ModelError, match=r"real numbers|list of numbers"):
                Covariance(series)


class TestSinglePrecision:
    @pytest.mark.parametrize(("n", "d"), [(2, 4), (5, 10), (50, 100)])
    def test_rank_is_found_below_its_rounding(self, n: int, d: int) -> None:
        """n samples in d > n dimensions: d - n eigenvalues are 0, the others those of doubles."""
        x = np.random.default_rng(1).normal(size=(n, d)).astype(np.float32)
        coarse = Covariance.from_matrix(x.T @ x / np.float32(n))
        fine = Covariance.from_matrix(x.T.astype(float) @ x / n)
        assert coarse.weights[0] == fine.weights[0] == pytest.approx((d - n) / d)
        assert coarse.eigenvalues[0] == 0.0
        np.testing.assert_allclose(coarse.eigenvalues, fine.eigenvalues, rtol=1e-4)
        two = Mixture.from_matrices([0.5, 0.5], [x.T @ x, 2 * (x.T @ x)])
        assert np.sum(two.eigenvalues[0] == 0.0) == np.sum(two.eigenvalues[1] == 0.0) == d - n

    def test_doubles_are_held_to_their_own(self) -> None:
        """An eigenvalue of 1e-9 is kept in double precision, and -1e-9 is refused."""
        assert Covariance.from_matrix(np.diag([1.0, 1e-9])).eigenvalues[0] == 1e-9
        with pytest.raises(ModelError, match="positive semi-definite"):
            Covariance.from_matrix(np.diag([1.0, -1e-9]))
        with pytest.raises(ModelError, match="compute it in double precision"):
            Covariance.from_matrix(np.diag([1.0, -1e-5]).astype(np.float32))

    def test_half_precision_where_it_is_enough(self) -> None:
        assert Covariance.from_matrix(np.diag([1.0, 0.5]).astype(np.float16)) == Covariance(
            [0.5, 1.0], dimension=2
        )
        with pytest.raises(ModelError, match="half precision has lost"):
            Covariance.from_matrix(np.ones((3, 3), dtype=np.float16))


class TestNames:
    def test_modules_are_attributes(self) -> None:
        """In a process that has imported nothing else, as README shows it."""
        code = (
            "import dmft_rf\n"
            "assert float(dmft_rf.units.time_from_steps(1, 1, 1)) == 1.0\n"
            "assert dmft_rf.datasets.names() == ('digits',)\n"
            "assert dmft_rf.pencil.zoo.semicircle() and dmft_rf.pencil.readings and dmft_rf.store\n"
            "assert dmft_rf.plotting.plot_curves and dmft_rf.thresholds.n_star\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

    def test_tab_completion(self) -> None:
        import rlcompleter

        complete = rlcompleter.Completer({"dmft_rf": dmft_rf}).attr_matches
        for name in ("units", "plotting", "pencil", "store", "datasets", "phaseplot", "thresholds"):
            assert any(
                found.startswith(f"dmft_rf.{name}") for found in complete(f"dmft_rf.{name[:3]}")
            )
        assert {"zoo", "readings", "files"} <= set(dir(dmft_rf.pencil))

    def test_wrong_names_are_answered(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'plotin'; did you mean 'plotting'"):
            _ = dmft_rf.plotin
        with pytest.raises(AttributeError, match="did you mean 'readings'"):
            _ = dmft_rf.pencil.reading
        with pytest.raises(AttributeError, match=r"'qqqqq'$"):
            _ = dmft_rf.qqqqq
        with pytest.raises(ImportError):
            exec("from dmft_rf import solv")


def test_fits_say_where_no_law_holds() -> None:
    found = scaling(MODEL, "psi_n", [1.0, 3.9, 30.0], rtol=1e-6, tolerance=0.01)
    assert "tau_mem" not in found.fits
    assert found.fits.get("tau_mem") is None
    with pytest.raises(KeyError, match=r"no power law holds for tau_mem.*local_exponents"):
        _ = found.fits["tau_mem"]
    with pytest.raises(KeyError, match="tau_gen, tau_opt"):
        _ = found.fits["tau"]
    assert found.global_fits["tau_gen"].points == 3


def test_parameters_and_roots_of_pencils() -> None:
    """Fractions stay exact where they are short."""
    (a,) = parameters(["a"])
    assert sqrt(a * Fraction(1, 4)) ** 2 == a * Fraction(1, 4)
    assert gram(Gaussian("X", "p", "n", per="n"), {"p": Decimal("0.5"), "n": np.int8(1)}).bind()
