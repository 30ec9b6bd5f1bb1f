"""When to stop for generation: values by another program, definitions, growth with n."""

import math
from functools import cache
from typing import Any

import pytest

from dmft_rf import Covariance, ModelError
from dmft_rf.generated.generation import Generation, at_infinite_width
from dmft_rf.generated.times import GenerationTimes, generation_times
from dmft_rf.model.activation import Activation


def of(activation: str, psi_n: float, tau: Any, **options: Any) -> Generation:
    known = Activation.of(activation)
    return at_infinite_width(known, psi_n, Covariance.isotropic(), tau, **options)


@cache
def tanh(psi_n: float) -> GenerationTimes:
    return generation_times(of("tanh", psi_n, 1.0))


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("psi_n", "gen", "opt", "least", "mem"),
    [(4.0, "5.050", "13.2", "0.02884", "151"), (64.0, "4.999", "68.3", "0.00348", "9189")],
)
def test_reference_values(psi_n: float, gen: str, opt: str, least: str, mem: str) -> None:
    """All digits that are printed."""
    found = tanh(psi_n)
    assert f"{found.tau_gen:.3f}" == gen
    assert f"{found.tau_opt:.1f}" == opt
    assert f"{found.kl_min:.5f}" == least
    assert f"{found.tau_mem:.0f}" == mem


def test_tau_gen_is_constant_and_tau_mem_grows_with_n() -> None:
    few, many = tanh(4.0), tanh(64.0)
    assert abs(math.log(many.tau_gen / few.tau_gen)) < 0.02
    assert 1.0 < math.log(many.tau_mem / few.tau_mem) / math.log(16.0) < 1.6
    # the best time does neither
    assert 0.3 < math.log(many.tau_opt / few.tau_opt) / math.log(16.0) < 0.9


def test_times_are_what_they_say() -> None:
    found = tanh(4.0)
    low, high = found.usable(1.5)
    at = [found.tau_gen, low, 0.99 * found.tau_opt, found.tau_opt, 1.01 * found.tau_opt, high]
    kl = of("tanh", 4.0, [*at, found.tau_mem]).kl
    assert at == sorted(at)
    assert kl[[0, -1]] == pytest.approx(0.1, rel=1e-9)
    assert kl[[1, 5]] == pytest.approx(1.5 * found.kl_min, rel=1e-9)
    assert kl[3] == pytest.approx(found.kl_min, rel=1e-10)
    assert kl[3] < kl[2]
    assert kl[3] < kl[4]
    for name, value in found.error.items():
        assert 0.0 <= value < 1e-5 * getattr(found, name), name


def test_a_level_that_is_never_reached() -> None:
    found = generation_times(of("relu", 4.0, 1.0, t_end=0.1), level=1e-3)
    assert math.isnan(found.tau_gen)
    assert math.isnan(found.tau_mem)
    assert found.tau_opt > 1.0


def test_wrong_arguments() -> None:
    with pytest.raises(ModelError, match="like is 3; it must be of type Generation"):
        generation_times(3)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="level is 0"):
        generation_times(of("relu", 4.0, 1.0), 0)
    with pytest.raises(ModelError, match=r"factor is 1\.0"):
        tanh(4.0).usable(1.0)
