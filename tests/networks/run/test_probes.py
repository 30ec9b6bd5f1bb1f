"""Load and calm of a network in training, with JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from validation.networks.run.plan import CALMER, MOMENTUM, Setting

jax = pytest.importorskip("jax")
jnp = jax.numpy
from validation.networks.run.noise import Noise  # noqa: E402

pytestmark = pytest.mark.jax
CALM = (0.5, 1.5)
SETTING = Setting(
    "images", "digits", 8, 4, 8, 0, "sgd", 0.1, 16, 60, 1e3, 2.0, per_decade=3, noisy=32,
    held_out=32, generated=0, calm=CALM,
)  # fmt: skip
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8)), dtype=jnp.float32)


def probes(apply: Any, advance: Any = None, losses: Any = None) -> Noise:
    return Noise(SETTING, apply, advance, losses, IMAGES, jax.random.key(3))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_load_where_the_jacobian_is_a_multiple_of_one(scale: float) -> None:
    """|J^T r|^2 = scale^2 |r|^2 for each sample: the load is exact and without an error."""
    found = probes(lambda params, x, index: x + scale * params).load(jnp.ones((8, 8)))
    eta = 0.1 / (1.0 - MOMENTUM)
    assert found[0] == pytest.approx(eta / (16 * 64) * scale**2, rel=1e-5)
    assert found[1] < 1e-6 * found[0]


def test_load_is_a_ratio_of_means() -> None:
    """Weights of one noise level in two count twice: r is so much longer, and J^T r again."""

    def apply(params: Any, x: Any, index: Any) -> Any:
        return params * (1.0 + (index >= 500)[:, None, None])

    # v is nothing beside these weights: |r|^2 is 1 or 4, |J^T r|^2 1 or 16
    value, error = probes(apply).load(jnp.full((8, 8), 1e4))
    one = 0.1 / (1.0 - MOMENTUM) / (16 * 64)
    assert error == pytest.approx(one * 2.4 / 2.5 / 16.0, rel=0.05)
    assert abs(value - one * 8.5 / 2.5) < 3.0 * error


def test_calm_copies_go_on_for_the_stretches() -> None:
    """At every second measurement; the weights here count their steps."""
    calls = []

    def advance(state: Any, train: Any, n: int, key: Any, start: int, stop: int) -> Any:
        calls.append((n, start, stop))
        return (state[0] + stop - start,)

    measured = probes(
        lambda params, x, index: x, advance, lambda params, name: np.full(5, params[0, 0])
    )
    grid = SETTING.grid
    state = (jnp.zeros((8, 8)),)
    row = measured.measure(state, int(grid[2]))
    rate = 0.1 / CALMER
    steps = [round(stretch / rate) for stretch in CALM]
    start = int(grid[2])
    assert calls == [(4, start, start + steps[0]), (4, start + steps[0], start + steps[1])]
    assert row["calm_test"].tolist() == [[steps[0]] * 5, [steps[1]] * 5]
    between = measured.measure(state, int(grid[1]))
    assert np.isnan(between["load"]).all()
    assert len(calls) == 2
    assert {name: x.shape for name, x in row.items()} == {n: x.shape for n, x in between.items()}
