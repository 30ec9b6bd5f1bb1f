"""The measured numbers as Markdown, and their place in a page that has other text."""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dmft_rf import DataError
from dmft_rf.files.replace import replacing
from validation.benchmark.costs import Cost
from validation.benchmark.operations import Profile, Rates
from validation.benchmark.work import Row
from validation.common.page import Table

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine() -> str:
    """Processor and versions, in one sentence; no name and no path of the machine."""
    names = ("numpy", "scipy", "numba")
    parts = [f"Python {platform.python_version()}"]
    for name in names:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} of unknown version")
    return f"{_processor()}, {platform.system()}; {', '.join(parts)}; one BLAS thread."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def duration(seconds: float) -> str:
    """Two or three digits with a unit that suits."""
    if not math.isfinite(seconds):
        return ""
    if seconds < 0.0:
        return "0"  # the difference of two measurements
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if seconds >= scale or unit == "ns":
            return f"{seconds / scale:.3g} {unit}"
    raise AssertionError


def rows_table(rows: Sequence[Row]) -> str:
    """Work, target, measured; the other route, and how many times longer it takes."""
    lines = []
    for row in rows:
        if row.unit == "MB":
            lines.append([row.work, f"{row.target:.0f} MB", f"{row.cpu:.0f} MB", "", "", "", ""])
            continue
        other, ratio = "", ""
        if row.other is not None:
            other = f"{row.other_name}: {duration(row.other.cpu)}"
            ratio = f"{row.other.cpu / row.cpu:.3g}"
        lines.append(
            [row.work, duration(row.target), duration(row.cpu), duration(row.wall), other, ratio,
             row.difference]
        )  # fmt: skip
    head = ["work", "target", "process", "wall", "other route", "ratio", "apart"]
    return str(Table(head, lines))


def costs_table(costs: Sequence[Cost]) -> str:
    """Smallest and largest size with their times, and the slope at the large end."""
    lines = [
        [
            f"{cost.what} against {cost.size}",
            *(f"{cost.sizes[i]:,}: {duration(cost.seconds[i])}" for i in (0, -1)),
            f"{cost.slope:.2f}",
            f"{cost.expected:.0f}",
        ]
        for cost in costs
    ]
    return str(Table(["cost", "smallest", "largest", "slope", "expected"], lines))


def profile_table(profiles: Sequence[Profile], machine_rates: Rates) -> str:
    """Stages with time, time per operation, and time over the floor of the count."""
    parts = [
        f"Rates of the machine: {machine_rates.flops / 1e9:.3g} Gflop/s in a complex matrix "
        f"product, {1e9 / machine_rates.exponentials:.3g} ns per complex exponential."
    ]
    for found in profiles:
        lines = [
            [
                stage.name,
                duration(stage.seconds),
                f"{stage.units:,.0f} ({stage.unit})" if stage.unit else "",
                duration(stage.seconds / stage.units) if stage.unit else "",
                duration(stage.floor),
                f"{stage.seconds / stage.floor:.2g}" if stage.unit else "",
            ]
            for stage in found.stages
        ]
        parts.append(
            f"**{found.atoms:,} atoms**, {found.nodes} nodes, {found.steps} Newton steps: solve "
            f"{duration(found.whole)}, 200 times {duration(found.curves)}."
        )
        head = ["stage", "process", "operations", "each", "floor", "over floor"]
        parts.append(str(Table(head, lines)))
    return "\n\n".join(parts)


def surroundings(path: Path) -> tuple[str, str]:
    """What stands before and after the place of the tables in the file, if it exists.

    Raises
    ------
    DataError
        If the folder is missing, or the file is unreadable or has no such place.
    """
    if not path.exists():
        if not path.parent.is_dir():
            raise DataError(f"{path}: cannot be written (there is no folder {path.parent})")
        return "", "\n"
    try:
        page = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DataError(f"{path} exists and has no place for the tables ({BEGIN} ... {END})")
    return before, after


def write(text: str, path: Path) -> None:
    """Write ``text`` to ``path``, between the marks if the file exists.

    Raises
    ------
    DataError
        If the path cannot be written, or holds something else.
    """
    before, after = surroundings(path)
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
