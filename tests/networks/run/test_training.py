"""Networks, sampler and training with JAX: what only runs where the extra is installed.

Run as ``pytest -m jax``; skipped without the extra: ``pip install '.[experiments]'``.
"""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmft_rf import DataError
from validation.networks import command
from validation.networks.command import FILE, main
from validation.networks.run import data
from validation.networks.run.engine import Diverged, run
from validation.networks.run.plan import Setting
from validation.networks.run.schedule import NOISE, SIGNAL
from validation.networks.run.store import Store
from validation.networks.run.workers import run_at_once

jax = pytest.importorskip("jax")
jnp = jax.numpy
from validation.networks.run import nets, trainer  # noqa: E402

pytestmark = pytest.mark.jax
ROOT = Path(__file__).resolve().parents[3]
SMALL = Setting(
    "images", "digits", 8, 8, 8, 0, "adam", 2e-3, 16, 60, 1e3, 2.0, per_decade=3, noisy=32,
    held_out=32, generated=32, sampler_steps=8,
)  # fmt: skip


@pytest.mark.parametrize("side", [2, 4])
def test_convolution_is_the_sum_over_nine_taps(side: int) -> None:
    key = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(key[0], (3, side, side, 5))
    params = nets._dense_init(key[1], 45, 7) | {"bias": jnp.arange(7.0)}
    taps = np.asarray(params["weight"]).reshape(3, 3, 5, 7)
    around = np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    direct = np.arange(7.0) + sum(
        around[:, i : i + side, j : j + side] @ taps[i, j] for i in range(3) for j in range(3)
    )
    assert np.allclose(nets._conv(params, x), direct, atol=1e-5)


def test_cells_go_back_and_forth() -> None:
    x = jnp.arange(2 * 8 * 8 * 3.0).reshape(2, 8, 8, 3)
    cells = nets._to_cells(x, 4)
    assert cells.shape == (2, 2, 2, 48)
    assert np.array_equal(nets._from_cells(cells, 4), x)
    assert np.array_equal(np.sort(cells[0, 0, 1].ravel()), np.sort(x[0, :4, 4:].ravel()))


@pytest.mark.parametrize(("side", "width"), [(8, 8), (28, 16)])
def test_shapes_and_sizes(side: int, width: int) -> None:
    params = nets.unet_init(jax.random.key(0), side, width)
    x = jnp.ones((3, side, side))
    out = jax.jit(nets.unet)(params, x, jnp.array([0, 500, 999]))
    assert out.shape == x.shape
    assert nets.count(params) == sum(p.size for p in jax.tree_util.tree_leaves(params))
    assert not np.allclose(out[0], out[1])  # the time index matters


def gaussian(params: Any, x: Any, index: Any) -> Any:
    """The exact v for N(0, params^2): E[a xi - s x | x_k]."""
    a = jnp.asarray(SIGNAL, dtype=jnp.float32)[index][:, None]
    s = jnp.asarray(NOISE, dtype=jnp.float32)[index][:, None]
    return a * s * (1.0 - params**2) * x / (a**2 * params**2 + s**2)


def test_sampler_on_a_gaussian() -> None:
    """The flow of N(0, w^2) is linear; its end has the standard deviation w."""
    start = jax.random.normal(jax.random.key(1), (500, 2))
    generate = trainer._sampler(gaussian, 1000)
    for width in (0.5, 1.0, 2.0):
        ratio = np.asarray(generate(width, start) / start)
        assert np.ptp(ratio) < 1e-3
        assert abs(ratio.mean() / width - 1.0) < 0.02  # first order in 1000 steps


def test_losses_of_the_exact_denoiser() -> None:
    """E |xi - E[xi|x_k]|^2/d = a^2 w^2/(a^2 w^2 + s^2), the floor of docs/theory.md, section 6."""
    keys = jax.random.split(jax.random.key(2), 2)
    indices, width = (50, 300), 0.7
    x = width * jax.random.normal(keys[0], (20_000, 2))
    xi = jax.random.normal(keys[1], (2, 20_000, 2))
    values, _ = trainer._loss_reader(gaussian, indices)(width, x, xi)
    for found, k in zip(np.asarray(values), indices, strict=True):
        signal = SIGNAL[k] ** 2 * width**2
        error = found.std() / np.sqrt(found.size)
        assert abs(found.mean() - signal / (signal + NOISE[k] ** 2)) < 4.0 * error


def test_training_lowers_the_loss_and_the_average_follows() -> None:
    one = trainer.Trainer(dataclasses.replace(SMALL, steps=300))
    before = one.measure()
    one.advance(300)
    after = one.measure()
    assert (after["train"] < 0.9 * before["train"]).all()
    assert np.allclose(after["train"], after["last_train"], rtol=0.3)
    assert 0.0 <= after["memorized"].min() <= after["memorized"].max() <= 1.0
    assert after["frechet"] < before["frechet"]
    assert after["shown"].shape == (16, 8, 8)


@pytest.mark.parametrize(("rule", "batch"), [("adam", 16), ("sgd", 0)])
def test_stretches_do_not_matter(rule: str, batch: int) -> None:
    setting = dataclasses.replace(SMALL, optimiser=rule, batch=batch, rate=1e-3)
    one, other = trainer.Trainer(setting), trainer.Trainer(setting)
    one.advance(30)
    other.advance(7)
    third = trainer.Trainer(setting)
    third.restore(other.step, other.state())
    third.advance(30)
    assert all(np.array_equal(a, b) for a, b in zip(one.state(), third.state(), strict=True))
    with pytest.raises(DataError, match="another network"):
        third.restore(1, third.state()[:-1])


def test_a_run_that_is_interrupted_ends_like_one_that_is_not(tmp_path: Path) -> None:
    class Interrupted(trainer.Trainer):
        def advance(self, to: int) -> None:
            super().advance(min(to, 25))
            if to > 25:
                raise KeyboardInterrupt

    now = [0.0]

    def clock() -> float:
        now[0] += 30.0  # a checkpoint at every stretch
        return now[0]

    whole, store = Store(tmp_path / "a.h5"), Store(tmp_path / "b.h5")
    run(whole, [SMALL], trainer.Trainer, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        run(store, [SMALL], Interrupted, quiet=True, clock=clock)
    assert store.checkpoint(SMALL) is not None
    again = Store(tmp_path / "b.h5")
    run(again, [SMALL], trainer.Trainer, quiet=True)
    one, other = whole.runs[SMALL.key].curves, again.runs[SMALL.key].curves
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_exact_score_would_have_no_score_error() -> None:
    """The score error of the mixture against that of a network that says nothing."""
    setting = Setting(
        "mixture", "mixture", 8, 8, 16, 0, "adam", 2e-3, 16, 10, 1e3, 2.0, noisy=32,
        held_out=4000, generated=0,
    )  # fmt: skip
    one = trainer.Trainer(setting)
    zero = np.zeros((len(setting.indices), 4000, 8))
    found = one._score_error(zero)
    # E |s*|^2/d: 1 - a^2 (1 - E tanh^2)-like corrections lie between 1 - a^2 and 1
    low = 1.0 - SIGNAL[list(setting.indices)] ** 2
    assert (found > low - 0.05).all()
    assert (found < 1.05).all()


def of_the_exact_score(params: Any, x: Any, index: Any) -> Any:
    """v of the mixture: a xi - s x with the expected noise xi = -s score."""
    a, s = (jnp.asarray(part, dtype=jnp.float32)[index][:, None] for part in (SIGNAL, NOISE))
    noise = -s * (-x + a * jnp.tanh(a * x.sum(axis=-1, keepdims=True)))
    return (noise - s * x) / a


def test_divergence_of_known_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(
        "mixture", "mixture", 8, 8, 16, 0, "adam", 2e-3, 16, 10, 1e3, 2.0, noisy=32, held_out=32,
        generated=1024, divergence=1024, sampler_steps=200,
    )  # fmt: skip
    one = trainer.Trainer(setting)
    monkeypatch.setattr(one, "_volume", trainer._volume_reader(of_the_exact_score, 200))
    found = one._divergence({})
    # the sampler itself is 0.001 away
    assert abs(found["divergence"] - 1e-3 / 8) < 4.0 * found["divergence_error"] < 1e-3
    assert found["folded"] == 0.0
    # v = 0: every step is a factor, and what is generated is N(0, c^2)
    monkeypatch.setattr(one, "_volume", trainer._volume_reader(lambda p, x, k: 0.0 * x, 200))
    found = one._divergence({})
    c = float(trainer._sampler(lambda p, x, k: 0.0 * x, 200)({}, jnp.ones((1, 8)))[0, 0])
    z, weight = np.polynomial.hermite_e.hermegauss(100)
    log_cosh = np.logaddexp(c * math.sqrt(8) * z, -c * math.sqrt(8) * z) - math.log(2.0)
    exact = 0.5 * c**2 - math.log(c) - weight @ log_cosh / math.sqrt(2.0 * math.pi) / 8
    assert abs(found["divergence"] - exact) < 4.0 * found["divergence_error"] < 0.1


def test_labels_guide_what_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    key = jax.random.key(3)
    params = nets.labelled_init(key, 8, 16)
    x = jax.random.normal(key, (4, 8, 8))
    time, labels = jnp.full(4, 30), jnp.asarray([1, 2, 3, 3])
    plain = nets.labelled(params, x, time)
    told = nets.labelled(params, x, time + 1000 * labels)
    no_label = nets.residual(params, x.reshape(4, -1), time, params["label"][0])
    assert np.array_equal(plain, no_label.reshape(x.shape))
    assert np.abs(told - plain).max() > 1e-4
    # guidance 0 follows the label alone, guidance 1 goes as far again beyond it at the first step
    one, two = (
        np.asarray(trainer._sampler(nets.labelled, 2, g)(params, x, labels)) for g in (0.0, 1.0)
    )
    alone = np.asarray(trainer._sampler(lambda p, x, k: nets.labelled(p, x, k + 1000 * labels), 2)(
        params, x))  # fmt: skip
    assert np.allclose(one, alone, atol=1e-6)
    assert np.abs(two - one).max() > 1e-4
    # a whole run; the labels are those of the pictures
    images = data.load("digits", 8)
    known = dataclasses.replace(images, labels=np.arange(len(images.pixels)) % 10)
    monkeypatch.setattr(data, "load", lambda name, side: known)
    guided = dataclasses.replace(SMALL, network="residual", guidance=1.0)
    run_ = trainer.Trainer(guided)
    parts = data.split(known, guided.n, guided.held_out, guided.seed)
    assert np.array_equal(run_._labels["train"][: guided.n], 1 + parts.labels[0])
    run_.advance(20)
    assert np.isfinite(run_.measure()["frechet"])
    monkeypatch.setattr(data, "load", lambda name, side: images)
    with pytest.raises(DataError, match="no labels"):
        trainer.Trainer(guided)


def test_divergence_is_said_and_written_down(tmp_path: Path) -> None:
    wild = dataclasses.replace(SMALL, optimiser="sgd", rate=1e6)
    one = trainer.Trainer(wild)
    one.advance(20)
    with pytest.raises(Diverged, match="not finite at step 20"):
        one.measure()
    store = Store(tmp_path / FILE)
    run(store, [wild], trainer.Trainer, quiet=True)
    assert [*store.diverged] == [wild.key]


def test_the_command(tmp_path: Path) -> None:
    arguments = ["--case", "mixture", "--out", str(tmp_path), "--quiet"]
    arguments += ["--only", "mixture-mixture8.n8."]
    assert main(arguments) == 0
    before = (tmp_path / FILE).read_bytes()
    assert main(arguments) == 0
    assert (tmp_path / FILE).read_bytes() == before
    assert (tmp_path / "networks.html").is_file()


ONE = """
import sys
from validation.networks import command
from validation.networks.run import engine, plan, store

work = [plan.Setting.of(setting) for setting in {settings!r}]
engine.run(store.Store(sys.argv[1]), work, command.trainer, quiet=True)
"""


def test_two_jobs_give_the_bits_of_one_with_as_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    small = dataclasses.replace(SMALL, case="mixture", data="mixture", noisy=16, steps=100)
    work = [dataclasses.replace(small, seed=seed) for seed in (0, 1)]
    one, two = (tmp_path / f"{name}.h5" for name in ("one", "two"))
    run_at_once(Store(two), work, command.trainer, jobs=2, quiet=True)
    subprocess.run(
        [sys.executable, "-c", ONE.format(settings=[s.describe() for s in work]), str(one)],
        env={**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}, cwd=ROOT, check=True,
    )  # fmt: skip
    found, other = Store(one).runs, Store(two).runs
    assert len(found) == 2
    assert all(found[key].same_numbers(other[key]) for key in found)
