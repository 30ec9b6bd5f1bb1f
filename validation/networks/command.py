"""``python -m validation networks``: train what is missing, then write the report."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from dmft_rf import ModelError
from validation.common.command import ended, made, process_count

if TYPE_CHECKING:
    from validation.networks.run.engine import Trains
    from validation.networks.run.plan import Setting
    from validation.networks.run.store import Store

DONE = 0
FILE = "networks.h5"
#: what training needs beyond the package
NEEDED = ("jax", "optax")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m validation networks",
        description="Train real networks and see when they memorize. Exit code: 0 done (also "
        "where runs diverged), 1 a process of --jobs died, 2 wrong usage, missing packages or "
        "unusable files, 130 interrupted.",
    )
    parser.add_argument("--case", choices=("images", "mixture"), default=None)
    parser.add_argument(
        "--profile", choices=("quick", "paper", "transfer", "noise"), default="quick",
        help="quick: a smoke test of one or two minutes; paper: many hours, resumable; transfer: "
        "an hour, other data and another network for --transfer; noise: what the noise of the "
        "gradient does to momentum, half an hour",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=None, metavar="DIR",
        help="folder of results and report (default: networks-<profile>); a second run goes on",
    )  # fmt: skip
    parser.add_argument(
        "--data", default=None, metavar="DATA",
        help="other images: digits, fashion, mnist, a folder of IDX files, an .npy or .npz file",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N",
        help="runs that are trained at once, each in a process of its own with one thread "
        "(default: 1, in this process, with the threads that it has)",
    )  # fmt: skip
    parser.add_argument("--hours", type=float, default=None, help="stop after so many hours")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT",
        help="only runs whose name begins with TEXT, for example images-fashion16.n64.",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the runs and stop")
    parser.add_argument(
        "--report", action="store_true", help="train nothing, write the report (needs no JAX)"
    )
    parser.add_argument(
        "--merge", nargs="+", type=Path, default=[], metavar="FILE",
        help="train nothing, add the runs of other networks.h5 to that of --out; with --report, "
        "write the report then",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", nargs="+", default=[""], metavar="TEXT",
        help="with --merge: keep generated pictures only of runs whose name begins with TEXT (they "
        "take nine tenths of a store)",
    )  # fmt: skip
    parser.add_argument(
        "--transfer", action="store_true",
        help="train nothing, renew the table of dmft_rf.monitor (from one run to more images) from "
        "docs/data/networks.h5",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    kept = "checkpoints are kept, run again to go on"
    return ended(lambda: _run(options), kept, data=options.data or "images")


def trainer(setting: Setting) -> Trains:
    """The trainer of a setting; JAX is imported by the process that trains."""
    from validation.networks.run.trainer import Trainer

    return Trainer(setting)


def _run(options: argparse.Namespace) -> int:
    if options.transfer:
        from validation.networks.analysis.transfer import renew

        print(f"{renew()} is that of docs/data/networks.h5")
        return DONE
    from validation.networks.run.profiles import profile

    if options.hours is not None and not options.hours > 0.0:
        raise ModelError(f"hours is {options.hours}; it must be positive")
    process_count(options.jobs, "jobs")
    settings = profile(options.profile, options.case, options.data)
    if options.only:
        settings = [s for s in settings if s.key.startswith(tuple(options.only))]
        if not settings:
            raise ModelError(f"no run of the profile begins with {' or '.join(options.only)}")
    if options.list:
        for setting in settings:
            print(setting.key)
        return DONE
    training = not (options.report or options.merge)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing and training:
        raise ModelError(f"training needs {' and '.join(missing)}: pip install '.[experiments]'")

    from validation.networks.run.store import Store

    folder = made(options.out or Path(f"networks-{options.profile}"))
    store = Store(folder / FILE)
    if options.merge:
        from validation.networks.run.merge import merge

        added, there = merge(store, options.merge, options.pictures)
        print(f"{added} runs added to {store.path}, {there} were there already")
        if not options.report:
            return DONE
    if training:
        from validation.networks.run.workers import run_at_once

        run_at_once(store, settings, trainer, options.jobs, options.hours, options.quiet)
    return _reported(options, settings, store, folder)


def _reported(
    options: argparse.Namespace, settings: list[Setting], store: Store, folder: Path
) -> int:
    """Write the report and say where it is."""
    left = sum(not store.has(setting) for setting in settings)
    if not store.ended:
        print("no run has ended yet; run again to go on")
        return DONE
    from validation.networks.pictures.report import write

    write(folder, store, options.profile, left)
    diverged = f", {len(store.diverged)} diverged" if store.diverged else ""
    print(
        f"{len(store.runs)} runs in {store.path}{diverged}, {left} of the profile left; report in "
        f"{folder}"
    )
    return DONE
