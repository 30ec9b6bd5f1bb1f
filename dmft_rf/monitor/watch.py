"""A monitor of a training run: losses and samples go in while it runs, dates and advice come out.

What was measured is appended to a CSV file, a line at a time, that a kill at any moment leaves
readable. A monitor of the same file goes on where it ended.
"""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._convert import number, whole
from dmft_rf._interrupt import held_back
from dmft_rf._paths import output_file, why
from dmft_rf.errors import DataError, ModelError
from dmft_rf.files.replace import replacing
from dmft_rf.model.covariance import Covariance
from dmft_rf.monitor.dating import FEWEST, Dates, date
from dmft_rf.monitor.frechet import Components, frechet_distance
from dmft_rf.monitor.logs import MEASURED, OWN, Log, read_log
from dmft_rf.monitor.neighbours import MemorizedFraction, memorized_fraction
from dmft_rf.monitor.samples import FEWEST as FEWEST_IMAGES
from dmft_rf.monitor.samples import Samples
from dmft_rf.monitor.transfer import Prediction, predict, predictions

__all__ = ["Monitor"]

_COMPONENTS = 32
_GROWTH = 10.0**0.1  # from measurement to measurement


class Monitor:
    """Collects losses and samples of a run, dates them and says when to stop.

    Parameters
    ----------
    training : array_like or path, optional
        The training images, as in `nearest`: with them the memorized fraction of samples is
        measured, and n is known.
    held_out : array_like or path, optional
        Real images from which the Frechet distance of samples is measured, at least 40; without
        them the training images.
    path : path, optional
        CSV file that every measurement is appended to. What a monitor has written there before is
        read, and gone on with.
    n : int, optional
        Number of training images, for `extrapolate`; by default that of ``training``.
    t : float, optional
        Diffusion time of the losses, for the second date of `extrapolate`.
    ratio : float, default 1/3
        Threshold of the memorized fraction.
    resize, grey
        As in `dmft_rf.read_covariance`, for folders.

    Raises
    ------
    ModelError, DataError
        If images or the file cannot be used.

    Examples
    --------
    >>> monitor = Monitor(n=100)
    >>> for k, test in enumerate([0.9, 0.75, 0.6, 0.5, 0.6, 0.75, 0.9]):
    ...     monitor.add(10 * 2**k, 0.4, test)
    >>> monitor.stop, round(monitor.dates["best"].step)
    (True, 80)
    """

    def __init__(
        self,
        training: Any = None,
        held_out: Any = None,
        *,
        path: str | os.PathLike[str] | None = None,
        n: int | None = None,
        t: float | None = None,
        ratio: float = 1.0 / 3.0,
        resize: int | tuple[int, int] | None = None,
        grey: bool = False,
    ) -> None:
        def images(source: Any, name: str) -> Samples | None:
            if source is None:
                return None
            return Samples.of(source, name, resize=resize, grey=grey)

        self.training, self.held_out = images(training, "training"), images(held_out, "held_out")
        for samples in (self.training, self.held_out):
            if samples is not None:
                samples.need_different()
        self.n = None if n is None else whole(n, "n")
        if self.n is None and self.training is not None:
            self.n = self.training.count
        self.t = None if t is None else number(t, "t", above=0.0)
        self.ratio = number(ratio, "ratio", above=0.0, most=1.0)
        self.last_samples: MemorizedFraction | None = None
        self._rows: list[tuple[float, ...]] = []
        self._path: Path | None = None
        if path is not None:
            self._path, there = output_file(path)
            if there is not None and there.st_size:
                self._rows = _resumed(self._path)

    def add(self, step: int, train_loss: float, test_loss: float, samples: Any = None) -> None:
        """Add a measurement, and write it down.

        Parameters
        ----------
        step : int
            Above that of the measurement before.
        train_loss, test_loss : float
            Of the same kind, averaged over many noises; the second one of held-out images.
        samples : array_like or path, optional
            Generated images, at least 10. Those of fewer than 40 have no Frechet distance.

        Raises
        ------
        ModelError
            If a loss is not finite, the step does not increase, or the images do not fit.
        DataError
            If the file cannot be written.
        """
        at = float(whole(step, "step", least=0, most=2**53))
        if self._rows and at <= self._rows[-1][0]:
            raise ModelError(
                f"step is {step}, and {self._rows[-1][0]:.0f} was measured already; a run that was "
                "resumed further back says monitor.rewind(STEP) first"
            )
        losses = number(train_loss, "train_loss"), number(test_loss, "test_loss")
        row = (at, *losses, *self._measured(samples))
        cells = ("" if math.isnan(value) else repr(value) for value in row[1:])
        with held_back():
            if self._path is not None:
                _append(self._path, ",".join([f"{at:.0f}", *cells]), first=not self._rows)
            self._rows.append(row)

    def due(self, step: int, first: int = 10) -> bool:
        """Whether it is time for the next measurement: ten a decade of steps, from ``first`` on."""
        at, first = whole(step, "step", least=0), whole(first, "first")
        last = self._rows[-1][0] if self._rows else 0.0
        return at > last and at >= max(first, last * _GROWTH)

    def _measured(self, samples: Any) -> tuple[float, float, float, float]:
        """The numbers of `MEASURED`, nan for what cannot be measured."""
        fraction = error = distance = its_error = math.nan
        if samples is None:
            return fraction, error, distance, its_error
        real = self.training if self.held_out is None else self.held_out
        if real is None:
            raise ModelError("samples are given, but the monitor has no training images")
        images = Samples.of(samples, "samples")
        if self.training is not None:
            self.last_samples = memorized_fraction(images, self.training, self.ratio)
            fraction, error = self.last_samples.fraction, self.last_samples.standard_error
        if min(images.count, real.count) >= FEWEST_IMAGES:
            images.need_shape_of(real)
            found = frechet_distance(images, real, features=self._components)
            distance, its_error = found.distance, found.standard_error
        return fraction, error, distance, its_error

    @lazy
    def _components(self) -> Components:
        """Of the real images alone, so that every measurement has the same."""
        real = self.training if self.held_out is None else self.held_out
        assert real is not None
        return Components(real, min(_COMPONENTS, real.count // 4))

    def rewind(self, step: int) -> None:
        """Forget what was measured after a step, for a run that goes on from there."""
        last = whole(step, "step", least=0)
        kept = [row for row in self._rows if row[0] <= last]
        if self._path is not None and len(kept) < len(self._rows):
            lines = self._path.read_text(encoding="utf-8").splitlines()[: len(kept) + 1]
            with replacing(self._path, overwrite=True) as part:
                part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._rows = kept

    @property
    def log(self) -> Log:
        """What was measured; DataError before the first measurement."""
        if not self._rows:
            raise DataError("the monitor has no measurement yet")
        table = np.array(self._rows)
        measured = {name: table[:, 3 + k] for k, name in enumerate(MEASURED)}
        kept = {name: values for name, values in measured.items() if np.isfinite(values).any()}
        name = "monitor" if self._path is None else str(self._path)
        return Log(table[:, 0], table[:, 1], table[:, 2], kept, name=name)

    @property
    def dates(self) -> Dates:
        """The dates of the run so far; DataError before the fifth measurement."""
        return date(self.log)

    @property
    def verdict(self) -> str:
        """Whether to stop, in one sentence."""
        if self._done < FEWEST:
            return f"Go on: {self._done} of {FEWEST} measurements are there."
        return self.dates.verdict

    @property
    def _done(self) -> int:
        """Measurements at steps above 0."""
        return sum(row[0] > 0.0 for row in self._rows)

    @property
    def stop(self) -> bool:
        """Whether the verdict is to stop."""
        return self.verdict.startswith("Stop")

    def extrapolate(self, n_new: int) -> Prediction:
        """Return the steps that a run with more images needs, as `dmft_rf.monitor.extrapolate`.

        The step of ratio 2 needs training images, ``t`` and a run that got there.

        Raises
        ------
        ModelError
            If n is not known, or this run is not past its least held-out loss.
        """
        if self.n is None:
            raise ModelError("the number of training images is not known; give Monitor(n=...)")
        return predict(self.dates, self.n, n_new, self._covariance, self.t)

    @lazy
    def _covariance(self) -> Covariance | None:
        return None if self.training is None or self.t is None else self.training.covariance()

    @property
    def predictions(self) -> list[Prediction]:
        """For 2, 4, 8 and 16 times as many images; none where `extrapolate` has no answer."""
        if self._done < FEWEST:
            return []
        return predictions(self.dates, self.n, self._covariance, self.t)

    def __repr__(self) -> str:
        return f"<Monitor of {len(self._rows)} measurements: {self.verdict}>"


def _resumed(path: Path) -> list[tuple[float, ...]]:
    """The measurements of a file, from which a line that a kill has cut off is removed."""
    try:
        data = path.read_bytes()
        whole_lines = data[: data.rfind(b"\n") + 1]
        header = ",".join(OWN).encode()
        if not (whole_lines or header.startswith(data)) or (
            whole_lines and whole_lines.splitlines()[0] != header
        ):
            raise DataError(
                f"{path}: was not written by a monitor; choose another file, or read it with "
                "read_log"
            )
        if whole_lines.count(b"\n") < 2:
            whole_lines = b""  # a header alone is written again with the first line
        if len(whole_lines) < len(data):
            with path.open("rb+") as stream:
                stream.truncate(len(whole_lines))
                os.fsync(stream.fileno())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({why(error)})") from None
    if not whole_lines:
        return []
    log = read_log(path)
    nothing = np.full(log.step.size, math.nan)
    columns = [log.measured.get(name, nothing) for name in MEASURED]
    table = np.column_stack([log.step, log.train, log.test, *columns])
    return [tuple(row) for row in table.tolist()]


def _append(path: Path, line: str, *, first: bool) -> None:
    """Add a line in one piece, and wait until it is on the disk."""
    text = f"{','.join(OWN)}\n{line}\n" if first else f"{line}\n"
    try:
        with path.open("ab", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            try:
                if stream.write(text.encode()) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(size)  # the next line must not follow half of this one
                raise
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({why(error)})") from None
