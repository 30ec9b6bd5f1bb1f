r"""Random attack: no number may be further from the truth than its claimed error says.

Models and rules of every kind are drawn over the whole box (`validation.attack.models`), and what
is claimed of each number is held against what must be true of it:

    tolerance   the curves solved to 1e-6 and to 1e-11, at every time, for every rule
    nodes       those to 1e-11, and the same with 1.3 times the nodes: mostly errors of rounding
    start       at tau = 0: train = test = 1 + kappa^2 Delta_t E, score error = that of the zero
                network + kappa^2 E, weight_norm = kappa^2 Delta_t, with the initial variance
                kappa^2 and E = E sigma^2 - mu_0^2, the mean eigenvalue of U
    end         at tau = inf: every rule is ridge regression with its weight decay, plus what
                an atom at 0 keeps of the initial weights
    sign        train, score error and weight norm are >= 0, and test >= L_floor
    grouped     the equations for samples in groups, with one group and with two equal classes,
                against the closed form
    compress    the compressed covariance against the whole one
    bulks       what the bulks of the spectrum have learned, added, against the train loss

Each comparison gives the ratio |difference|/(sum of the claimed errors). A ratio above 2 is a wrong
number: FAIL. Refusals (ConvergenceError, ModelError) are allowed and counted by their reason; any
other exception is a failure.
"""

import argparse
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf import (
    ConvergenceError,
    LearningCurves,
    Mixture,
    ModelError,
    Solution,
    bulk_split,
    solve,
)
from dmft_rf._typing import Array
from dmft_rf.curves.losses import curves_on
from dmft_rf.curves.nodes import Nodes, nodes_on_contour
from dmft_rf.numerics.contour import contour_in
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import GradientFlow, Ridge, Rule
from validation.attack.models import RULES, Case, case, rule, times
from validation.common.command import bar, ended, note

T = TypeVar("T")

#: a ratio above this one is a wrong number
ALLOWED = 2.0
ROUGH, FINE = 1e-6, (1e-11, 1e-9)
PASS, FAIL = 0, 1


@dataclass(frozen=True)
class Finding:
    """One comparison: the largest ratio over the times, and where it is."""

    check: str
    name: str
    rule: str
    tau: float
    ratio: float
    difference: float
    claimed: float


@dataclass
class Outcome:
    """What one case gave."""

    case: Case | None
    findings: list[Finding] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def worst(self) -> Finding | None:
        """The finding with the largest ratio."""
        return max(self.findings, key=lambda one: one.ratio, default=None)


def compared(
    check: str, name: str, one: Rule, tau: ArrayLike, difference: Any, claimed: Any
) -> Finding:
    """The largest ratio of |difference| to what is claimed of it."""
    difference = np.abs(np.asarray(difference, dtype=float)).ravel()
    claimed = np.broadcast_to(np.asarray(claimed), difference.shape).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0.0, 0.0, difference / claimed)
    ratio = np.where(np.isnan(ratio), math.inf, ratio)
    i = int(np.argmax(ratio))
    at = np.broadcast_to(tau, difference.shape)[i]
    return Finding(
        check, name, str(one), float(at), float(ratio[i]), float(difference[i]), float(claimed[i])
    )


def between(check: str, one: LearningCurves, other: LearningCurves) -> Iterator[Finding]:
    """Every curve of two sets of curves of the same rule at the same times."""
    for name in one.error:
        x, y = getattr(one, name), getattr(other, name)
        # two curves that diverge agree, and so do two that are not defined
        same = (np.isinf(x) & np.isinf(y)) | (np.isnan(x) & np.isnan(y))
        off = np.where(same, 0.0, x - np.where(same, 0.0, y))
        yield compared(check, name, one.rule, one.tau, np.where(same, 0.0, off),
                       one.error[name] + other.error[name])  # fmt: skip


def mean_eigenvalue(model: Any) -> float:
    """E sigma^2 - mu_0^2 over the classes."""
    return sum(
        c.share * (c.coefficients.mu1**2 + c.coefficients.residual_variance) for c in model.classes
    )


def start(curves: LearningCurves) -> Iterator[Finding]:
    """The invariants of the untrained network; the first time is 0."""
    model, one = curves.model, curves.rule
    kappa2 = one.initial_scale**2
    added = kappa2 * model.Delta_t * mean_eigenvalue(model)
    exact = {
        "train": 1.0 + added,
        "test": 1.0 + added,
        "score_error": model.initial_score_error + added / model.Delta_t,
        "generalization_gap": 0.0,
        "weight_norm": kappa2 * model.Delta_t,
    }
    for name, value in exact.items():
        found, error = getattr(curves, name)[0], curves.error[name][0]
        # the sums of the exact values are rounded too
        yield compared("start", name, one, 0.0, found - value, error + 4e-16 * value)


def signs(curves: LearningCurves) -> Iterator[Finding]:
    """What cannot be negative."""
    model = curves.model
    for name, least in (
        ("train", 0.0), ("score_error", 0.0), ("weight_norm", 0.0), ("test", model.floor),
    ):  # fmt: skip
        below = np.maximum(least - getattr(curves, name), 0.0)
        below = np.where(np.isnan(below), 0.0, below)
        yield compared("sign", name, curves.rule, curves.tau, below, curves.error[name])


def end(solution: Solution, curves: LearningCurves) -> list[Finding]:
    """The last time is inf: ridge regression, and what an atom at 0 keeps of the start."""
    one = curves.rule
    least = solution.learning_curves(1.0, Ridge(one.decay))
    kept = 0.0
    if one.initial_scale and not one.decay:
        atoms = solution.spectrum.atoms
        kept = float(atoms[atoms[:, 0] == 0.0, 1].sum())
    extra = {"weight_norm": one.initial_scale**2 * curves.model.Delta_t * kept, "train": 0.0}
    if kept == 0.0:
        extra |= {"test": 0.0, "score_error": 0.0}
    found = []
    for name, added in extra.items():
        x, y = getattr(curves, name)[-1], getattr(least, name)
        off = 0.0 if math.isinf(x) and math.isinf(y) else x - y - added
        claimed = curves.error[name][-1] + least.error[name]
        found.append(compared("end", name, one, math.inf, off, claimed))
    return found


def reason(error: Exception) -> str:
    """What was refused, without its numbers."""
    text = re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?j?", "#", str(error))
    return f"{type(error).__name__}: {' '.join(text.split())}"[:110]


def bulks(solution: Solution, tau: Array, decay: float) -> list[Finding]:
    """Together the bulks have removed 1 - L_train, and in the end what can be removed."""
    if len(solution.spectrum.bulk_masses) > 7:
        return []
    one = GradientFlow(weight_decay=decay)
    split, whole = bulk_split(solution, tau, one), solution.learning_curves(tau, one)
    off = split.removed.sum(axis=0) - (1.0 - whole.train)
    claimed = split.error["removed"].sum(axis=0) + whole.error["train"]
    found = [compared("bulks", "removed", one, tau, off, claimed)]
    off = split.removable.sum() - (1.0 - solution.train_limit)
    claimed = split.error["removable"].sum() + 4e-16
    return [*found, compared("bulks", "removable", one, math.inf, off, claimed)]


def attack(one: Case, rng: np.random.Generator) -> Outcome:
    """Every check of one case."""
    out = Outcome(one)

    def tried(what: Callable[[], T]) -> T | None:
        """What it returns; None, and one more refusal, where it is refused."""
        try:
            return what()
        except (ConvergenceError, ModelError) as error:
            out.refusals.append(reason(error))
            return None

    rough = tried(lambda: solve(one.model, ROUGH, compress=False))
    if rough is None:
        return out
    finer = (tried(partial(solve, one.model, rtol, compress=False)) for rtol in FINE)
    fine = next(filter(None, finer), rough)
    others: list[tuple[Solution | None, str]] = [(fine, "tolerance")] if fine is not rough else []
    if one.compress:
        others.append((tried(lambda: solve(one.model, 1e-8, compress=True)), "compress"))
    if one.kind == "closed form":
        law = one.model.covariance
        twice = Mixture(np.full(2, 0.5), np.array([law.eigenvalues, law.eigenvalues]), law.weights)
        two = tried(lambda: solve(one.model.replace(covariance=twice), FINE[0]))
        others.append((two, "grouped"))
    low, top = rough.diagnostics["support"]
    for name in RULES:
        training = rule(rng, name, top, one.model.rate)
        tau = times(rng, training, low, top, one.model.rate)
        if rough.hard_edge and training.decay == 0.0:
            tau = tau[:-1] if rng.random() < 0.5 else tau
        here = tried(partial(rough.learning_curves, tau, training))
        if here is None:
            continue
        sets = [(rough, here)]
        for solution, check in others:
            if solution is None:
                continue
            there = tried(partial(solution.learning_curves, tau, training))
            if there is None:
                continue
            out.findings += between(check, here, there)
            if check == "grouped" and len(sets) > 1:
                out.findings += between("grouped, fine", sets[1][1], there)
            sets.append((solution, there))
        if len(sets) > 1 and others[0][0] is fine:
            more = tried(partial(with_more_nodes, fine, tau, training))
            out.findings += between("nodes", sets[1][1], more) if more is not None else ()
        if name == "flow":
            out.findings += tried(partial(bulks, rough, tau, training.decay)) or ()
        for solution, curves in sets:
            out.findings += start(curves) if name != "ridge" else ()
            out.findings += signs(curves)
            if math.isinf(tau[-1]):
                out.findings += tried(partial(end, solution, curves)) or ()
    if one.kind in ("closed form", "compress"):
        out.findings += one_group(fine, rng)
    return out


def with_more_nodes(solution: Solution, tau: Array, training: Rule) -> LearningCurves | None:
    """The same curves on 1.3 times the nodes of their contour, where there is one for all times."""
    region = training.region(solution.model.rate)
    if solution.hard_edge or not solution._fits(region):
        return None
    count = math.ceil(1.3 * solution._first_nodes(region).points.size)
    nodes = nodes_on_contour(solution.nodes.law, region, count)
    return curves_on(nodes, tau, training).require(solution.rtol)


def one_group(solution: Solution, rng: np.random.Generator) -> Iterator[Finding]:
    """The same contour under the equations of one group."""
    nodes = solution.nodes
    m, M = solution.diagnostics["support"]
    contour = contour_in(Region(), m, M, nodes.points.size)
    grouped = Nodes(nodes.law, contour, general=True)
    one = rule(rng, "flow", M, solution.model.rate)
    tau = times(rng, one, m, M, solution.model.rate)
    assert isinstance(one, GradientFlow)
    yield from between("one group", curves_on(nodes, tau, one), curves_on(grouped, tau, one))


def drawn(seed: int, index: int) -> Outcome:
    """The case number ``index``, drawn and attacked; what it raises is its failure."""
    try:
        one = case(seed, index)
    except (ModelError, ConvergenceError) as error:
        return Outcome(None, refusals=[reason(error)])
    try:
        return attack(one, np.random.default_rng([seed, index, 1]))
    except (ModelError, ConvergenceError) as error:  # of the spectrum, beside all solutions
        return Outcome(one, refusals=[reason(error)])
    except Exception as error:
        return Outcome(one, failure=f"{type(error).__name__}: {error}")


@dataclass
class Tally:
    """What all cases gave together."""

    seed: int
    models: int = 0
    comparisons: int = 0
    worst: dict[tuple[str, str], tuple[float, int, Finding]] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, index: int, outcome: Outcome) -> list[str]:
        """Count one outcome; returns lines about what is wrong in it."""
        kind = outcome.case.kind if outcome.case else "not stated"
        self.models += 1
        self.count[kind] += 1
        self.refusals.update(outcome.refusals)
        self.comparisons += len(outcome.findings)
        lines = [f"{index} ({kind}): {outcome.failure}"] if outcome.failure else []
        for one in outcome.findings:
            key = (kind, one.check)
            if key not in self.worst or one.ratio > self.worst[key][0]:
                self.worst[key] = (one.ratio, index, one)
        if (bad := outcome.worst) is not None and bad.ratio > ALLOWED:
            lines.append(
                f"{index} ({kind}): {bad.check} {bad.name} at {bad.tau:.6g} under {bad.rule}: "
                f"off by {bad.difference:.2e}, claimed {bad.claimed:.2e}, ratio {bad.ratio:.3g}"
            )
        self.wrong += lines
        return lines

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.wrong

    def text(self) -> str:
        """The report."""
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.count.items()))
        lines = [f"{self.models} models of seed {self.seed}: {kinds}"]
        lines += ["", "worst ratio |difference|/claimed error:"]
        for (kind, check), (ratio, index, one) in sorted(self.worst.items()):
            lines.append(
                f"  {kind:22} {check:14} {ratio:8.3f}   case {index}: {one.name}, "
                f"tau = {one.tau:.3g}, {one.rule}"
            )
        lines += ["", f"refused, by reason ({sum(self.refusals.values())} in all):"]
        lines += [f"  {n:6} {reason}" for reason, n in self.refusals.most_common(25)]
        lines += ["", *self.wrong] if self.wrong else []
        lines += [
            "",
            f"{'PASS' if self.passed else 'FAIL'}: {len(self.wrong)} wrong in "
            f"{self.comparisons} comparisons; a ratio above {ALLOWED:g} is wrong",
        ]
        return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m validation attack",
        description="Random models of every kind: is any number further from the truth than its "
        "claimed error says? Exit code: 0 PASS, 1 FAIL, 2 wrong usage.",
    )
    parser.add_argument("--models", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(arguments)
    return ended(lambda: _run(options), "nothing was written")


def _run(options: argparse.Namespace) -> int:
    if options.models < 1 or options.seed < 0 or options.first < 0:
        raise ModelError("--models must be 1 or more, --seed and --first 0 or more")
    tally = Tally(options.seed)
    with bar("models", quiet=options.quiet) as show:
        for index in range(options.first, options.first + options.models):
            for line in tally.add(index, drawn(options.seed, index)):
                note(line, quiet=options.quiet)
            show(tally.models, options.models)
    print(tally.text())
    return PASS if tally.passed else FAIL
