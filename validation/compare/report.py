"""The report: one self-contained HTML page, and the same tables as Markdown."""

import math
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dmft_rf import ScoreModel, __version__
from dmft_rf.files.results import git_commit
from validation.common import page
from validation.common.page import Block, Heading, Image, Table, png
from validation.compare import pictures
from validation.compare.compare import Comparison, Verdict
from validation.compare.universality import DataRun

# of explicit training against the exact filter of the same network, seven degrees of freedom
_MOST_Z = 6.0


@dataclass(frozen=True)
class Report:
    """Everything that is written down.

    Attributes
    ----------
    profile : str
    verdict : Verdict
    mutants : list of (name, Verdict)
        Empty without mutations.
    data : list of DataRun
    training : dict
        From `validation.finite.training.study`; empty if it was not run.
    seconds, megabytes : float
        Wall time of this run and peak memory of its largest process.
    provenance : dict
        Further lines for the head of the report.
    """

    profile: str
    verdict: Verdict
    mutants: list[tuple[str, Verdict]] = field(default_factory=list)
    data: list[DataRun] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    megabytes: float = 0.0
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """PASS: the verdict, every mutation caught, and explicit training on its exact curve."""
        trained = not self.training or self.training["z"] < _MOST_Z
        return self.verdict.passed and trained and not any(m.passed for _, m in self.mutants)

    def write(self, folder: Path) -> None:
        """Write report.html and report.md into ``folder``; DataError if that fails."""
        blocks = self._sections()
        page.write_markdown(folder / "report.md", blocks)
        page.write_html(folder / "report.html", "Validation of dmft_rf", blocks)

    def _sections(self) -> list[Block]:
        v = self.verdict
        out: list[Block] = [Heading(1, "Finite networks against the theory"), *self._summary()]
        out += [Heading(2, "Cases"), _cases_table(v.comparisons)]
        out += [Image(png(pictures.z_figure(v)), "z-scores of the judged quantities")]
        if self.mutants:
            out += [Heading(2, "Mutations: theories that are wrong on purpose"), *self._mutations()]
        out += [Heading(2, "Spectra"), _spectrum_table(v.comparisons)]
        if self.data:
            out += [Heading(2, "Real data"), *_data_sections(self.data)]
        if self.training:
            out += [Heading(2, "Training as it is run"), *_training_sections(self.training)]
        out.append(Heading(2, "All comparisons"))
        for c in v.comparisons:
            out += [Heading(3, c.case.name), _describe(c), _rows_table(c)]
            out.append(Image(png(pictures.case_figure(c)), f"{c.case.name}: curves"))
        return out

    def _summary(self) -> list[Block]:
        v = self.verdict
        word = "PASS" if self.passed else "FAIL"
        judged = [row for c in v.judged for row in c.rows if row.judged]
        z = np.array([row.z for row in judged])
        lines = [
            f"Global chi-square {v.chi2:.1f} for {v.dof} degrees of freedom, probability "
            f"{v.probability:.3g}. {len(judged)} judged quantities; the largest |z| is "
            f"{np.abs(z).max():.2f}, the root mean square {math.sqrt(np.mean(z**2)):.2f}.",
            "PASS means: the global probability is above 0.001, no single case is below "
            "0.001/(number of cases), and in every case the Kolmogorov distance of the spectrum "
            "vanishes at d = infinity. Every mutation below must FAIL by the same rule, and "
            "explicit training must lie on the exact curve of its own network.",
        ]
        lines += [f"Reason: {reason}." for reason in v.reasons]
        about = {
            "profile": self.profile,
            "package": f"dmft_rf {__version__}, commit {git_commit()}",
            "python": f"{platform.python_version()}, numpy {np.__version__}",
            "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "this run": f"{self.seconds:.0f} s, peak memory of its largest process "
            f"{self.megabytes:.0f} MB",
            **self.provenance,
        }
        return [page.Verdict(word), *lines, Table(["", ""], [[k, t] for k, t in about.items()], 2)]

    def _mutations(self) -> list[Block]:
        rows = []
        for name, mutant in self.mutants:
            caught = not mutant.passed
            rows.append(
                [name, "caught" if caught else "NOT CAUGHT", f"{mutant.chi2:.0f}",
                 f"{mutant.dof}", f"{max(abs(c.worst().z) for c in mutant.judged):.1f}",
                 str(sum(c.probability < 1e-3 / len(mutant.judged) for c in mutant.judged))]
            )  # fmt: skip
        head = ["formula changed", "", "chi-square", "dof", "largest |z|", "cases that fail"]
        picture = png(pictures.mutation_figure(self.verdict, self.mutants))
        return [
            "Each formula is multiplied by 1.03 in turn, the simulations are the same. Only rules "
            "with a contour in the half-plane enter. A chi-square can be large while single |z| "
            "are small: values at different times are strongly correlated, and their differences "
            "are known much better than they are.",
            Table(head, rows, 2),
            Image(picture, "chi-square of the mutations"),
        ]


# -- tables ------------------------------------------------------------------------------------


def _cases_table(comparisons: list[Comparison]) -> Table:
    rows = []
    for c in comparisons:
        m, worst = c.case.model, c.worst()
        relative = [abs(r.value / r.theory - 1.0) for r in c.rows if r.judged]
        sizes = ", ".join(f"{d} x {n}" for d, n in c.case.sizes)
        rows.append(
            [c.case.name, _parameters(m), sizes,
             f"{c.chi2:.1f}/{c.dof}", f"{c.probability:.2g}", f"{worst.z:+.2f}",
             f"{100 * max(relative):.2f} %", f"{100 * float(np.median(relative)):.2f} %"]
        )  # fmt: skip
    head = [
        "case", "t, psi_p, psi_n, activation", "d x seeds", "chi-square/dof", "probability",
        "worst z", "difference: largest", "median",
    ]  # fmt: skip
    return Table(head, rows, 2)


def _parameters(m: ScoreModel) -> str:
    out = f"{m.t:g}, {m.psi_p:g}, {m.psi_n:g}, {m.activation.name}"  # type: ignore[union-attr]
    if math.isfinite(m.noise_draws):
        out += f", m = {m.noise_draws:g}"
    return out if len(m.classes) == 1 else f"{out}, {len(m.classes)} classes"


def _spectrum_table(comparisons: list[Comparison]) -> Table:
    rows = []
    for c in comparisons:
        s = c.shape
        if s is None:
            continue
        ks = ", ".join(f"{x:.3f}" for x in s.distance.means[:, 0])
        rows.append(
            [c.case.name, ks, f"{s.distance.value[0]:+.4f} +- {s.distance.error[0]:.4f}",
             f"{s.below.value[0]:.4f} +- {s.below.error[0]:.4f}", f"{s.mass_below:.4f}",
             f"{s.atom:.4f}", f"{s.edges[-1, 1]:.3f}", f"{s.predicted_edges[1]:.3f}"]
        )  # fmt: skip
    head = [
        "case", "KS at each d", "KS at infinity", "mass below 3 s_t^2", "predicted", "of it atom",
        "top eigenvalue at largest d", "predicted edge",
    ]  # fmt: skip
    return Table(head, rows, 2)


def _rows_table(c: Comparison) -> Table:
    rows = [
        [r.rule, r.quantity, f"{r.tau:.4g}", f"{r.theory:.6f}", f"{r.value:.6f}", f"{r.error:.1e}",
         f"{100 * (r.value / r.theory - 1):+.2f} %", f"{r.z:+.2f}"]
        for r in c.rows
        if r.judged or (r.quantity == "score_error" and r.tau in c.case.judged)
    ]  # fmt: skip
    head = ["rule", "quantity", "tau or z", "theory", "extrapolated", "error", "difference", "z"]
    return Table(head, rows, 2)


def _describe(c: Comparison) -> str:
    m = c.case.model
    drawn = f"m = {m.noise_draws:g} noise draws, " if math.isfinite(m.noise_draws) else ""
    return (
        f"{c.case.about}. t = {m.t:g}, psi_p = {m.psi_p:g}, psi_n = {m.psi_n:g}, {drawn}"
        f"{m.activation.name}, Sigma: {m.covariance.label}, "  # type: ignore[union-attr]
        f"d_eff/d = {m.covariance.effective_dimension_ratio:.3f}."
    )


def _data_sections(runs: list[DataRun]) -> list[Block]:
    out: list[Block] = [
        "The theory gets the eigenvalues of the covariance and nothing else. Gaussian data of the "
        "same covariance and size show what is finite size; what remains is that the data are not "
        "Gaussian. Differences are relative to the theory, in per cent, for the test loss; these "
        "cases do not decide about PASS or FAIL."
    ]
    rows, times, copies = [], [], []
    for r in runs:
        for i in np.flatnonzero(np.isin(r.tau, (1.0, 10.0, 100.0, 1e3, math.inf))):
            theory = r.theory.test[i]
            gauss, real = r.surrogate["test"][0][i], r.rows["test"][0][i]
            rows.append(
                [r.name, f"{r.tau[i]:g}", f"{theory:.4f}", f"{gauss:.4f}", f"{real:.4f}",
                 f"{100 * (gauss / theory - 1):+.1f}", f"{100 * (real - gauss) / theory:+.1f}"]
            )  # fmt: skip
        times += [
            [r.name, who, f"{half:.3g}", f"{best:.3g}"] for who, (half, best) in r.times.items()
        ]
        copies += [
            [r.name, str(k), f"{d_eff:.1f}", f"{100 * diff:+.2f}", f"{100 * err:.2f}"]
            for k, d_eff, diff, err in r.copies
        ]
    head = [
        "data, t, psi_p, psi_n", "tau", "theory", "Gaussian data", "rows", "finite size (%)",
        "not Gaussian (%)",
    ]  # fmt: skip
    out += [Table(head, rows, 2), "Timescales:"]
    out.append(Table(["data", "of", "half-gap time", "time of least test loss"], times, 2))
    out.append("The same spectrum used several times over, Gaussian data, test loss at tau = inf:")
    out.append(Table(["data", "copies", "d_eff", "difference from theory (%)", "+-"], copies, 2))
    out += [Image(png(pictures.data_figure(r)), r.name) for r in runs]
    return out


def _training_sections(study: dict[str, Any]) -> list[Block]:
    head = ["run", "tau", "theory", "this network, exact", "trained", "+-", "z"]
    return [
        study["about"],
        Table(head, study["rows"], 2),
        Image(png(pictures.training_figure(study["curves"])), "explicit training"),
    ]
