"""The command ``dmft-rf monitor``: dates and copies of a run, from its log and its samples."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmft_rf._version import __version__
from dmft_rf.cli._data_options import DataOptions
from dmft_rf.cli._options import OutputOptions
from dmft_rf.cli._parameters import COLUMNS, argument, names_of, option
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.cli._report import Report
    from dmft_rf.monitor.dating import Dates
    from dmft_rf.monitor.frechet import FrechetDistance
    from dmft_rf.monitor.logs import Log
    from dmft_rf.monitor.neighbours import MemorizedFraction
    from dmft_rf.monitor.samples import Samples
    from dmft_rf.monitor.transfer import Prediction


@dataclass(frozen=True)
class MonitorOptions:
    """Run: a log, samples, and where the answer goes."""

    log: str = argument(
        "CSV of a run: columns of steps, train loss and held-out loss, as PyTorch Lightning, "
        "Keras, Hugging Face, accelerate or dmft_rf.monitor name them.",
        metavar="LOG",
    )
    test: str | None = option(
        "The held-out loss, where it has a file of its own (TensorBoard's export).", metavar="FILE"
    )
    columns: str | None = option(COLUMNS, metavar="KIND=NAME,...")
    samples: str | None = option("Generated images, a folder or a file of arrays.", metavar="DIR")
    data: str | None = option("The training images, a folder or a file of arrays.", metavar="DIR")
    resize: str | None = option("Bring the images of folders to this size.", metavar="H[xW]")
    grey: bool = option("Make the images of folders grey.", default=False)
    n: int | None = option("Number of training images; by default those of --data.")
    t: float | None = option(
        "Diffusion time of the losses; with --data it gives the step of ratio 2 for more images."
    )
    page: Path | None = option(
        "Web page to write (.html), with pictures in it. One that is there is made anew.",
        metavar="FILE",
    )
    plot: Path | None = option(
        "Picture to write, .png, .pdf or .svg. One that is there is made anew.", metavar="FILE"
    )
    json: bool = option("Print JSON instead of a table.", default=False)
    overwrite: bool = option("Replace a file behind a link of --plot or --page.", default=False)

    @property
    def output(self) -> OutputOptions:
        """Where the answer goes, but for the page."""
        return OutputOptions(plot=self.plot, json=self.json, overwrite=self.overwrite)

    @property
    def replaces_page(self) -> bool:
        """Whether the page may take the place of a file: of one that is no link."""
        page = self.page
        return self.overwrite or (page is not None and page.is_file() and not page.is_symlink())

    def check(self) -> None:
        """Raise for what needs no file to be read to be found wrong."""
        from dmft_rf._paths import path_of, same_file
        from dmft_rf.errors import DataError
        from dmft_rf.files.replace import check_output
        from dmft_rf.plotting.monitor_page import ENDINGS

        self.output.check(self.log)
        if self.samples is not None and self.data is None:
            raise ModelError("--samples needs --data, the training images to compare them with")
        folders = [path for path in (self.samples, self.data) if path and os.path.isdir(path)]
        for flag, value in (("--resize", self.resize), ("--grey", self.grey)):
            if value and not folders:
                raise ModelError(f"{flag} is for folders of images, and none is given")
        if self.n is not None:
            from dmft_rf._convert import whole

            whole(self.n, "--n")
        if self.t is not None and self.data is None:
            raise ModelError("--t is an option of --data, which is not given")
        if self.page is not None:
            check_output(self.page, overwrite=self.replaces_page, endings=ENDINGS)
        for path in (self.page, self.plot):
            for source in (self.log, self.test, self.data, self.samples):
                if path and source and same_file(path, path_of(source)):
                    raise DataError(f"{path}: is read by this command and is not overwritten")

    def names(self) -> dict[str, str]:
        """The columns of --columns."""
        return {} if self.columns is None else names_of(self.columns)


def monitor(options: MonitorOptions) -> None:
    """Dates of a run, copies among its samples, steps for more images."""
    options.check()
    start = time.perf_counter()
    from dmft_rf.cli._finish import show
    from dmft_rf.monitor.dating import date
    from dmft_rf.monitor.logs import read_log
    from dmft_rf.monitor.transfer import predictions
    from dmft_rf.plotting.monitor import plot_monitor

    log = read_log(options.log, test=options.test, columns=options.names())
    dates = date(log)
    training, generated = (_images(options, source) for source in (options.data, options.samples))
    found, distance = _samples(generated, training)
    n = options.n if training is None or options.n is not None else training.count
    law = None if training is None or options.t is None else training.covariance()
    told = predictions(dates, n, law, options.t)
    report = _report(log, dates, n, told, found, distance)
    if options.page is not None:
        from dmft_rf.plotting.monitor_page import write_page

        write_page(
            options.page, log, dates, told, found, generated, training,
            overwrite=options.replaces_page,
        )  # fmt: skip
    show(
        report,
        options.output,
        start,
        lambda: plot_monitor(log, dates, found, generated, training),
        {log.unit: log.step, "train": log.train, "test": log.test, **log.measured},
    )


def _images(options: MonitorOptions, source: str | None) -> Samples | None:
    if source is None:
        return None
    from dmft_rf.cli._progress import progress
    from dmft_rf.monitor.samples import Samples

    size, grey = DataOptions(resize=options.resize).image_size(), options.grey
    if not os.path.isdir(source):
        size, grey = None, False  # of a file beside a folder, whose images become alike to it
    with progress("images") as advance:
        return Samples.of(source, source, resize=size, grey=grey, progress=advance)


def _samples(
    generated: Samples | None, training: Samples | None
) -> tuple[MemorizedFraction | None, FrechetDistance | None]:
    if generated is None or training is None:
        return None, None
    from dmft_rf import monitor
    from dmft_rf.cli._progress import progress
    from dmft_rf.monitor.samples import FEWEST

    with progress("training images") as advance:
        found = monitor.memorized_fraction(generated, training, progress=advance)
    enough = min(generated.count, training.count) >= FEWEST
    return found, monitor.frechet_distance(generated, training) if enough else None


def _report(
    log: Log,
    dates: Dates,
    n: int | None,
    told: list[Prediction],
    found: MemorizedFraction | None,
    distance: FrechetDistance | None,
) -> Report:
    from dmft_rf.cli._report import Report
    from dmft_rf.plotting.monitor_page import date_rows, notes, prediction_table

    document: dict[str, Any] = {
        "command": "monitor",
        "package_version": __version__,
        "log": log.name,
        "columns": dict(log.columns),
        "unit": log.unit,
        "measurements": int(log.step.size),
        "n": n,
        "verdict": dates.verdict,
        "stop": dates.verdict.startswith("Stop"),
        "dates": {name: asdict(one) for name, one in dates.dates.items()},
        "least_held_out_loss": dates.least,
        "scatter": dates.scatter,
        "predictions": [asdict(one) for one in told],
    }
    report = Report(document)
    names = ", ".join(f"{kind} = {name}" for kind, name in log.columns.items())
    report.header = [
        ("log", f"{log.name}, {log.step.size} held-out losses to {log.unit} {log.step[-1]:g}"),
        ("columns", names),
        ("verdict", dates.verdict),
    ]
    if found is not None:
        low, high = found.interval
        of_all = ("fraction", "standard_error", "interval", "ratio", "generated")
        document["memorized"] = {
            **{name: getattr(found, name) for name in of_all},
            "training": found.neighbours.training,
            "copies_in_training": found.neighbours.copies,
            "nearest": found.neighbours.index,
            "distances": found.neighbours.distance,
        }
        report.state(
            "copies",
            f"{100 * found.fraction:.3g} % of {found.generated} generated images (95 %: "
            f"{100 * low:.3g} to {100 * high:.3g} %), among {found.neighbours.training} training "
            "images",
        )
    if distance is not None:
        document["frechet"] = {**asdict(distance), "corrected": distance.corrected}
        report.state(
            "Frechet distance",
            f"{distance.distance:.4g} +- {distance.standard_error:.2g} from the training images, "
            f"in {distance.features} principal components; about {distance.bias:.2g} of it because "
            "the images are no more",
        )
    elif found is not None:
        report.state("Frechet distance", "needs 40 images of each kind")
    columns = ["", dates.unit, "from", "to", "what it is"]
    report.tabulate(columns, date_rows(dates), text_columns=frozenset({0, 4}))
    if told:
        report.tabulate(*prediction_table(told), "With more images")
    report.notes = notes(told, found)
    return report
