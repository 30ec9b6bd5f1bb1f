"""Local exponents, fits and their ranges: on exact laws, and on the model's own limits."""

import math

import numpy as np
import pytest

from dmft_rf import ConvergenceError, ModelError, ScoreModel, scaling, solve, timescales
from dmft_rf.sweeps.results import QUANTITIES

MODEL = ScoreModel(0.01, 256, 8)


def test_quantities_are_those_of_single_solutions() -> None:
    found = scaling(MODEL, "psi_n", [16, 4, 8, 8])
    assert found.values.tolist() == [4.0, 8.0, 16.0]
    for i, psi_n in enumerate(found.values):
        single = timescales(solve(MODEL.replace(psi_n=float(psi_n))))
        for name in QUANTITIES:
            assert found.quantities[name][i] == single.value(name)


def test_local_exponents_are_derivatives() -> None:
    found = scaling(MODEL, "psi_n", [4.0, 8.0, 16.0])
    step = 0.01
    for name in ("tau_gen", "tau_opt", "tau_mem", "score_error_min"):
        for psi_n, exponent in zip(found.values, found.local_exponents[name], strict=True):
            low, high = (
                getattr(timescales(solve(MODEL.replace(psi_n=psi_n * math.exp(s)))), name)
                for s in (-step, step)
            )
            # both are central differences: they differ by the third derivative times step^2/6
            assert math.log(high / low) / (2 * step) == pytest.approx(exponent, abs=1e-4)


def test_memorization_grows_like_n_and_generalization_does_not() -> None:
    """psi_p > psi_n >> 1 with s_t^2 out of the way: tau_mem ~ n, tau_gen nearly constant.

    The thin bulk just above s_t^2 that carries memorization sits at psi_p b^2 v_n/(gamma^2 c) above
    it, which falls like 1/psi_n; s_t^2 stays below that as long as psi_p/psi_n is large.
    """
    found = scaling(ScoreModel(0.01, 1e4, 8), "psi_n", np.geomspace(8, 128, 5))
    law = found.fits["tau_mem"]
    assert law.decades > 1.0
    assert law.exponent == pytest.approx(1.0, abs=0.06)
    assert np.all(found.local_exponents["tau_gen"] < 0.2)
    assert np.all(np.diff(found.local_exponents["tau_gen"]) < 0.0)


def test_times_against_the_noise_level() -> None:
    """tau_gen ~ 1/Delta_t; tau_mem ~ 1/Delta_t^2, since the thin bulk itself moves like b^2."""
    found = scaling(ScoreModel(0.01, 4096, 16), "t", np.geomspace(2e-3, 2e-2, 4))
    np.testing.assert_allclose(found.abscissa, -np.expm1(-2 * found.values), rtol=4e-15)
    assert found.fits["tau_gen"].exponent == pytest.approx(-1.0, abs=0.1)
    assert found.fits["tau_mem"].exponent == pytest.approx(-2.0, abs=0.1)


class TestFits:
    """The fit itself, on made-up timescales with known laws."""

    @staticmethod
    def fake(monkeypatch: pytest.MonkeyPatch, law) -> None:
        def compute(model, rule, request):
            return {name: np.asarray(law(model.psi_n)) for name in request.quantities}

        monkeypatch.setattr("dmft_rf.sweeps.quantities.compute", compute)

    def test_a_pure_power(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, lambda n: 3.0 * n**0.7)
        found = scaling(MODEL, "psi_n", np.geomspace(1, 1e4, 9))
        law = found.fits["tau_mem"]
        assert law.exponent == pytest.approx(0.7, abs=1e-12)
        assert law.prefactor == pytest.approx(3.0, rel=1e-12)
        assert (law.low, law.high, law.points) == (1.0, pytest.approx(1e4), 9)
        assert law.decades == pytest.approx(4.0)
        assert law.exponent_low == pytest.approx(0.7, rel=1e-9)
        assert law.exponent_high == pytest.approx(0.7, rel=1e-9)
        np.testing.assert_allclose(found.local_exponents["tau_mem"], 0.7, rtol=1e-9)

    def test_a_crossover_is_fitted_where_a_power_holds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """n for n << 100, n^2/100 above: the law over three decades wins over the one over one."""
        self.fake(monkeypatch, lambda n: n + n * n / 100.0)
        found = scaling(MODEL, "psi_n", np.geomspace(1e-2, 1e3, 26))
        law = found.fits["tau_mem"]
        assert law.exponent == pytest.approx(1.0, abs=0.05)
        assert 1.0 < law.high < 20.0
        assert found.global_fits["tau_mem"].exponent > 1.1
        # d ln Q/d ln n = 1 + n/(100 + n)
        for fit in (law, found.global_fits["tau_mem"]):
            assert fit.exponent_low == pytest.approx(1.0 + fit.low / (100.0 + fit.low), rel=1e-5)
            assert fit.exponent_high == pytest.approx(1.0 + fit.high / (100.0 + fit.high), rel=1e-5)
        assert law.exponent_high - law.exponent_low <= 0.1
        assert f"{law.low:.4g} to {law.high:.4g}" in law.holds

    def test_no_law_where_none_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, lambda n: math.exp(n))
        found = scaling(MODEL, "psi_n", [1.0, 2.0, 4.0, 8.0])
        assert not found.fits
        assert "tau_mem" in found.global_fits

    def test_a_failed_point_is_recorded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def law(n: float) -> float:
            if 3.0 < n < 5.0:
                raise ConvergenceError("lost at 4")
            return n

        self.fake(monkeypatch, law)
        calls = []
        found = scaling(
            MODEL,
            "psi_n",
            [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
            progress=lambda done, total: calls.append((done, total)),
        )
        assert found.failures == {4.0: "lost at 4"}
        assert calls[-1] == (18, 18)
        assert np.isnan(found.quantities["tau_gen"]).tolist() == [0, 0, 1, 0, 0, 0]
        assert found.fits["tau_gen"].low == 8.0

    def test_nothing_solved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def law(n: float) -> float:
            raise ConvergenceError("lost")

        self.fake(monkeypatch, law)
        with pytest.raises(ConvergenceError, match="no point of the sweep over psi_n"):
            scaling(MODEL, "psi_n", [1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("psi", [1, 2, 3]), "'psi'; did you mean 'psi_p'. it must be one of psi_n, psi_p, t"),
        ((None, [1, 2, 3]), "parameter is None"),
        (("psi_n", []), "psi_n"),
        (("psi_n", 5.0), "at least 3"),
        (("psi_n", [1, 1, 2]), "at least 3"),
        (("psi_n", [-1, 1, 2]), "> 0"),
        (("psi_n", [1, 2, math.inf]), "finite"),
    ],
)
def test_wrong_sweeps(arguments: tuple, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        scaling(MODEL, *arguments)
