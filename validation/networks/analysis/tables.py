"""The tables of the report: one line for all seeds of a setting; every run is in a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from validation.common.page import Table
from validation.networks.analysis import summary
from validation.networks.analysis.dating import NEAR, QUALITY
from validation.networks.analysis.summary import DATES, Dated, grouped
from validation.networks.run.store import Run

#: title, text, table
Section = tuple[str, str, Table]

_NOT = "-"


def times(runs: Sequence[Run]) -> list[Section]:
    """Training times, a section for every data set and protocol."""
    sections: list[Section] = []
    for group in grouped(summary.dates(runs), lambda s: (s.case, s.data, s.side, s.protocol)):
        protocol = group.label[-1]
        dates = _present(group.members)
        rows = []
        for place in grouped(group.members, lambda s: (s.width, s.n)):
            width, n = place.label
            setting = place.members[0].setting
            passes = [one.times["mem_loss"] * setting.passes_per_step for one in place.members]
            rows.append(
                [str(width), str(n), str(len(place.members)),
                 *(_several([one.times[name] for one in place.members]) for name in dates),
                 _several(passes)]
            )  # fmt: skip
        levels = summary.levels(summary.alike(runs, group.members))
        text = f"Levels of tau_gen: test loss {_level(levels.loss)}, "
        text += f"Frechet distance {_level(levels.frechet)}."
        if not sections:
            text = f"{_TIMES} {text}"
        head = ["W", "n", "seeds", *(DATES[name] for name in dates), "passes until ratio 2"]
        title = f"Training times: {summary.data_set(group.members[0].setting)}, {protocol}"
        sections.append((title, text, Table(head, rows)))
    return sections


def exponents(runs: Sequence[Run]) -> list[Section]:
    """Exponents against n and against W, one line for what is held fixed."""
    laws = summary.laws(summary.dates(runs))
    sections = []
    for against in ("n", "W"):
        chosen = [law for law in laws if law.against == against]
        dates = [name for name in DATES if any(law.date == name for law in chosen)]
        lines: dict[tuple, dict[str, str]] = {}
        for law in chosen:
            text = str(law.slope)
            if law.slope.seeds and not math.isnan(law.last.value):
                text += f"; last {law.last.value:z.2f}"
            lines.setdefault((law.data, law.protocol, law.fixed), {})[law.date] = text
        if lines:
            head = ["runs", *(DATES[name] for name in dates)]
            rows = [
                [", ".join(label), *(found.get(name, _NOT) for name in dates)]
                for label, found in lines.items()
            ]
            sections.append((f"Exponents against {against}", _EXPONENTS, Table(head, rows)))
    return sections


def local_exponents(runs: Sequence[Run]) -> list[Section]:
    """Exponents against n between successive sizes of the main line of each data set."""
    dated = {one.setting.key: one for one in summary.dates(runs)}
    sections = []
    for line in summary.lines(runs):
        members = [dated[run.setting.key] for run in line]
        found = {name: summary.local_slopes(members, name) for name in _present(members)}
        pairs = [f"{low} to {high}" for low, high, _ in next(iter(found.values()), [])]
        if pairs:
            rows = [
                [DATES[name], *(str(fit) if fit.seeds else _NOT for _, _, fit in slopes)]
                for name, slopes in found.items()
            ]
            sections.append(
                (
                    f"Exponents against n, step by step: {summary.data_set(line[0].setting)}",
                    "Between successive sizes of the main line; a power law has one for all.",
                    Table(["date", *pairs], rows),
                )
            )
    return sections


_TIMES = (
    "Steps: geometric mean over the seeds and its standard error in per cent; (k) where only k "
    "runs got there within their steps; - where none did. Near its minimum: test loss within a "
    f"factor {NEAR:g}, Frechet distance within {QUALITY:g} of the minimum of the same curve; at "
    "common level: of the minimum of the smallest n of the main line, geometric mean over its "
    "seeds. Every run by itself is in networks-runs.csv."
)

_EXPONENTS = (
    "Slope of log time against the logarithm: mean of the slopes of the seeds, weighted by the "
    "range of sizes that each has; its error is the "
    "scatter of three seeds or more and the standard error of one straight line through all points "
    "in quadrature (with one or two seeds the line alone). last: between the two largest values "
    "that are dated; where it differs by more than the error, there is no one exponent. Which "
    "tau_gen compare between n: for test loss and Frechet distance near their minimum, and for the "
    "score error, the level is each curve's own minimum, which moves with n, so that these times "
    "depend on n by construction; at the common level and for the halved Frechet distance the "
    "level is the same for all n."
)


def by_index(runs: Sequence[Run]) -> list[Section]:
    """tau_gen by the loss at each time index, for the main line of each data set."""
    sections = []
    for line in summary.lines(runs):
        rows = []
        for place in grouped(map(summary.date, line), lambda s: (s.n,)):
            columns = zip(*(one.gen_by_index for one in place.members), strict=True)
            rows.append([str(place.label[0]), *map(_several, map(list, columns))])
        sections.append(
            (
                f"When the test loss comes near its minimum: {summary.data_set(line[0].setting)}",
                "By diffusion time, in steps; its own minimum, which moves with n.",
                Table(["n", *(f"k = {k}" for k in line[0].setting.indices)], rows),
            )
        )
    return sections


def every_run(runs: Iterable[Run]) -> str:
    """One line of comma-separated values for every run that has ended; nothing where not dated."""
    ended = list(runs)
    good = [run for run in ended if not run.diverged]
    dated = {one.setting.key: one.times for one in summary.dates(good)}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    facts = ("parameters", "seconds", "ended", "git_commit")
    writer.writerow(["run", "case", "data", "n", "W", "seed", "protocol", "steps", *facts, *DATES])
    for run in sorted(ended, key=lambda r: r.setting.key):
        s, when = run.setting, dated.get(run.setting.key, {})
        last = f"{run.step[-1]:.0f}" if "step" in run.curves else "0"
        found = [when.get(name, math.nan) for name in DATES]
        writer.writerow(
            [s.key, s.case, s.data, s.n, s.width, s.seed, s.protocol, last,
             *(run.facts[name] for name in facts),
             *(f"{tau:.6g}" if math.isfinite(tau) else "" for tau in found)]
        )  # fmt: skip
    return stream.getvalue()


def _present(members: Iterable[Dated]) -> list[str]:
    every = list(members)
    return [name for name in DATES if any(math.isfinite(one.times[name]) for one in every)]


def _several(values: list[float]) -> str:
    """Geometric mean and its relative standard error; how many, where some are missing."""
    logs = [math.log(value) for value in values if math.isfinite(value)]
    if not logs:
        return _NOT
    mean = sum(logs) / len(logs)
    text = f"{math.exp(mean):.0f}"
    if len(logs) > 1:
        variance = sum((value - mean) ** 2 for value in logs) / (len(logs) - 1)
        text += f" ± {100 * math.sqrt(variance / len(logs)):.0f} %"
    return text if len(logs) == len(values) else f"{text} ({len(logs)})"


def _level(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not known"
