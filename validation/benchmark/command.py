"""``python -m validation benchmark``: measure, and write the tables and the picture."""

import argparse
from pathlib import Path

from dmft_rf import DataError, ModelError
from validation.common.command import ended, note

_EXTRA = ("costs", "profile")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m validation benchmark",
        description="Times of the library beside those of plain NumPy and SciPy for the same "
        "formulas, in one run. Exit code: 0, or 2 for wrong usage.",
    )
    parser.add_argument(
        "--out", type=Path, default=None, metavar="FILE.md",
        help="write the tables there (into the marked place of a file that exists) instead of to "
        "stdout; a picture of the costs goes to images/performance.png beside it",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few repeats, nothing compiled anew")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME",
        help="only measurements that begin with NAME; an unknown one lists them all",
    )  # fmt: skip
    return parser


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    return ended(lambda: _run(options), "nothing was written")


def _run(options: argparse.Namespace) -> int:
    from validation.benchmark import report

    if options.out is not None:
        report.surroundings(options.out)  # before minutes of measuring
    text = measure(options.only, options.quick, options.out)
    if options.out is None:
        print(text)
    else:
        report.write(text, options.out)
    return 0


def measure(only: list[str], quick: bool, out: Path | None) -> str:
    """The Markdown of the chosen measurements; the costs' picture beside ``out``."""
    from validation.benchmark import report
    from validation.benchmark.work import MEASURES, QUICK, Effort

    effort = QUICK if quick else Effort()
    names = [*MEASURES, *_EXTRA]
    unknown = [prefix for prefix in only if not any(name.startswith(prefix) for name in names)]
    if unknown:
        raise ModelError(f"no measurement begins with {unknown[0]!r}; there are {', '.join(names)}")
    chosen = [name for name in names if not only or any(name.startswith(x) for x in only)]
    parts = [
        report.machine(),
        "Fastest of several calls after compilation, in turns with the other route where there is "
        "one. `process` is process\ntime (user and system), `wall` the clock; `ratio` is that of "
        "process times; `apart` the largest relative difference of\nthe two results.",
    ]
    rows, skipped = [], []
    for name in chosen:
        if name in _EXTRA:
            continue
        note(name)
        try:
            found = MEASURES[name](effort)
        except ImportError as error:
            skipped.append(f"`{name}` was skipped: {error.name or 'a package'} is not installed.")
            continue
        if not found:
            skipped.append(f"`{name}` was skipped: this version of the library does not have it.")
        rows += found
    if rows:
        parts.append(report.rows_table(rows))
    for reason in skipped:
        note(reason)
    parts += skipped
    if "costs" in chosen:
        parts += _costs(effort, out)
    if "profile" in chosen:
        parts.append(_profile(effort))
    return "\n\n".join(parts)


def _costs(effort: object, out: Path | None) -> list[str]:
    from validation.benchmark.costs import costs, draw
    from validation.benchmark.report import costs_table

    note("costs")
    found = costs(effort)  # type: ignore[arg-type]
    parts = ["### Cost against size", costs_table(found)]
    if out is not None:
        picture = out.parent / "images" / "performance.png"
        try:
            picture.parent.mkdir(parents=True, exist_ok=True)
            draw(found, picture)
        except OSError as error:
            raise DataError(f"{picture}: cannot be written ({error})") from error
        parts.append("![Process time against atoms, times and nodes](images/performance.png)")
    return parts


def _profile(effort: object) -> str:
    from validation.benchmark.operations import profile, rates
    from validation.benchmark.report import profile_table

    note("profile")
    machine = rates(effort)  # type: ignore[arg-type]
    profiles = [profile(atoms, machine, effort) for atoms in (2, 64, 4096)]  # type: ignore[arg-type]
    return "### Stages against the count of operations\n\n" + profile_table(profiles, machine)
