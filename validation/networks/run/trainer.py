r"""Training by denoising score matching, and what is measured on the way (JAX and optax).

A step draws samples x of the training set, time indices k uniformly and noise xi, and lowers the
mean of |v_theta(a x + s xi, k) - (a xi - s x)|^2. The random numbers of a step depend on the seed
and on its number alone, so that a run that goes on from a checkpoint ends where it would have.

Measured is the network with averaged weights: in step k the average moves towards the weights by
the factor 1 - (1 - 1/k)^17, so that it is over the last few per cent of the training at all times
(power-function average of Karras et al., arXiv:2312.02696) and lags by as much on the logarithmic
axis of time, early and late. The losses of the last weights are recorded as well. Losses are
those of the prediction of the noise, E |xi_theta - xi|^2/d = a^2 E |v_theta - v|^2/d, which is
what the losses of docs/theory.md, "Model and conventions", are.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from dmft_rf import DataError
from dmft_rf._typing import Array
from validation.networks.run import data, measures, mixture, nets
from validation.networks.run.engine import Diverged
from validation.networks.run.noise import Noise
from validation.networks.run.plan import CALMER, MOMENTUM, Setting
from validation.networks.run.schedule import NOISE, SIGNAL, TIMES, sampling_times

_AVERAGE = 17.0
# share of the samples whose label a step does not tell
_DROPPED = 0.2
#: generated samples that are kept to be looked at
SHOWN = 16


class Trainer:
    """One run: the state of the training and its measurements.

    Parameters
    ----------
    setting : Setting

    Raises
    ------
    DataError
        If the data are missing or do not suffice.
    """

    def __init__(self, setting: Setting):
        self.setting = setting
        self._data = _arrays(setting)
        make, apply = {
            ("images", "", False): (nets.unet_init, nets.unet),
            ("images", "residual", False): (nets.rows_init, nets.rows),
            ("images", "residual", True): (nets.labelled_init, nets.labelled),
            ("mixture", "", False): (nets.residual_init, nets.residual),
        }[setting.case, setting.network, setting.guidance > 0.0]
        key = jax.random.key(setting.seed)
        params = make(jax.random.fold_in(key, 0), setting.side, setting.width)
        rule = _rule(setting.optimiser, setting.rate)
        self.step = 0
        self._state = (params, rule.init(params), params)
        self._parameters = nets.count(params)
        self._advance = _advancer(apply, setting.optimiser, setting.rate, setting.batch)
        self._key = jax.random.fold_in(key, 1)
        self._losses = _loss_reader(apply, setting.indices)
        self._generate = _sampler(apply, setting.sampler_steps, setting.guidance)
        self._volume = _volume_reader(apply, setting.sampler_steps)
        # mini-batches are drawn from an array of one size, so that all n share one compilation
        rows = data.LARGEST if setting.batch else setting.n
        padded = np.zeros((rows, *self._data.train.shape[1:]), dtype=np.float32)
        padded[: setting.n] = self._data.train
        self._train = jnp.asarray(np.repeat(padded, setting.copies, axis=0))
        self._labels = self._told(rows)
        self._prepare(jax.random.fold_in(key, 2))
        self._noise = None
        if setting.calm:
            calmer = _advancer(apply, setting.optimiser, setting.rate / CALMER, setting.batch)
            self._noise = Noise(
                setting, apply, calmer, self._mean_losses, self._train, jax.random.fold_in(key, 4)
            )

    def _told(self, rows: int) -> dict[str, Any]:
        """Labels + 1 of all that the network sees; none of pictures without guidance."""
        if not self.setting.guidance:
            return dict.fromkeys(("step", "train", "test", "generated"))
        if self._data.labels is None:
            raise DataError(f"{self.setting.data}: has no labels; guidance needs them (fashion)")
        train, test = (1 + part for part in self._data.labels)
        s, n = self.setting, self.setting.n
        padded = np.zeros(rows, dtype=np.int32)
        padded[:n] = train
        labels = {
            "step": np.repeat(padded, s.copies), "train": np.tile(train, -(-s.noisy // n)),
            "test": test, "generated": np.resize(train, max(s.generated, 1)),
        }  # fmt: skip
        return {name: jnp.asarray(values, dtype=jnp.int32) for name, values in labels.items()}

    def _prepare(self, key: Any) -> None:
        """Noisy samples and starting points, the same at every measurement."""
        s = self.setting
        copies = -(-s.noisy // s.n)
        shape = self._data.train.shape[1:]
        keys = jax.random.split(key, 3)
        rows = jnp.asarray(np.tile(self._data.train, (copies, *(1,) * len(shape))))
        times = len(s.indices)
        self._probe = {
            "train": (rows, jax.random.normal(keys[0], (times, *rows.shape))),
            "test": (
                jnp.asarray(self._data.test),
                jax.random.normal(keys[1], (times, *self._data.test.shape)),
            ),
        }
        self._start = jax.random.normal(keys[2], (max(s.generated, 1), *shape))
        self._features = measures.Features.of(self._data.reference)
        rng = np.random.default_rng([s.seed, 3])
        self._real = (
            self._features.yardstick(self._data.yardstick, s.generated, rng)
            if s.generated > 1
            else (np.nan, np.nan)
        )

    # -- the training --------------------------------------------------------------------------

    def advance(self, to: int) -> None:
        """Train up to step ``to``."""
        if to > self.step:
            state = self._advance(
                self._state, self._train, self.setting.n, self._key, self.step, to,
                self._labels["step"],
            )  # fmt: skip
            # state and step change together, also where somebody interrupts the waiting
            self._state, self.step = jax.block_until_ready(state), to

    def state(self) -> list[NDArray[Any]]:
        """Everything that a checkpoint must hold besides the step."""
        return [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(self._state)]

    def restore(self, step: int, leaves: list[NDArray[Any]]) -> None:
        """Go on from what `state` gave at ``step``.

        Raises
        ------
        DataError
            If the arrays are not those of this network.
        """
        mine, tree = jax.tree_util.tree_flatten(self._state)
        if [leaf.shape for leaf in mine] != [leaf.shape for leaf in leaves]:
            raise DataError(f"{self.setting.key}: the checkpoint is of another network")
        given = [jnp.asarray(new, dtype=old.dtype) for new, old in zip(leaves, mine, strict=True)]
        self._state = jax.tree_util.tree_unflatten(tree, given)
        self.step = step

    def facts(self) -> dict[str, Any]:
        """What a store says about the run besides its setting."""
        device = jax.devices()[0]
        return {
            "parameters": self._parameters,
            "source": self._data.source,
            "digest": self._data.digest,
            "device": f"{device.platform} ({device.device_kind})",
            "jax": jax.__version__,
            "optax": optax.__version__,
        }

    # -- the measurements ----------------------------------------------------------------------

    def measure(self) -> dict[str, Array]:
        """One row of every curve.

        Raises
        ------
        Diverged
            If a loss or a generated sample is not finite.
        """
        params, _, average = self._state
        row: dict[str, Array] = {"step": np.asarray(float(self.step))}
        for name, (x, noise) in self._probe.items():
            for prefix, tree in (("", average), ("last_", params)):
                values, predicted = self._losses(tree, x, noise, self._labels[name])
                values = np.asarray(values, dtype=np.float64)
                row[f"{prefix}{name}"] = values.mean(axis=1)
                if not prefix:
                    row[f"{name}_error"] = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
                    if name == "test" and self.setting.case == "mixture":
                        row["score_error"] = self._score_error(np.asarray(predicted))
        if not (np.isfinite(row["train"]).all() and np.isfinite(row["test"]).all()):
            raise Diverged(f"a loss is not finite at step {self.step}; lower the rate")
        if self.setting.generated > 1:
            row |= self._quality(average)
        if self.setting.divergence:
            row |= self._divergence(average)
        if self._noise is not None:
            row |= self._noise.measure(self._state, self.step)
        return row

    def _mean_losses(self, params: Any, name: str) -> Array:
        """Losses of these weights at the time indices, over "train" or "test" samples."""
        return np.asarray(self._losses(params, *self._probe[name])[0], dtype=float).mean(axis=1)

    def _score_error(self, predicted: NDArray[Any]) -> Array:
        """E |s_theta - s*|^2/d at each time index, over noisy held-out samples."""
        x, noise = (np.asarray(part, dtype=np.float64) for part in self._probe["test"])
        found = []
        for i, k in enumerate(self.setting.indices):
            noisy = SIGNAL[k] * x + NOISE[k] * noise[i]
            difference = -predicted[i] / NOISE[k] - mixture.score(noisy, float(SIGNAL[k]))
            found.append(np.mean(difference**2))
        return np.asarray(found)

    def _divergence(self, params: Any) -> dict[str, Array]:
        """KL(generated || mixture) per dimension, its error, and where the sampler folds."""
        start = self._start[: self.setting.divergence]
        samples, log_volume, sign = (
            np.asarray(part, dtype=np.float64) for part in self._volume(params, start)
        )
        gained = mixture.log_normal(np.asarray(start, dtype=np.float64)) - log_volume
        values = (gained - mixture.log_density(samples)) / self.setting.side
        if not np.isfinite(values).all():
            raise Diverged(f"the density of a sample is not finite at step {self.step}")
        return {
            "divergence": np.asarray(values.mean()),
            "divergence_error": np.asarray(measures.standard_error(values)),
            "folded": np.asarray(float(np.mean(sign < 0.0))),
        }

    def _quality(self, params: Any) -> dict[str, Array]:
        samples = np.asarray(self._generate(params, self._start, self._labels["generated"]))
        if not np.isfinite(samples).all():
            raise Diverged(f"generated samples are not finite at step {self.step}")
        ratio, index = measures.nearest(samples, self._data.train)
        rng = np.random.default_rng([self.setting.seed, 4])
        fraction, error = measures.memorized(ratio, rng)
        return {
            "memorized": fraction,
            "memorized_error": error,
            "frechet": np.asarray(self._features.distance(samples)),
            "frechet_real": np.asarray(self._real),
            "shown": samples[:SHOWN].astype(np.float16),
            "shown_nearest": self._data.train[index[:SHOWN]].astype(np.float16),
        }


class _Data:
    def __init__(self, parts: data.Split, source: str, digest: str):
        self.train, self.test = parts.train, parts.test
        self.reference, self.yardstick = parts.reference, parts.yardstick
        self.source, self.digest, self.labels = source, digest, parts.labels


def _arrays(setting: Setting) -> _Data:
    if setting.case == "images":
        images = data.load(setting.data, setting.side)
        parts = data.split(images, setting.n, setting.held_out, setting.seed)
        return _Data(parts, images.source, images.digest)
    # separate streams: the training sets of different n contain one another
    sizes = (setting.n, setting.held_out, 10_000, 10_000)
    train, test, reference, yardstick = (
        mixture.draw(np.random.default_rng([setting.seed, 2, i]), size, setting.side).astype(
            np.float32
        )
        for i, size in enumerate(sizes)
    )
    parts = data.Split(train, test, reference, yardstick)
    return _Data(parts, "drawn", "drawn")


def _column(values: Any, like: Any) -> Any:
    """Values (m,) shaped to multiply samples (m, ...)."""
    return jnp.reshape(values, (-1,) + (1,) * (like.ndim - 1))


def _rule(optimiser: str, rate: float) -> Any:
    if optimiser == "adam":
        return optax.adam(rate)
    return optax.sgd(rate, momentum=MOMENTUM)


@cache
def _advancer(apply: Any, optimiser: str, rate: float, batch: int) -> Any:
    """(state, training set, n, key, start, stop, labels) -> state; a step is compiled.

    The loop over steps is not: inside a compiled loop the processor's gradient of a convolution is
    twenty times slower.
    """
    rule = _rule(optimiser, rate)
    signal, noise = (jnp.asarray(part, dtype=jnp.float32) for part in (SIGNAL, NOISE))

    def loss(params: Any, x: Any, k: Any, xi: Any, told: Any) -> Any:
        a, s = _column(signal[k], x), _column(noise[k], x)
        return jnp.mean((apply(params, a * x + s * xi, k + told) - (a * xi - s * x)) ** 2)

    def one(number: Any, state: Any, train: Any, n: Any, key: Any, labels: Any) -> Any:
        params, memory, average = state
        keys = jax.random.split(jax.random.fold_in(key, number), 3)
        which = jax.random.randint(keys[0], (batch,), 0, n) if batch else jnp.arange(len(train))
        x = train[which] if batch else train
        k = jax.random.randint(keys[1], (x.shape[0],), 0, TIMES)
        xi = jax.random.normal(keys[2], x.shape)
        told: Any = 0
        if labels is not None:
            kept = jax.random.uniform(jax.random.fold_in(keys[1], 1), k.shape) >= _DROPPED
            told = TIMES * jnp.where(kept, labels[which], 0)
        gradient = jax.grad(loss)(params, x, k, xi, told)
        update, memory = rule.update(gradient, memory, params)
        params = optax.apply_updates(params, update)
        share = 1.0 - (1.0 - 1.0 / (number + 1.0)) ** _AVERAGE
        average = jax.tree_util.tree_map(lambda m, p: m + share * (p - m), average, params)
        return params, memory, average

    step = jax.jit(one, donate_argnums=1)

    def advance(
        state: Any, train: Any, n: int, key: Any, start: int, stop: int, labels: Any = None
    ) -> Any:
        state = jax.tree_util.tree_map(jnp.copy, state)  # the caller's is not given away
        for number in range(start, stop):
            state = step(number, state, train, n, key, labels)
        return state

    return advance


@cache
def _loss_reader(apply: Any, indices: tuple[int, ...]) -> Any:
    places = np.asarray(indices)
    signal, noise = (jnp.asarray(part[places], dtype=jnp.float32) for part in (SIGNAL, NOISE))

    @jax.jit
    def read(params: Any, x: Any, xi: Any, labels: Any = None) -> Any:
        told = 0 if labels is None else TIMES * labels

        def at(arguments: Any) -> Any:
            a, s, k, drawn = arguments
            noisy = a * x + s * drawn
            v = apply(params, noisy, jnp.full(x.shape[0], k) + told)
            predicted = s * noisy + a * v
            error = (predicted - drawn) ** 2
            return error.reshape(x.shape[0], -1).mean(axis=1), predicted

        return jax.lax.map(at, (signal, noise, jnp.asarray(places), xi))

    return read


@cache
def _sampler(apply: Any, steps: int, guidance: float = 0.0) -> Any:
    """Deterministic sampler (Song, Meng, Ermon, arXiv:2010.02502), from noise to k = 0.

    With labels, v is (1 + guidance) v(label) - guidance v.
    """
    times = sampling_times(steps)
    here = (SIGNAL[times], NOISE[times])
    # behind the last time index there is no noise
    then = (np.append(SIGNAL[times[1:]], 1.0), np.append(NOISE[times[1:]], 0.0))
    rows = [jnp.asarray(part, dtype=jnp.float32) for part in (*here, *then)]

    @jax.jit
    def generate(params: Any, start: Any, labels: Any = None) -> Any:
        def one(x: Any, row: Any) -> Any:
            k, a, s, a_next, s_next = row
            v = apply(params, x, jnp.full(x.shape[0], k))
            if labels is not None:
                told = apply(params, x, jnp.full(x.shape[0], k) + TIMES * labels)
                v = (1.0 + guidance) * told - guidance * v
            return a_next * (a * x - s * v) + s_next * (s * x + a * v), None

        return jax.lax.scan(one, start, (jnp.asarray(times), *rows))[0]

    return generate


@cache
def _volume_reader(apply: Any, steps: int) -> Any:
    """(weights, starting points) -> samples, log |det| and sign of det of the sampler's Jacobian.

    The sampler is a map without noise: the density of a sample is that of its starting point over
    the determinant.
    """
    generate = _sampler(apply, steps)

    @jax.jit
    def read(params: Any, start: Any) -> Any:
        def one(x: Any) -> Any:
            found = generate(params, x[None])[0]
            return found, found

        slopes, samples = jax.vmap(jax.jacfwd(one, has_aux=True))(start)
        sign, log_volume = jnp.linalg.slogdet(slopes)
        return samples, log_volume, sign

    return read
