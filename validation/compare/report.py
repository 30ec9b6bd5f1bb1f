"""The report: one self-contained HTML page, and the same tables as Markdown."""

from __future__ import annotations

import html
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dmft_rf import ScoreModel, __version__
from dmft_rf.files.replace import replacing
from dmft_rf.files.results import git_commit
from validation.compare import pictures
from validation.compare.compare import Comparison, Verdict
from validation.compare.universality import DataRun

# of explicit training against the exact filter of the same network, seven degrees of freedom
_MOST_Z = 6.0

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px;margin:.8em 0}
td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
img{max-width:100%} .PASS{color:#00694f} .FAIL{color:#b84700} h2{margin-top:2em}
"""


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
        sections = self._sections()
        text = "\n\n".join(_markdown(block) for block in sections if not isinstance(block, _Image))
        body = "\n".join(_html(block) for block in sections)
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f"<title>Validation of dmft_rf</title><style>{_STYLE}</style></head>"
            f"<body>{body}</body></html>\n"
        )
        for name, content in (("report.md", text + "\n"), ("report.html", page)):
            with replacing(folder / name, overwrite=True) as temporary:
                temporary.write_text(content, encoding="utf-8")

    def _sections(self) -> list[Any]:
        v = self.verdict
        out: list[Any] = [_Heading(1, "Finite networks against the theory"), *self._summary()]
        out += [_Heading(2, "Cases"), _cases_table(v.comparisons)]
        out += [_Image(pictures.png(pictures.z_figure(v)), "z-scores of the judged quantities")]
        if self.mutants:
            out += [
                _Heading(2, "Mutations: theories that are wrong on purpose"),
                *self._mutations(),
            ]
        out += [_Heading(2, "Spectra"), _spectrum_table(v.comparisons)]
        if self.data:
            out += [_Heading(2, "Real data"), *_data_sections(self.data)]
        if self.training:
            out += [_Heading(2, "Training as it is run"), *_training_sections(self.training)]
        out.append(_Heading(2, "All comparisons"))
        for c in v.comparisons:
            out += [_Heading(3, c.case.name), _describe(c), _rows_table(c)]
            out.append(_Image(pictures.png(pictures.case_figure(c)), f"{c.case.name}: curves"))
        return out

    def _summary(self) -> list[Any]:
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
        return [_Verdict(word), *lines, _Table(["", ""], [[k, t] for k, t in about.items()])]

    def _mutations(self) -> list[Any]:
        rows = []
        for name, mutant in self.mutants:
            caught = not mutant.passed
            rows.append(
                [name, "caught" if caught else "NOT CAUGHT", f"{mutant.chi2:.0f}",
                 f"{mutant.dof}", f"{max(abs(c.worst().z) for c in mutant.judged):.1f}",
                 str(sum(c.probability < 1e-3 / len(mutant.judged) for c in mutant.judged))]
            )  # fmt: skip
        head = ["formula changed", "", "chi-square", "dof", "largest |z|", "cases that fail"]
        picture = pictures.png(pictures.mutation_figure(self.verdict, self.mutants))
        return [
            "Each formula is multiplied by 1.03 in turn, the simulations are the same. Only rules "
            "with a contour in the half-plane enter. A chi-square can be large while single |z| "
            "are small: values at different times are strongly correlated, and their differences "
            "are known much better than they are.",
            _Table(head, rows),
            _Image(picture, "chi-square of the mutations"),
        ]


# -- tables ------------------------------------------------------------------------------------


def _cases_table(comparisons: list[Comparison]) -> _Table:
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
        "worst z", "largest difference", "median difference",
    ]  # fmt: skip
    return _Table(head, rows)


def _parameters(m: ScoreModel) -> str:
    out = f"{m.t:g}, {m.psi_p:g}, {m.psi_n:g}, {m.activation.name}"  # type: ignore[union-attr]
    if math.isfinite(m.noise_draws):
        out += f", m = {m.noise_draws:g}"
    return out if len(m.classes) == 1 else f"{out}, {len(m.classes)} classes"


def _spectrum_table(comparisons: list[Comparison]) -> _Table:
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
    return _Table(head, rows)


def _rows_table(c: Comparison) -> _Table:
    rows = [
        [r.rule, r.quantity, f"{r.tau:.4g}", f"{r.theory:.6f}", f"{r.value:.6f}", f"{r.error:.1e}",
         f"{100 * (r.value / r.theory - 1):+.2f} %", f"{r.z:+.2f}"]
        for r in c.rows
        if r.judged or (r.quantity == "score_error" and r.tau in c.case.judged)
    ]  # fmt: skip
    head = ["rule", "quantity", "tau or z", "theory", "extrapolated", "error", "difference", "z"]
    return _Table(head, rows)


def _describe(c: Comparison) -> str:
    m = c.case.model
    drawn = f"m = {m.noise_draws:g} noise draws, " if math.isfinite(m.noise_draws) else ""
    return (
        f"{c.case.about}. t = {m.t:g}, psi_p = {m.psi_p:g}, psi_n = {m.psi_n:g}, {drawn}"
        f"{m.activation.name}, Sigma: {m.covariance.label}, "  # type: ignore[union-attr]
        f"d_eff/d = {m.covariance.effective_dimension_ratio:.3f}."
    )


def _data_sections(runs: list[DataRun]) -> list[Any]:
    out: list[Any] = [
        "The theory gets the eigenvalues of the covariance and nothing else. Gaussian data of the "
        "same covariance and size show what is finite size; what remains is that the data are not "
        "Gaussian. Differences are relative to the theory, in per cent, for the test loss; these "
        "cases do not decide about PASS or FAIL.",
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
    out += [_Table(head, rows), "Timescales:"]
    out.append(_Table(["data", "of", "half-gap time", "time of least test loss"], times))
    out.append("The same spectrum used several times over, Gaussian data, test loss at tau = inf:")
    out.append(_Table(["data", "copies", "d_eff", "difference from theory (%)", "+-"], copies))
    out += [_Image(pictures.png(pictures.data_figure(r)), r.name) for r in runs]
    return out


def _training_sections(study: dict[str, Any]) -> list[Any]:
    head = ["run", "tau", "theory", "this network, exact", "trained", "+-", "z"]
    return [
        study["about"],
        _Table(head, study["rows"]),
        _Image(pictures.png(pictures.training_figure(study["curves"])), "explicit training"),
    ]


# -- blocks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Heading:
    level: int
    text: str


@dataclass(frozen=True)
class _Verdict:
    word: str


@dataclass(frozen=True)
class _Image:
    data: str
    alt: str


@dataclass(frozen=True)
class _Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def _markdown(block: Any) -> str:
    if isinstance(block, _Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, _Verdict):
        return f"**{block.word}**"
    if isinstance(block, _Table):
        lines = [block.head, ["---"] * len(block.head), *block.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return str(block)


def _html(block: Any) -> str:
    if isinstance(block, _Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, _Verdict):
        return f'<p style="font-size:1.6em"><b class="{block.word}">{block.word}</b></p>'
    if isinstance(block, _Image):
        alt = html.escape(block.alt, quote=True)
        return f'<p><img alt="{alt}" src="data:image/png;base64,{block.data}"></p>'
    if isinstance(block, _Table):
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in block.rows
        )
        return f"<table><tr>{head}</tr>{rows}</table>"
    return f"<p>{html.escape(str(block))}</p>"
