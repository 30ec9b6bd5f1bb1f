"""The command ``pencil``: equations and spectral law of a pencil in a TOML file."""

from __future__ import annotations

import time

from dmft_rf._version import __version__
from dmft_rf.cli._finish import finish
from dmft_rf.cli._options import OutputOptions, PencilOptions
from dmft_rf.cli._report import Report, covariance_document, number
from dmft_rf.errors import ModelError, plain
from dmft_rf.pencil.files import PencilFile, read_pencil
from dmft_rf.pencil.spectrum import PencilSpectrum
from dmft_rf.plotting.spectra import plot_pencil


def pencil(options: PencilOptions, output: OutputOptions) -> None:
    """Equations, edges, masses, atoms and density."""
    start = time.perf_counter()
    output.check(str(options.file))
    stated = read_pencil(options.file)
    system = stated.bind()
    law = system.spectrum()
    report = _begin(options, stated, law)
    rows = [[number(at), number(at), number(mass), "atom"] for at, mass in law.atoms]
    rows += [
        [number(low), number(high), number(mass), "bulk"]
        for (low, high), mass in zip(law.edges, law.bulk_masses, strict=True)
    ]
    rows.sort(key=lambda row: float(row[0]))
    report.tabulate(["from", "to", "mass", ""], rows, "Spectrum", frozenset({3}))
    _equations(report, options, stated)
    grid = law.grid()
    report.document["results"] = {
        "edges": law.edges,
        "bulk_masses": law.bulk_masses,
        "atoms": law.atoms,
        "mass": law.mass,
        "mean": law.moment(1),
        "second_moment": law.moment(2),
        "grid": grid,
        "density": law.density(grid),
    }
    title = f"Spectrum of the pencil {plain(options.file.name)}"
    finish(report, output, start, lambda: plot_pencil(law, title), {"pencil": law}, None)


def _begin(options: PencilOptions, stated: PencilFile, law: PencilSpectrum) -> Report:
    pencil, c = stated.pencil, stated.covariance
    report = Report(
        {
            "command": "pencil",
            "package_version": __version__,
            "file": plain(str(options.file)),
            "parameters": stated.values,
            "blocks": pencil.blocks,
            "unknowns": [str(pencil.dyson.unknowns[n]) for n in pencil.dyson.minimal],
            "covariance": covariance_document(c, divided_by=None),
            "error_estimate": law.mass_error,
        }
    )
    values = ", ".join(f"{name} = {value:g}" for name, value in stated.values.items())
    report.state("pencil", f"{plain(options.file.name)}: {len(pencil.blocks)} blocks")
    if values:
        report.state("parameters", values)
    report.state(
        "accuracy",
        f"edges and masses exact; the density integrates to them within {law.mass_error:.1e}",
    )
    report.notes.append(f"Blocks:\n{pencil.describe()}")
    return report


def _equations(report: Report, options: PencilOptions, stated: PencilFile) -> None:
    """Add the equations, as far as they can be written down."""
    try:
        equations = stated.pencil.equations()
    except ModelError as error:
        if options.latex:
            raise
        report.notes.append(f"Equations: not shown, {error}.")
        return
    report.document["equations"] = str(equations).splitlines()
    report.document["latex"] = equations.latex()
    text = equations.latex() if options.latex else str(equations)
    report.notes.append(
        f"Dyson equation, < . > the average over the eigenvalues lambda of Sigma:\n{text}"
    )
