"""The equations of networks on samples, held against exact networks: the claims on their error.

Ten networks with the weights of the equations are trained on drawn rows, exactly, and tested on the
others (route "networks" of `ImageModel`). A case passes if the errors of the final gap, of the test
loss at the end, of tau_mem and of tau_opt are at most what the model claims of itself
(`ImageModel.model_error`) plus two standard errors of the networks. Cases of the kind "held out"
are of sizes and activations that nothing was chosen by.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmft_rf import ImageModel, solve, timescales
from validation.common.command import ended, note
from validation.common.page import Table
from validation.finite import imagery

PASS, FAIL = 0, 1
FEATURES = 256
#: what is compared, and what the standard error of a time cannot be read off
QUANTITIES = ("final_gap", "test", "tau_mem", "tau_opt")
HEAD = ("data", "t", "n", "activation", "", "gap", "test", "tau_mem", "tau_opt", "claimed", "")


@dataclass(frozen=True)
class Sizes:
    """One model: its data, time, samples and activation, and whether anything was chosen by it."""

    data: str
    t: float
    n: int
    activation: str = "tanh"
    held_out: bool = False

    @property
    def name(self) -> str:
        """What a stored result is found by."""
        return f"{self.data} {self.t:g} {self.n} {self.activation}"


def cases() -> Iterator[Sizes]:
    """Both data sets at two times and four sizes, then what is held out."""
    for data in ("digits", "patches"):
        for t in (0.1, 0.01):
            for n in (64, 128, 256, 512):
                yield Sizes(data, t, n)
    for data in ("digits", "patches"):
        for t in (0.1, 0.01):
            for n in (96, 384):
                yield Sizes(data, t, n, held_out=True)
        for activation in ("relu", "gelu"):
            yield Sizes(data, 0.05, 160, activation, held_out=True)


def compared(case: Sizes) -> dict[str, Any]:
    """Errors of the equations relative to the networks, and the networks' standard errors."""
    model = ImageModel(
        imagery.rows(case.data), case.t, case.n, features=FEATURES, activation=case.activation,
        route="equations",
    )  # fmt: skip
    networks = solve(model.replace(route="networks"))
    exact, found = timescales(networks), timescales(solve(model))
    scatter = networks.scatter(math.inf)
    values = [
        (float(times.final_gap), float(times.end.test), times.tau_mem, times.tau_opt)
        for times in (exact, found)
    ]
    errors = [mine / true - 1.0 for true, mine in zip(*values, strict=True)]
    gap = float(scatter["generalization_gap"]) / values[0][0]
    return {
        "errors": dict(zip(QUANTITIES, errors, strict=True)),
        "claimed": model.model_error,
        "scatter": gap,
        "passed": max(map(abs, errors)) <= model.model_error + 2.0 * gap,
    }


def table(found: dict[Sizes, dict[str, Any]]) -> Table:
    """Errors in per cent."""
    rows = []
    for case, result in found.items():
        errors = [f"{100.0 * result['errors'][name]:+.1f}" for name in QUANTITIES]
        rows.append(
            [
                case.data, f"{case.t:g}", str(case.n), case.activation,
                "held out" if case.held_out else "", *errors, f"{100.0 * result['claimed']:.0f}",
                "" if result["passed"] else "FAIL",
            ]
        )  # fmt: skip
    return Table(HEAD, rows)


def run(folder: Path, quiet: bool, only: list[str]) -> int:
    """Compute what is missing in ``folder``, and print the table."""
    path = folder / "samples.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    known = {line["name"]: line for line in map(json.loads, lines)}
    chosen = [case for case in cases() if not only or case.name.startswith(tuple(only))]
    found = {}
    for case in chosen:
        if case.name not in known:
            note(case.name, quiet=quiet)
            known[case.name] = {"name": case.name, **compared(case)}
            with path.open("a") as file:
                file.write(json.dumps(known[case.name]) + "\n")
        found[case] = known[case.name]
    print(table(found))
    return PASS if all(result["passed"] for result in found.values()) else FAIL


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m validation samples",
        description="The equations of networks on samples against exact networks: are their "
        "errors as claimed? Exit code: 0 PASS, 1 FAIL, 2 wrong usage.",
    )
    parser.add_argument("--out", type=Path, default=Path("validation-samples"), metavar="DIR")
    parser.add_argument("--cases", nargs="+", default=[], help="only those that begin so")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(arguments)

    def validate() -> int:
        options.out.mkdir(parents=True, exist_ok=True)
        return run(options.out, options.quiet, options.cases)

    return ended(validate, "the finished cases are kept, run again to go on")
