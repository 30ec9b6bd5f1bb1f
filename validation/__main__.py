"""``python -m validation``: simulate, compare, mutate, report; golden, networks, benchmark."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

from dmft_rf import ModelError
from validation.common.command import ended, made, note, process_count

PASS, FAIL = 0, 1
# commands with options of their own, and where they are
_APART = {
    "networks": "validation.networks.command",
    "benchmark": "validation.benchmark.command",
    "attack": "validation.attack.attack",
    "samples": "validation.compare.samples",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m validation",
        description="Finite nonlinear networks against the theory. Exit code: 0 PASS, 1 FAIL, 2 "
        "wrong usage or unusable files.",
    )
    parser.add_argument(
        "command",
        nargs="*",
        help="golden check | golden renew | networks | benchmark | attack | samples (own --help)",
    )
    parser.add_argument(
        "--profile", choices=("quick", "paper"), default="quick",
        help="quick: under three minutes; paper: the paper's sizes, under an hour, resumable",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=None, metavar="DIR",
        help="folder of results and report (default: validation-<profile>); a second run with "
        "the same folder simulates only what is missing",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=None, help="processes (default: the number of cores)"
    )
    parser.add_argument(
        "--cases", nargs="+", default=[], metavar="NAME", help="only cases that begin with NAME"
    )
    parser.add_argument(
        "--mutate", action=argparse.BooleanOptionalAction, default=True,
        help="also make every formula wrong by three per cent; each must be caught",
    )  # fmt: skip
    parser.add_argument(
        "--training", action=argparse.BooleanOptionalAction, default=True,
        help="also train small networks step by step",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in _APART:
        return int(import_module(_APART[given[0]]).main(given[1:]))
    options = _parser().parse_args(given)
    command = partial(_golden, options.command) if options.command else partial(_validate, options)
    return ended(command, "the finished cells are kept, run again to go on")


def _golden(command: list[str]) -> int:
    from validation import golden

    if command == ["golden", "check"]:
        changes = golden.check()
        for change in changes:
            print(change)
        print(f"{len(changes)} quantities changed by more than {golden.RTOL:g}")
        return FAIL if changes else PASS
    if command == ["golden", "renew"]:
        changes = golden.check() if golden.FILE.exists() else []
        for change in changes:
            print(change)
        print(f"{golden.renew()} quantities stored in {golden.FILE.name}")
        return PASS
    raise ModelError(f"{' '.join(command)!r} is no command: golden check, golden renew")


def _validate(options: argparse.Namespace) -> int:
    from validation.finite.cases import choose, grid
    from validation.finite.runner import run
    from validation.finite.store import Store

    start = time.perf_counter()
    workers = process_count(options.workers)
    cases = choose(grid(options.profile), options.cases)
    folder = made(options.out or Path(f"validation-{options.profile}"))
    store = Store(folder / "validation.h5")
    simulated = run(store, cases, workers, options.quiet)
    return _report(options, cases, store, folder, simulated, start)


def _report(
    options: argparse.Namespace, cases: list, store: object, folder: Path, simulated: int,
    start: float,
) -> int:  # fmt: skip
    from validation.compare.compare import compare, judge
    from validation.compare.mutate import MUTATIONS
    from validation.compare.report import Report
    from validation.compare.universality import data_run

    say = partial(note, quiet=options.quiet)
    say("comparing with the theory")
    cells = {case.name: store.of(case) for case in cases}  # type: ignore[attr-defined]
    gaussian = [case for case in cases if not case.data]
    verdict = judge([compare(case, cells[case.name]) for case in gaussian])
    mutants = []
    if options.mutate:
        for mutation in MUTATIONS:
            say(f"mutation {mutation.name}")
            wrong = [
                compare(case, cells[case.name], mutation.predict(case), shape=False)
                for case in gaussian
                if case.verdict and mutation.concerns(case)
            ]
            if wrong:
                mutants.append((f"{mutation.name}: {mutation.about}", judge(wrong)))
    by_name = {case.name: case for case in cases}
    data = [
        data_run(by_name[other], case, cells[other], cells[case.name])
        for case in cases
        if case.data and (other := case.name.replace("_rows", "_gauss")) in by_name
    ]
    training = {}
    if options.training:
        from validation.finite.training import study

        say("training step by step")
        training = study()
    report = Report(
        options.profile, verdict, mutants, data, training, time.perf_counter() - start, _peak(),
        {"cells": f"{sum(map(len, cells.values()))}, of which {simulated} simulated in this run"},
    )  # fmt: skip
    say("writing the report")
    report.write(folder)
    for reason in verdict.reasons:
        print(f"  {reason}")
    for name, mutant in mutants:
        print(f"  mutation {name}: {'NOT CAUGHT' if mutant.passed else 'caught'}")
    print(
        f"{'PASS' if report.passed else 'FAIL'}: chi-square {verdict.chi2:.1f} for {verdict.dof} "
        f"degrees of freedom, probability {verdict.probability:.3g}; report in {folder}"
    )
    return PASS if report.passed else FAIL


def _peak() -> float:
    """Peak memory of this process or of its largest child, in MB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024.0


if __name__ == "__main__":
    sys.exit(main())
