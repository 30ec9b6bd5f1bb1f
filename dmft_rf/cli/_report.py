"""What a command prints: a table for people or one JSON document for programs."""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf import errors
from dmft_rf._version import __version__
from dmft_rf.cli._frame import put
from dmft_rf.files.results import describe_model

if TYPE_CHECKING:
    from dmft_rf.cli._model import Stated
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.model.mixture import Mixture
    from dmft_rf.model.score_model import ScoreModel

# width where stdout is no terminal: lines that fit a README and a log
_WIDTH = 100
_NARROW = 40


@dataclass
class Table:
    """A table for people."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    text_columns: frozenset[int] = frozenset()


@dataclass
class Report:
    """Everything a command has to say.

    Attributes
    ----------
    document : dict
        Printed by ``as_json``.
    header : list of (name, text)
        Model, covariance, accuracy.
    tables : list of Table
    notes : list of str
        What the numbers mean, after the tables.
    """

    document: dict[str, Any]
    header: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def state(self, name: str, text: str) -> None:
        """Add a line to the header."""
        self.header.append((name, text))

    def tabulate(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        title: str = "",
        text_columns: frozenset[int] = frozenset(),
    ) -> None:
        """Add a table."""
        self.tables.append(Table(columns, rows, title, text_columns))

    def print(self, *, as_json: bool) -> None:
        """Write the report to stdout."""
        if as_json:
            put(json.dumps(plain(self.document), indent=2, allow_nan=False) + "\n")
        elif sys.stdout is not None:
            put(self._text())

    def _text(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        page = _Page()
        # unlike rich's, a width of 0 counts as unknown
        width = shutil.get_terminal_size((_WIDTH, 24)).columns if page.isatty() else _WIDTH
        width = max(width, _NARROW)
        plain_text: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
        console = Console(file=page, width=width, **plain_text)
        head = RichTable.grid(padding=(0, 2))
        head.add_column()
        head.add_column(overflow="fold")
        for name, text in self.header:
            head.add_row(Text(name, style="bold"), shown_text(text))
        console.print(head)
        for table in self.tables:
            console.print()
            if table.title:
                console.print(Text(shown_text(table.title), style="bold"))
            drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
            for k, column in enumerate(table.columns):
                is_text = k in table.text_columns
                side: Any = "left" if is_text else "right"
                drawn.add_column(column, justify=side, no_wrap=not is_text, overflow="fold")
            for row in table.rows:
                drawn.add_row(*map(shown_text, row))
            # rich cuts what does not fit: a line too long is better than a wrong number
            Console(file=page, width=max(width, _least(table)), **plain_text).print(drawn)
        for note in self.notes:
            console.print()
            console.print("\n".join(map(shown_text, note.split("\n"))))
        # rich fills its lines with blanks
        return "\n".join(line.rstrip() for line in page.getvalue().split("\n"))


def _least(table: Table) -> int:
    """The width that a table needs so that no number is cut; texts can be folded."""
    columns = zip(table.columns, *table.rows, strict=True)
    needed = [
        max(
            len(word)
            for cell in cells
            for word in (cell.split() if k in table.text_columns else [cell]) or [""]
        )
        for k, cells in enumerate(columns)
    ]
    return sum(needed) + 3 * len(needed)


class _Page(io.StringIO):
    """A text in memory that rich takes for stdout."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return _encoding()

    def isatty(self) -> bool:
        return sys.stdout.isatty()


def shown_text(text: str) -> str:
    """One line of text as stdout can show it: nothing to obey, substitutes for what it lacks.

    Made before tables are laid out, so that their columns stay in line.
    """
    return errors.plain(text).encode(_encoding(), "backslashreplace").decode(_encoding())


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def begin(command: str, stated: Stated, *, swept: Sequence[str] = ()) -> Report:
    """Return a report that states the model, its covariance and the expected finite-size error."""
    model, c = stated.model, stated.model.covariance
    parameters = [
        f"{name} = {getattr(model, name):.6g}"
        for name in ("t", "psi_p", "psi_n")
        if name not in swept
    ]
    if stated.psi_n_source == "data" and "psi_n" not in swept:
        parameters[-1] += " (n/d of the data)"
    text = ", ".join([*parameters, model.activation.name, _noise(model)])  # type: ignore[union-attr]
    origin = {name: words for name, words in stated.origin.items() if name not in swept}
    report = Report(
        {
            "command": command,
            "package_version": __version__,
            "model": {k: v for k, v in describe_model(model).items() if k not in swept},
            "psi_n_source": "swept" if "psi_n" in swept else stated.psi_n_source,
            "psi_n_of_data": stated.psi_n_of_data,
            "stated_as": origin,
            "covariance": covariance_document(
                c, divided_by=stated.divisor, d_eff_over_d=c.effective_dimension_ratio
            ),
        }
    )
    report.state("model", text)
    if origin:
        report.state("stated as", ", ".join(origin.values()))
    report.state("covariance", _covariance_text(model, stated.divisor))
    if stated.psi_n_of_data is not None and ("psi_n" in swept or stated.psi_n_source != "data"):
        report.state("samples", _samples_text(stated, "psi_n" in swept))
    if c.dimension is not None:
        error = c.expected_finite_size_error
        assert error is not None
        report.state(
            "finite size",
            f"d_eff = (Tr Sigma)^2/Tr Sigma^2 = {c.effective_dimension:.1f}; the limit is "
            f"reached like 1/d_eff: expect errors of order {100 * error:.1f} % at late times",
        )
    elif not c.is_isotropic:
        report.state(
            "finite size",
            f"d_eff = {c.effective_dimension_ratio:.4g} d; expect errors of order 1/d_eff for "
            "data of dimension d, at late times",
        )
    return report


def covariance_document(c: Covariance | Mixture, **more: Any) -> dict[str, Any]:
    """What the document says of a covariance."""
    return {**c.summary(), **more, "eigenvalues": c.eigenvalues, "weights": c.weights}


def rule_text(name: str, described: dict[str, Any]) -> str:
    """A training rule with its parameters."""
    found = {key.removeprefix("rule_"): value for key, value in described.items() if key != "rule"}
    return ", ".join([name, ", ".join(f"{key} = {value:g}" for key, value in found.items())])


def shortened(report: Report, rows: list[list[str]], most: int, where: str) -> list[list[str]]:
    """The rows at both ends if there are more than ``most``, with a note on ``where`` all are."""
    if len(rows) <= most:
        return rows
    half = most // 2
    report.notes.append(f"{2 * half} of {len(rows)} rows shown; {where}.")
    return [*rows[:half], ["..."] * len(rows[0]), *rows[-half:]]


def _samples_text(stated: Stated, swept: bool) -> str:
    """How many samples the data have, where the model has another number of them."""
    n, psi_n = stated.model.covariance.samples, stated.psi_n_of_data
    if swept:
        return f"psi_n is swept; the data have n = {n}, psi_n = {psi_n:.6g}"
    return f"psi_n = {stated.model.psi_n:.6g} as given; the data have n = {n}, psi_n = {psi_n:.6g}"


def _noise(model: ScoreModel) -> str:
    """How the training loss sees the noise."""
    if model.noise_draws == math.inf:
        return "noise averaged exactly"
    return f"{model.noise_draws:g} noise draw{'s' * (model.noise_draws > 1)} per sample"


def _covariance_text(model: ScoreModel, divisor: float | None) -> str:
    c = model.covariance
    if c.dimension is None:
        if c.is_isotropic:
            return f"isotropic, eigenvalue {c.mean:g}"
        return (
            f"{c.n_atoms} eigenvalues from {c.eigenvalues.min():g} to {c.eigenvalues.max():g}, "
            f"mean {c.mean:g}"
        )
    zero = f", {100 * c.weights[0]:.3g} % of them 0" if c.eigenvalues[0] == 0.0 else ""
    upto = f"up to {c.eigenvalues[-1]:.4g}{zero}"
    if c.samples is None:  # a law with a formula, whose label has the dimension
        return f"{c.label}; eigenvalues {upto}"
    is_mean = abs(c.mean - 1.0) < 1e-9  # else by a scale that was asked for
    by = "" if divisor is None else f"{'their mean ' * is_mean}{divisor:.6g}"
    scale = "as in the file," if divisor is None else f"divided by {by}, now"
    return f"{c.label}: {c.samples} samples, d = {c.dimension}; eigenvalues {scale} {upto}"


def accuracy(report: Report, estimate: float, rtol: float | None) -> None:
    """Add the error estimate to a report."""
    report.document["error_estimate"] = estimate
    asked = ""
    if rtol is not None:
        report.document["rtol"] = rtol
        asked = f" ({rtol:g} asked for)"
    report.state("accuracy", f"estimated relative error {estimate:.1e}{asked}")


def number(value: float, digits: int = 6) -> str:
    """Return a number for a table."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}g}"


def plain(value: Any) -> Any:
    """Return what strict JSON can hold: NaN is null, infinity the string "inf"."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
    return value
