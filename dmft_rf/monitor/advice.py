"""From a user's images to advice: does stopping matter, when to stop, what more images buy.

Times without steps are those of the solvable model with the covariance of the images; steps come
from a pilot run and what trained networks did with more images, never from theory.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import flag, number, shown, string, whole
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import Shown, Table
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf._typing import Array
from dmft_rf.curves.solve import solve
from dmft_rf.curves.thresholds import n_star
from dmft_rf.curves.timescales import Interval, Timescales
from dmft_rf.errors import ModelError
from dmft_rf.model.practice import psi_p_of
from dmft_rf.model.score_model import ScoreModel, stored_model
from dmft_rf.monitor import sentences
from dmft_rf.monitor.images import measure
from dmft_rf.monitor.noise_levels import time_of
from dmft_rf.monitor.on_images import COLUMNS, on_images
from dmft_rf.monitor.pilot import STEPS, pilot_of, reach_of, steps_of
from dmft_rf.monitor.samples import Samples
from dmft_rf.monitor.transfer import table

__all__ = ["Advice", "advise", "stored_advice", "time_of"]

_RTOL = 1e-6
_THEORY = ("test_loss", "score_error", "best_time", "usable_start", "usable_end", "final_gap")


@dataclass(frozen=True, eq=False, repr=False)
class Advice(Shown):
    """What a user's own images say about training on them.

    Attributes
    ----------
    model : ScoreModel
        With the covariance of the images, in units of the noise.
    name : str
        Of the images.
    level : str
        The noise level, as it was stated.
    divisor : float
        The eigenvalues of the images in their own units were divided by it.
    kurtosis : float
        Excess kurtosis of the images in their principal directions, averaged with the variances
        as weights; 0 for Gaussian data.
    classes : float
        Class structure of the images, of `dmft_rf.monitor.classes.class_structure`: 0 for Gaussian
        images, 1 where they are all alike within 25 classes; nan for fewer than 32 images.
    n_star : float
        Images from which on overfitting never costs a tenth of what there is to learn.
    table : dict of arrays, shape (k,)
        By name, for every number of images ``n``, that of the data first: ``test_loss`` and
        ``score_error``, least ones of the model; ``best_time``, its time of the least test loss;
        ``usable_start`` and ``usable_end``, in units of it; ``final_gap``; of networks on the
        images themselves, where that was measured, ``images_test_loss``, ``images_best_time`` and
        ``images_gap``; and with a pilot ``best_step``, ``low``, ``high`` (its 90 % range),
        ``ratio_2``, ``ratio_2_low``, ``ratio_2_high`` (held-out loss twice the train loss). nan
        where there is no answer.
    route : str
        Which theory answers, and why it is that of the covariance alone if it is.
    pilot : str
        Where steps are from, "" without a pilot.
    pilot_n : int
        Its images.
    unit : str
        "step" or "epoch".
    full_batch : bool
    """

    kind: ClassVar[str] = "advice"
    model: ScoreModel
    name: str
    level: str
    divisor: float
    kurtosis: float
    classes: float
    n_star: float
    table: FrozenDict[str, Array]
    route: str
    pilot: str = ""
    pilot_n: int = 0
    unit: str = "step"
    full_batch: bool = False

    @property
    def n(self) -> int:
        """Number of images."""
        return int(self.table["n"][0])

    @property
    def usable(self) -> Interval:
        """Usable interval for these images, in units of its best time."""
        return Interval(float(self.table["usable_start"][0]), float(self.table["usable_end"][0]))

    @property
    def best_step(self) -> float:
        """Step of the least held-out loss for these images; nan where it is not known."""
        return float(self.table["best_step"][0])

    @property
    def doubling(self) -> FrozenDict[str, float]:
        """By which factor every quantity of the table changes with twice as many images."""
        two = int(np.flatnonzero(self.table["n"] == 2 * self.n)[0])
        with np.errstate(invalid="ignore"):
            factors = {key: float(value[two] / value[0]) for key, value in self.table.items()}
        return FrozenDict(factors)

    @property
    def read(self) -> FrozenDict[str, str]:
        """What was read, by name."""
        model, law = self.model, self.model.covariance
        d = law.dimension
        assert d is not None
        found = {
            "images": f"{self.n:,} of d = {d:,} numbers, {self.name}",
            "scale": f"variances divided by {self.divisor:.6g}, so that their mean is "
            f"{law.mean:.4g} and that of the noise 1",
            "theory": f"of {self.route}",
            "psi_n": f"{model.psi_n:.4g} = n/d, of the data",
            "psi_p": f"{model.psi_p:.4g} = P/d^2, of {model.psi_p * d * d:,.0f} parameters",
            "t": f"{model.t:.4g}" + (f", from {self.level}" if self.level else ""),
            "d_eff": f"{law.effective_dimension:.3g}",
            "excess kurtosis": f"{self.kurtosis:.2g} in the principal directions (Gaussian: 0)",
            "class structure": f"{self.classes:.2g} (Gaussian: 0; alike within 25 classes: 1)",
        }
        return FrozenDict(found)

    @property
    def verdict(self) -> str:
        """Whether stopping matters."""
        return sentences.verdict(self.n, self.n_star)

    @property
    def usable_text(self) -> str:
        """The usable interval in a sentence."""
        return sentences.usable(*self.usable)

    @property
    def steps(self) -> tuple[str, ...]:
        """A sentence on the best step of every number of images; none without a pilot."""
        most = reach_of(self.full_batch)
        rows = zip(*(self.table[key] for key in ("n", "best_step", "low", "high")), strict=True)
        return tuple(
            sentences.steps(int(n), step, low, high, self.unit, most)
            for n, step, low, high in rows
            if self.pilot
        )

    @property
    def more_data(self) -> tuple[str, ...]:
        """A sentence on what every larger number of images buys."""
        t = self.table
        own, theory = t["images_test_loss"], t["test_loss"]
        # beyond what the images tell, the theory of their covariance says what is gained
        last = max(0, int(np.isfinite(own).sum()) - 1)
        loss = np.where(np.isfinite(own), own / own[0], own[last] / own[0] * theory / theory[last])
        if not math.isfinite(own[0]):
            loss = theory / theory[0]
        return tuple(
            sentences.more_data(
                float(t["n"][k] / self.n),
                float(loss[k]),
                float(t["score_error"][k] / t["score_error"][0]),
                float(t["usable_end"][k]),
            )
            for k in range(1, t["n"].size)
        )

    @property
    def trust(self) -> tuple[str, ...]:
        """How far to trust it."""
        law = self.model.covariance
        assert law.dimension is not None
        assert law.effective_dimension is not None
        theory, own = (
            [float(self.table[name][0]) for name in names]
            for names in (("test_loss", "best_time", "final_gap"), COLUMNS)
        )
        if math.isfinite(own[0]):
            said = [sentences.on_images(*own, *theory)]
        else:
            said = [
                sentences.closeness(self.kurtosis),
                sentences.classes(self.classes, self.n),
                sentences.finite_size(law.effective_dimension),
            ]
        said.append(sentences.few_images(self.n, law.dimension))
        if not self.pilot:
            said.append(sentences.NO_PILOT)
        elif self.full_batch:
            said.append(sentences.FULL_BATCH)
        else:
            said.append(_transfer(max(1.0, self.n / self.pilot_n)))
        return tuple(filter(None, said))

    @property
    def text(self) -> str:
        """Everything, in the order of the command."""
        parts = [*(f"{key}: {value}" for key, value in self.read.items()), self.verdict]
        parts += [f"Usable: {self.usable_text}", *self.steps, *self.more_data, *self.trust]
        return "\n".join([*parts, sentences.CLOSING])

    def stated(self, level: str) -> Advice:
        """The same with the noise level in other words."""
        return replace(self, level=string(level, "level"))

    def _about(self) -> str:
        return repr(self)

    def _table(self) -> Table:
        rows = ("n",)
        held = {name: (rows, values) for name, values in self.table.items() if name != "n"}
        return Table(rows, {"n": (rows, self.table["n"])}, held)

    def stored(self) -> Stored:
        """What a file holds of it."""
        attributes, arrays = self.model.stored()
        more = {name: getattr(self, name) for name in _KEPT}
        said = {"verdict": self.verdict, "usable": self.usable_text, "text": self.text}
        return attributes | more | said, arrays | dict(self.table)

    def __repr__(self) -> str:
        start, end = self.usable
        step = "" if math.isnan(self.best_step) else f", best {self.unit} {self.best_step:,.0f}"
        return (
            f"<Advice for {self.n:,} images (n* = {sentences.plain_number(self.n_star)}): usable "
            f"{start:.2f} to {end:.2f} of the best time{step}>"
        )

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{html.escape(line)}</p>" for line in self.text.split("\n"))
        return said + super()._repr_html_()


_KEPT = (
    "name", "level", "divisor", "kurtosis", "classes", "n_star", "pilot", "pilot_n", "unit",
    "full_batch", "route",
)  # fmt: skip


def stored_advice(attributes: Attributes, arrays: Arrays) -> Advice:
    """The advice of `Advice.stored`; KeyError if something of it is missing."""
    columns = {name: arrays[name] for name in ("n", *_THEORY, *COLUMNS, *STEPS)}
    kept = {name: attributes[name] for name in _KEPT}
    return Advice(stored_model(attributes, arrays), table=FrozenDict(columns), **kept)


@ieee
def advise(
    images: Any,
    parameters: float | None = None,
    schedule: float | str = 0.01,
    pilot: Any = None,
    samples: Sequence[int] | None = None,
    full_batch: bool = False,
    *,
    scale: float | None = None,
) -> Advice:
    """When to stop training on these images, and what more of them would buy.

    Parameters
    ----------
    images : array_like, path or str
        Array of shape (n, d), (n, height, width) or (n, height, width, colours); a folder of
        images; a file that `dmft_rf.read_covariance` reads; or a bundled data set. At least 10.
    parameters : float
        Numbers that the network trains, > 0.
    schedule : float or str
        The noise level: the diffusion time t, or "sigma:0.3" (EDM), "alpha_bar:0.9", "log_snr:2",
        "ddpm:50" or "ddpm:50:cosine:4000" (step, from 0, of DDPM's schedule).
    pilot : optional
        A run with the same optimiser, batch, rate and width: a CSV log (path), a log of
        `dmft_rf.monitor.read_log`, the step of its least held-out loss, or (n, one of these) if it
        had another number of images than there are here, also as text "n:path" or "n:step".
    samples : sequence of int, optional
        Numbers of images to answer for, besides n and 2 n; by default 4 n.
    full_batch : bool, default False
        Whether every step of the pilot sees all images.
    scale : float, optional
        Multiplies the images, > 0: what the network does to them. By default their mean variance
        is made 1.

    Returns
    -------
    Advice

    Raises
    ------
    ModelError
        If an argument is missing or outside its domain, there are fewer than 10 images, all are
        equal, or the pilot has more images than there are.
    DataError
        If a file cannot be read.
    ConvergenceError
        If a time of the model cannot be told.

    Examples
    --------
    >>> from dmft_rf import advise
    >>> found = advise("digits", parameters=260_000, pilot=(400, 2000))
    >>> found
    <Advice for 1,797 images (n* = 26,659): usable 0.76 to 1.35 of the best time, best step 8,985>
    """
    if parameters is None:
        raise ModelError(
            "parameters is not given; advice needs how many numbers the network trains"
        )
    psi_p_of(parameters, 1)
    t, level = time_of(schedule)
    full_batch = flag(full_batch, "full_batch")
    factor = None if scale is None else number(scale, "scale", above=0.0, least=1e-50, most=1e50)
    if samples is not None:
        if isinstance(samples, str | bytes) or not isinstance(samples, Sequence | np.ndarray):
            raise ModelError(f"samples is {shown(samples)}; it must be a list of numbers of images")
        samples = [whole(size, "a number of samples") for size in samples]
    read = Samples.of(images, "images")
    run = None if pilot is None else pilot_of(pilot, read.count)
    law, kurtosis, classes = measure(read)
    divisor = law.mean if factor is None else 1.0 / factor**2
    law = law.scaled(1.0 / divisor)
    d = read.dimension
    model = ScoreModel(t, psi_p_of(parameters, d), read.count / d, covariance=law)
    n = read.count
    sizes = [n, *sorted({2 * n, *([4 * n] if samples is None else samples)} - {n})]
    columns = {"n": np.array(sizes)}
    theory = np.array([_of_model(model, size / d) for size in sizes])
    columns |= dict(zip(_THEORY, theory.T, strict=True))
    route, own = on_images(read, model, divisor, sizes)
    columns |= dict(zip(COLUMNS, own.T, strict=True))
    pilot_says = ("", 0, "step") if run is None else (run.name, run.n, run.unit)
    told = np.array([steps_of(run, size, model, full_batch) for size in sizes])
    columns |= dict(zip(STEPS, told.T, strict=True))
    return Advice(
        model, read.name, level, divisor, kurtosis, classes, d * n_star(model, rtol=_RTOL),
        FrozenDict(columns), route, *pilot_says, full_batch,
    )  # fmt: skip


def _of_model(model: ScoreModel, psi_n: float) -> tuple[float, ...]:
    """The columns of `_THEORY` of a number of images."""
    times = Timescales(solve(model.replace(psi_n=psi_n), _RTOL))
    best, (start, end) = times.tau_opt, times.usable()
    # nothing ever overfits: there is no best time to measure in, but the whole is usable
    unit = best if math.isfinite(best) else max(start, 1e-300)
    ends = start / unit, end / unit
    return times.test_min, times.score_error_min, best, *ends, float(times.final_gap)


def _transfer(times: float) -> str:
    """The evidence at the stored ratio of sizes nearest to ``times``."""
    known = table()
    row = min(known["best_step"], key=lambda row: abs(math.log(row["times"] / times)))
    held = known["coverage"].values()
    return sentences.transfer(
        row["times"], row["cost_mean_percent"], row["cost_95_percent"], (min(held), max(held))
    )
