"""``python -m validation networks``: train what is missing, then write the report."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from dmft_rf import DataError, ModelError

DONE, USAGE, INTERRUPTED = 0, 2, 130
FILE = "networks.h5"
#: what training needs beyond the package
NEEDED = ("jax", "optax")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m validation networks",
        description="Train real networks and see when they memorize. Exit code: 0 done, 2 wrong "
        "usage, missing packages or unusable files, 130 interrupted.",
    )
    parser.add_argument("--case", choices=("images", "mixture"), default=None)
    parser.add_argument(
        "--profile", choices=("quick", "paper"), default="quick",
        help="quick: a smoke test of one or two minutes; paper: many hours, resumable",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=None, metavar="DIR",
        help="folder of results and report (default: networks-<profile>); a second run goes on",
    )  # fmt: skip
    parser.add_argument(
        "--data", default=None, metavar="DATA",
        help="other images: digits, fashion, mnist, a folder of IDX files, an .npy or .npz file",
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
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (DataError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("interrupted; checkpoints are kept, run again to go on", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    from validation.networks.plan import profile

    if options.hours is not None and not options.hours > 0.0:
        raise ModelError(f"hours is {options.hours}; it must be positive")
    settings = profile(options.profile, options.case, options.data)
    if options.only:
        settings = [s for s in settings if s.key.startswith(tuple(options.only))]
        if not settings:
            raise ModelError(f"no run of the profile begins with {' or '.join(options.only)}")
    if options.list:
        for setting in settings:
            print(setting.key)
        return DONE
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing and not options.report:
        raise ModelError(f"training needs {' and '.join(missing)}: pip install '.[experiments]'")

    from validation.networks.engine import run
    from validation.networks.store import Store

    folder = options.out or Path(f"networks-{options.profile}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error})") from error
    store = Store(folder / FILE)
    left = sum(not store.has(setting) for setting in settings)
    if not options.report:
        from validation.networks.trainer import Trainer

        left = run(store, settings, Trainer, options.hours, options.quiet)
    if not store.runs:
        print("no run has ended yet; run again to go on")
        return DONE
    from validation.networks.report import write

    write(folder, store, options.profile, left)
    print(f"{len(store.runs)} runs in {store.path}, {left} of the profile left; report in {folder}")
    return DONE
