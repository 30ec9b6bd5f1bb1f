r"""What the noise of the gradient does to a network at one step of its training (JAX).

Two measurements tell jitter about a mean of the weights from a mean that moves otherwise:

- *Calm*: a copy of the network goes on with a sixteenth of the rate. Jitter relaxes at the pace of
  its modes; what the mean of the weights has learned stays. Losses of the copy's last weights are
  taken after stretches of given length in rate x steps.
- *Load*: f = eta/(batch d) E|J^T r|^2/E|r|^2 with eta = rate/(1 - momentum), the residual r of a
  noisy training sample, d its dimension and J = dr/d theta. In the solvable model it is the share
  of the training loss that the noise sustains (docs/theory.md, section on mini-batches).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array
from validation.networks.run.plan import CALMER, MOMENTUM, Setting
from validation.networks.run.schedule import NOISE, SIGNAL, TIMES

#: noisy samples behind a load
_SAMPLES = 256


class Noise:
    """Measures calm and load of one run.

    Parameters
    ----------
    setting : Setting
    apply : callable
        The network.
    advance : callable
        (state, training set, n, key, start, stop) -> state, at the lower rate.
    losses : callable
        (weights, name of the set) -> losses at the time indices.
    train : array
        The training set, filled up with zeros behind n rows.
    key : key
    """

    def __init__(
        self,
        setting: Setting,
        apply: Any,
        advance: Callable[..., Any],
        losses: Callable[[Any, str], Array],
        train: Any,
        key: Any,
    ):
        self._setting, self._advance, self._losses = setting, advance, losses
        self._train, self._key = train, jax.random.fold_in(key, 0)
        self._gradient = _gradient(apply)
        keys = jax.random.split(jax.random.fold_in(key, 1), 3)
        x = train[jax.random.randint(keys[0], (_SAMPLES,), 0, setting.n)]
        index = jax.random.randint(keys[1], (_SAMPLES,), 0, TIMES)
        self._noisy = x, index, jax.random.normal(keys[2], x.shape)

    def measure(self, state: Any, step: int) -> dict[str, Array]:
        """``calm_train`` and ``calm_test`` (stretches, indices); ``load`` (2,) with its error.

        Every second measurement has them; at the others they are nan.
        """
        setting, rate = self._setting, self._setting.rate / CALMER
        if np.searchsorted(setting.grid, step) % 2:
            shape = len(setting.calm), len(setting.indices)
            none = {f"calm_{name}": np.full(shape, np.nan) for name in ("train", "test")}
            return {**none, "load": np.full(2, np.nan)}
        key = jax.random.fold_in(self._key, step)
        found: dict[str, list[Array]] = {"train": [], "test": []}
        start, copy = step, state
        for stretch in setting.calm:
            stop = step + round(stretch / rate)
            copy = self._advance(copy, self._train, setting.n, key, start, stop)
            start = stop
            for name, rows in found.items():
                rows.append(self._losses(copy[0], name))
        calm = {f"calm_{name}": np.array(rows) for name, rows in found.items()}
        return {**calm, "load": self.load(state[0])}

    def load(self, params: Any) -> NDArray[np.float64]:
        """The load of these weights and its standard error over the samples."""
        x, index, xi = self._noisy
        # sample by sample: gradients of a convolution for many weights at once are slow
        pairs = [
            self._gradient(params, x[i : i + 1], index[i : i + 1], xi[i : i + 1])
            for i in range(_SAMPLES)
        ]
        pulled, residual = np.asarray(pairs, dtype=np.float64).T
        ratio = pulled.mean() / residual.mean()
        error = (pulled - ratio * residual).std(ddof=1) / np.sqrt(_SAMPLES) / residual.mean()
        setting, size = self._setting, x[0].size
        eta = setting.rate / (1.0 - MOMENTUM)
        return eta / (setting.noisy_per_step * size) * np.array([ratio, error])


@cache
def _gradient(apply: Any) -> Any:
    """(weights, x, index, xi) of one sample -> |J^T r|^2 and |r|^2."""
    signal, noise = (jnp.asarray(part, dtype=jnp.float32) for part in (SIGNAL, NOISE))

    def half(params: Any, x: Any, index: Any, xi: Any) -> Any:
        a, s = (part[index].reshape((-1,) + (1,) * (x.ndim - 1)) for part in (signal, noise))
        r = apply(params, a * x + s * xi, index) - (a * xi - s * x)
        return 0.5 * jnp.sum(r * r)

    @jax.jit
    def pair(params: Any, x: Any, index: Any, xi: Any) -> Any:
        value, gradient = jax.value_and_grad(half)(params, x, index, xi)
        leaves = jax.tree_util.tree_leaves(gradient)
        return sum(jnp.sum(leaf * leaf) for leaf in leaves), 2.0 * value

    return pair
