"""``python -m figures``: compute, draw, and put everything on one page."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dmft_rf import ConvergenceError
from figures.catalogue import MODULES, NETWORKS, PROFILES, figure
from validation.common.command import ended, made, note, process_count

if TYPE_CHECKING:
    from figures.figure import Figure
    from figures.numbers import Numbers

DONE, FAILED = 0, 1
ENDINGS = ("png", "pdf")
DPI = 180  # sharp at twice the printed size, and light on a page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m figures",
        description="Draw the figures: NAME.png, NAME.pdf and the numbers behind them, NAME.h5, "
        "and index.html with all of them. Exit code: 0 done, 1 a figure could not be computed, "
        "2 wrong usage or unusable files.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures (default: all)")
    parser.add_argument(
        "--profile", choices=PROFILES, default="quick",
        help="quick: small networks, minutes; paper: the paper's sizes, hours without --store",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=None, metavar="DIR",
        help="folder (default: figures-<profile>); finite networks in it are not simulated again",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path, default=None, metavar="FILE",
        help="a validation.h5 whose networks are used where they fit",
    )  # fmt: skip
    parser.add_argument(
        "--networks", type=Path, default=None, metavar="FILE",
        help="a networks.h5 of trained networks; adds the figures that show them",
    )  # fmt: skip
    parser.add_argument(
        "--redraw", action="store_true", help="draw from the numbers in DIR, compute nothing"
    )
    parser.add_argument("--list", action="store_true", help="list the figures and stop")
    parser.add_argument(
        "--workers", type=int, default=None, help="processes (default: the number of cores)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    return ended(lambda: _run(options), "finished networks are kept, run again to go on")


def _run(options: argparse.Namespace) -> int:
    everything = (*MODULES, *NETWORKS) if options.networks or options.list else MODULES
    chosen = {name: figure(name) for name in (options.names or everything)}
    if options.list:
        for name, about in chosen.items():
            print(f"{name:18} {about.title}")
        return DONE
    return _make(options, chosen)


def _make(options: argparse.Namespace, chosen: dict[str, Figure]) -> int:
    from figures import sheet
    from figures.numbers import Numbers
    from figures.simulations import Simulations

    workers = process_count(options.workers)
    folder = made(options.out or Path(f"figures-{options.profile}"))
    say = partial(note, quiet=options.quiet)
    failed = []
    simulations = None
    if not options.redraw:
        simulations = Simulations(folder, options.store, workers, options.quiet, options.networks)
        cases = {
            case.name: case for about in chosen.values() for case in about.cases(options.profile)
        }
        simulations.complete(list(cases.values()))
    for name, about in chosen.items():
        start = time.perf_counter()
        if name in NETWORKS and not options.names and simulations is not None:
            from figures.networks import has_runs

            if not has_runs(name, simulations):
                say(f"{name}: no runs for it")
                continue
        try:
            if simulations is not None:
                numbers = about.compute(options.profile, simulations)
                numbers.remarks["profile"] = options.profile
                # no moment at which an old picture stands beside new numbers
                for ending in ENDINGS:
                    with contextlib.suppress(OSError):
                        (folder / f"{name}.{ending}").unlink()
                numbers.save(folder / f"{name}.h5")
            draw(about, Numbers.load(folder / f"{name}.h5"), folder, name)
        except ConvergenceError as error:
            note(f"{name}: {error}")
            failed.append(name)
        say(f"{name}: {time.perf_counter() - start:.1f} s")
    shown = sheet.write(folder, options.profile)
    say(f"{len(shown)} figures on {folder / sheet.FILE}")
    return FAILED if failed else DONE


def draw(about: Figure, numbers: Numbers, folder: Path, name: str) -> None:
    """Write NAME.png, with 256 colours at most, and NAME.pdf."""
    from PIL import Image

    from dmft_rf.files.replace import replacing
    from validation.common.style import styled

    with styled():
        picture = about.draw(numbers)
        for ending in ENDINGS:
            with replacing(folder / f"{name}.{ending}", overwrite=True) as temporary:
                picture.savefig(temporary, format=ending, dpi=DPI)
                if ending == "png":  # a third of the bytes
                    with Image.open(temporary) as full:
                        few = full.convert("RGB").quantize(256, dither=Image.Dither.NONE)
                    few.save(temporary, format="png", optimize=True)


if __name__ == "__main__":
    sys.exit(main())
