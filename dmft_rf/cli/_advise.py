"""The command ``dmft-rf advise``: from images to when to stop and what more of them buy."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dmft_rf
from dmft_rf._version import __version__
from dmft_rf.cli._data_options import DataOptions, NoiseLevelOptions
from dmft_rf.cli._options import OutputOptions
from dmft_rf.cli._parameters import COLUMNS, names_of, numbers, option
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.cli._report import Report
    from dmft_rf.monitor.advice import Advice
    from dmft_rf.monitor.samples import Samples

_PLAIN = 128  # dimensions up to which kernels are not compiled


@dataclass(frozen=True)
class AdviseOptions(NoiseLevelOptions):
    """Case: images, a network, and a run that is known."""

    data: str | None = option(
        "The training images: a folder, a file of arrays, or the bundled data set 'digits'.",
        metavar="DIR|FILE",
    )
    parameters: float | None = option("Numbers P that the network trains.")
    t: float | None = option("Diffusion time, > 0; by default 0.01.")
    scale: float | None = option(
        "Multiply the images by this number, as the network does. 0.00784 turns 0 to 255 into -1 "
        "to 1; by default their mean variance is made 1."
    )
    pilot: str | None = option(
        "A run with the same optimiser, batch, rate and width. Its log, or the images that it had "
        "and its best step or log.",
        metavar="LOG|N:STEP|N:LOG",
    )
    columns: str | None = option(f"Of --pilot. {COLUMNS}", metavar="KIND=NAME,...")
    samples: str | None = option(
        "Numbers of images to answer for. Besides those of --data and twice as many; by default "
        "four times.",
        metavar="N,...",
    )
    full_batch: bool = option("Every step of the pilot sees all images.", default=False)
    resize: str | None = option("Bring the images of a folder to this size.", metavar="H[xW]")
    grey: bool = option("Make the images of a folder grey.", default=False)

    def sizes(self) -> list[int] | None:
        """The numbers of --samples."""
        if self.samples is None:
            return None
        found = numbers("--samples", self.samples)
        if not all(size.is_integer() and size >= 1.0 for size in found):
            raise ModelError(f"--samples is {self.samples!r}; it must be whole numbers from 1 on")
        return [int(size) for size in found]

    def run(self) -> Any:
        """The pilot of --pilot."""
        if self.columns is None:
            return self.pilot
        if self.pilot is None:
            raise ModelError("--columns is for the log of --pilot, and there is none")
        from dmft_rf.monitor.logs import read_log, sized

        size, path = sized(self.pilot)
        return size, read_log(path, columns=names_of(self.columns))

    def images(self) -> Samples:
        """The images of --data."""
        from dmft_rf.cli._progress import progress
        from dmft_rf.monitor.samples import Samples

        size = DataOptions(resize=self.resize).image_size()
        with progress("images") as advance:
            return Samples.of(self.data, "--data", resize=size, grey=self.grey, progress=advance)


def advise(options: AdviseOptions, output: OutputOptions) -> None:
    """Read images and say when to stop."""
    if options.data is None:
        raise ModelError("--data is not given; advice needs the training images")
    if options.parameters is None:
        raise ModelError("--parameters is not given; advice needs how many the network trains")
    output.check(options.data)
    start = time.perf_counter()
    t, level = options.time(options.t)
    sizes = options.sizes()
    if (options.resize or options.grey) and not os.path.isdir(options.data):
        raise ModelError("--resize and --grey are for folders of images, and --data is none")
    images = options.images()
    if images.dimension <= _PLAIN and "numba" not in sys.modules:
        # compiling takes half a minute, plain Python for so few dimensions one
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    from dmft_rf.cli._finish import show
    from dmft_rf.files.results import save
    from dmft_rf.plotting.advice import plot_advice

    found = dmft_rf.advise(
        images, options.parameters, t, options.run(), sizes, options.full_batch,
        scale=options.scale,
    )  # fmt: skip
    if level is not None:
        found = found.stated(level)
    if output.out is not None:
        save(output.out, found, overwrite=output.overwrite)
    show(_report(found), output, start, lambda: plot_advice(found), found)


def _report(advice: Advice) -> Report:
    from dmft_rf.cli._report import Report, Table
    from dmft_rf.monitor.sentences import BEYOND, CLOSING

    model = advice.model
    start, end = advice.usable
    document: dict[str, Any] = {
        "command": "advise",
        "package_version": __version__,
        "images": {
            "name": advice.name,
            "n": advice.n,
            "d": model.covariance.dimension,
            "d_eff": model.covariance.effective_dimension,
            "kurtosis": advice.kurtosis,
            "classes": advice.classes,
            "divided_by": advice.divisor,
        },
        "t": model.t,
        "psi_p": model.psi_p,
        "psi_n": model.psi_n,
        "theory": advice.route,
        "n_star": advice.n_star,
        "usable": {"start": start, "end": end},
        "pilot": {"name": advice.pilot, "n": advice.pilot_n} if advice.pilot else None,
        "unit": advice.unit,
        "full_batch": advice.full_batch,
        "best_step": advice.best_step,
        "doubling": dict(advice.doubling),
        "table": dict(advice.table),
        "verdict": advice.verdict,
        "text": advice.text,
    }
    report = Report(document)
    report.header = [
        *advice.read.items(),
        ("verdict", advice.verdict),
        ("usable", advice.usable_text),
    ]
    if advice.pilot:
        report.tables.append(Table(*_steps(advice), f"Steps, from the pilot: {advice.pilot}"))
    report.tables.append(Table(*_theory(advice), "What more images buy"))
    beyond = [line for line in advice.steps if BEYOND in line]
    report.notes = ["\n".join([*beyond, *advice.more_data]), *advice.trust, CLOSING]
    return report


def _steps(advice: Advice) -> tuple[list[str], list[list[str]]]:
    columns = ["images", f"best {advice.unit}", "from", "to", "ratio 2", "from", "to"]
    names = ("n", "best_step", "low", "high", "ratio_2", "ratio_2_low", "ratio_2_high")
    return columns, _rows(advice, names)


def _theory(advice: Advice) -> tuple[list[str], list[list[str]]]:
    columns = ["images", "least test loss", "score error", "usable from", "to, of the best time"]
    names = ["n", "test_loss", "score_error", "usable_start", "usable_end"]
    if math.isfinite(advice.table["images_test_loss"][0]):
        columns.insert(2, "on the images")
        names.insert(2, "images_test_loss")
    return columns, _rows(advice, tuple(names))


def _rows(advice: Advice, names: tuple[str, ...]) -> list[list[str]]:
    from dmft_rf.monitor.sentences import plain_number

    found = []
    for values in zip(*(advice.table[name] for name in names), strict=True):
        cells = ["-" if value != value else plain_number(float(value)) for value in values]
        found.append([f"{int(values[0]):,}", *cells[1:]])
    return found
