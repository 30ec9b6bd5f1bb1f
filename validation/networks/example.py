"""A whole run with the monitor: a pilot on few digits, advice for more of them, what came of it.

    python -m validation.networks.example              the small U-Net of the networks page
    python -m validation.networks.example residual     a residual network, half a minute

A network learns to find the noise in the bundled digits, first on 64 of them. Its log and its
images give the advice for 256; then it is trained on those, and both are printed. It needs JAX and
optax (the extra ``experiments``), and one core.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dmft_rf import Advice, advise
from dmft_rf.data import bundled
from dmft_rf.monitor import Monitor
from validation.networks.run import nets
from validation.networks.run.schedule import NOISE, SIGNAL, TIMES, sampling_times

INDEX = 50  # the step of DDPM's schedule at which losses are measured
_BATCH, _ROWS = 64, 2048
_RULE = optax.adam(1e-3)
#: parameters of a width, and the network
NETWORKS = {"unet": (nets.unet_init, nets.unet), "residual": (nets.rows_init, nets.rows)}
WIDTHS = {"unet": 16, "residual": 128}
Apply = Callable[[Any, Any, Any], Any]
_SIGNAL, _NOISE = jnp.asarray(SIGNAL, jnp.float32), jnp.asarray(NOISE, jnp.float32)


def _loss(params: Any, apply: Apply, x: Any, k: Any, xi: Any) -> Any:
    """Of the prediction of a xi - s x from a x + s xi, for images x (n, side, side)."""
    a, s = _SIGNAL[k][:, None, None], _NOISE[k][:, None, None]
    return jnp.mean((apply(params, a * x + s * xi, k) - (a * xi - s * x)) ** 2)


@partial(jax.jit, static_argnums=0)
def _step(
    apply: Apply, key: Any, x: Any, share: Any, params: Any, memory: Any, average: Any
) -> Any:
    """One step on images x; the averaged weights move towards the new ones by ``share``."""
    times, drawn = jax.random.split(key)
    k = jax.random.randint(times, (len(x),), 0, TIMES)
    gradient = jax.grad(_loss)(params, apply, x, k, jax.random.normal(drawn, x.shape))
    update, memory = _RULE.update(gradient, memory, params)
    params = optax.apply_updates(params, update)
    return params, memory, jax.tree_util.tree_map(lambda m, p: m + share * (p - m), average, params)


@partial(jax.jit, static_argnums=0)
def _loss_on(apply: Apply, params: Any, x: Any) -> Any:
    """The loss of the noise at the time ``INDEX``, with the same noises at every call."""
    xi = jax.random.normal(jax.random.key(1), x.shape)
    return _SIGNAL[INDEX] ** 2 * _loss(params, apply, x, jnp.full(len(x), INDEX), xi)


@partial(jax.jit, static_argnums=(0, 2))
def _sample(apply: Apply, params: Any, side: int) -> Any:
    """64 images by the deterministic sampler (arXiv:2010.02502), from the same noises."""
    times = sampling_times(50)
    then = np.append(SIGNAL[times[1:]], 1.0), np.append(NOISE[times[1:]], 0.0)
    rows = [jnp.asarray(part, jnp.float32) for part in (SIGNAL[times], NOISE[times], *then)]

    def one(x: Any, row: Any) -> Any:
        k, a, s, a_next, s_next = row
        v = apply(params, x, jnp.full(len(x), k))
        return a_next * (a * x - s * v) + s_next * (s * x + a * v), None

    start = jax.random.normal(jax.random.key(2), (64, side, side))
    return jax.lax.scan(one, start, (jnp.asarray(times), *rows))[0]


def train(
    training: np.ndarray, held_out: np.ndarray, path: Path, network: str, width: int, most: int
) -> tuple[Monitor, int]:
    """Train until the monitor says stop; returns it and how many parameters there were.

    Parameters
    ----------
    training, held_out : arrays (n, side, side)
    path : path
        Log of the run.
    network : {"unet", "residual"}
    width : int
        Channels of the U-Net, or units.
    most : int
        Steps at most.
    """
    rng, key = np.random.default_rng(0), jax.random.key(0)
    (make, apply), side = NETWORKS[network], training.shape[1]
    params = average = make(key, side, width)
    memory = _RULE.init(params)
    # every image with as many noises as there is room for
    measured = [np.resize(x, (_ROWS, side, side)) for x in (training, held_out)]
    monitor = Monitor(training, held_out, path=path)
    for number in range(1, most + 1):
        x = training[rng.integers(len(training), size=_BATCH)]
        share = min(1.0, 17.0 / number)  # averaged over the last few per cent of the run
        state = _step(apply, jax.random.fold_in(key, number), x, share, params, memory, average)
        params, memory, average = state
        if monitor.due(number):
            train, test = (float(_loss_on(apply, average, x)) for x in measured)
            monitor.add(number, train, test, np.asarray(_sample(apply, average, side)))
            if monitor.stop:
                break
    return monitor, nets.count(params)


def compared(advice: Advice, monitor: Monitor) -> dict[str, float]:
    """What was said about as many images as there were, and what happened.

    Returns
    -------
    dict
        ``predicted``, ``low``, ``high``: of the advice. ``true``: the best step. ``cost``: the
        held-out loss at the predicted step over the least one, less 1. ``loss_predicted`` and
        ``loss_true``: least losses, the first that of the solvable model.
    """
    row = int(np.flatnonzero(advice.table["n"] == monitor.n)[0])
    log, table = monitor.log, advice.table
    predicted = float(table["best_step"][row])
    there = np.interp(np.log(predicted), np.log(log.step), log.test)
    return {
        "predicted": predicted,
        "low": float(table["low"][row]),
        "high": float(table["high"][row]),
        "true": monitor.dates["best"].step,
        "cost": float(there / log.test.min() - 1.0),
        "loss_predicted": float(table["test_loss"][row]),
        "loss_true": float(log.test.min()),
    }


def main(
    network: str = "unet", few: int = 64, many: int = 256, width: int = 0, most: int = 40_000
) -> dict[str, float]:
    """Train on few digits, ask for advice, train on many, and say how good it was.

    A width of 0 is that of `WIDTHS`.
    """
    width = width or WIDTHS[network]
    with np.load(bundled.path("digits")) as file:
        digits = np.random.default_rng(0).permutation(file["images"].reshape(-1, 8, 8) / 8.0 - 1.0)
    held_out = digits[1000:]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "pilot.csv"
        pilot, parameters = train(digits[:few], held_out, log, network, width, most)
        print(f"Pilot, {few} digits, {parameters:,} parameters.\n{pilot.verdict}\n")
        advice = advise(digits[:few], parameters, f"ddpm:{INDEX}", log, samples=[many], scale=1.0)
        print(f"{advice.text}\n")
        run, _ = train(digits[:many], held_out, Path(folder) / "run.csv", network, width, most)
    print(f"What happened with {many} digits.\n{run.verdict}")
    found = compared(advice, run)
    where = "within" if found["low"] <= found["true"] <= found["high"] else "outside"
    print(
        f"Best step: predicted {found['predicted']:,.0f} ({found['low']:,.0f} to "
        f"{found['high']:,.0f}), true {found['true']:,.0f}, {where} the range; stopping at the "
        f"predicted one costs {100.0 * found['cost']:.1f} % of the held-out loss.\n"
        f"Least held-out loss: theory {found['loss_predicted']:.3f}, network "
        f"{found['loss_true']:.3f}."
    )
    return found


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "unet")
