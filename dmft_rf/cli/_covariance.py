"""The command ``dmft-rf covariance``: eigenvalues of samples, computed once and kept."""

from __future__ import annotations

import os
import time

import numpy as np

from dmft_rf._version import __version__
from dmft_rf.cli._data_options import SourceOptions
from dmft_rf.cli._finish import show
from dmft_rf.cli._options import OutputOptions
from dmft_rf.cli._report import Report, covariance_document, number
from dmft_rf.data import bundled as datasets
from dmft_rf.errors import DataError
from dmft_rf.files.hdf5 import has_seal
from dmft_rf.files.results import save
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.practice import scale_of

_ROWS = 12


def covariance(options: SourceOptions, output: OutputOptions) -> None:
    """Eigenvalues of the covariance of samples."""
    output.check(options.source)
    if has_seal(options.source):
        raise DataError(f"{options.source}: was written by dmft-rf; give it to --data as it is")
    start = time.perf_counter()
    law = options.read(options.source)
    place = options.source
    if place not in datasets.names():
        place = os.path.abspath(place)
    centred = options.center is not False
    if output.out is not None:
        extra = {"source": place, "centered": centred}
        extra["wall_time_seconds"] = time.perf_counter() - start
        save(output.out, law, overwrite=output.overwrite, extra=extra)
    report = _report(law, place, centred)
    from dmft_rf.plotting.covariance import plot_covariance

    table = {"eigenvalue": law.eigenvalues, "weight": law.weights}
    show(report, output, start, lambda: plot_covariance(law), table)


def _report(law: Covariance, place: str, centred: bool) -> Report:
    report = Report(
        {
            "command": "covariance",
            "package_version": __version__,
            "source": place,
            "centered": centred,
            "covariance": covariance_document(law, d_eff_over_d=law.effective_dimension_ratio),
        }
    )
    assert law.dimension is not None
    assert law.samples is not None
    d, n, d_eff = law.dimension, law.samples, law.effective_dimension
    mean = "sample mean taken out" if centred else "sample mean left in"
    report.header += [
        ("data", law.label),
        ("samples", f"n = {n} of dimension d = {d}, psi_n = n/d = {n / d:.6g}; {mean}"),
        (
            "eigenvalues",
            f"{law.eigenvalues[0]:.4g} to {law.eigenvalues[-1]:.6g}, mean {law.mean:.6g}; "
            f"d_eff = (Tr Sigma)^2/Tr Sigma^2 = {d_eff:.1f}",
        ),
    ]
    columns = ["largest", "eigenvalue", "over the mean", "share of the variance up to here"]
    falling, weights = law.eigenvalues[::-1], law.weights[::-1]
    shares = np.cumsum(falling * weights) / law.mean
    counts = np.rint(np.cumsum(weights) * d).astype(int)
    rows = [
        [str(counts[k]), number(falling[k]), number(falling[k] / law.mean, 4), f"{shares[k]:.4f}"]
        for k in np.unique(np.geomspace(1, law.n_atoms, _ROWS).astype(int)) - 1
    ]
    report.tabulate(columns, rows)
    if (words := scale_of(law.mean)) is not None:
        report.notes.append(
            f"{words[0].upper()}{words[1:]}; the noise of a model has variance 1. Commands with "
            "--data divide by the mean unless --no-normalize or --scale is given."
        )
    return report
