r"""Real data against the theory that knows their covariance only.

Three things are distinguished, at the same p and n: the theory (d = infinity, Gaussian), Gaussian
data of the same covariance and size (d finite), and the rows themselves. surrogate - theory is the
effect of finite size, which falls like 1/d_eff with d_eff = (Tr Sigma)^2/Tr Sigma^2;
rows - surrogate is the effect of data that are not Gaussian, which no size removes. Levels are
compared at single times, and timescales: the half-gap time, when L_test - L_train reaches half its
final value, and the time of the smallest test loss.
"""

import math
from dataclasses import dataclass

import numpy as np

from dmft_rf import LearningCurves
from dmft_rf._typing import Array
from validation.compare.theory import predict
from validation.finite.case import FLOW, Case
from validation.finite.simulate import Cell

Pair = tuple[Array, Array]


@dataclass(frozen=True)
class DataRun:
    """One data set at one (t, psi_p, psi_n).

    Attributes
    ----------
    name, about : str
    d, d_eff : float
    tau : (n_tau,) array
    theory : LearningCurves
    surrogate, rows : dict
        (mean, standard error) of train and test over the draws, each (n_tau,).
    copies : list of (factor, d_eff, difference, error)
        Test loss at tau = inf of Gaussian data against theory (relative), for the spectrum
        repeated ``factor`` times.
    times : dict
        (tau_half, tau_opt) of theory, surrogate and rows by name.
    """

    name: str
    about: str
    d: int
    d_eff: float
    tau: Array
    theory: LearningCurves
    surrogate: dict[str, Pair]
    rows: dict[str, Pair]
    copies: list[tuple[int, float, float, float]]
    times: dict[str, tuple[float, float]]


def data_run(gauss: Case, rows: Case, gauss_cells: list[Cell], row_cells: list[Cell]) -> DataRun:
    """Put the three side by side; the surrogate is the part of ``gauss_cells`` at the rows' d."""
    theory = predict(rows).curves[FLOW]
    d = row_cells[0].d
    same = [cell for cell in gauss_cells if cell.d == d]
    law = rows.model.covariance
    ratio = law.effective_dimension_ratio
    copies = []
    for size in sorted({cell.d for cell in gauss_cells}):
        late = np.array([c.arrays["0/test"][-1] for c in gauss_cells if c.d == size])
        final = theory.test[-1]
        copies.append(
            (size // d, ratio * size, late.mean() / final - 1.0,
             late.std(ddof=1) / math.sqrt(late.size) / final)
        )  # fmt: skip
    surrogate, real = _means(same), _means(row_cells)
    tau = theory.tau
    times = {
        "theory": _times(tau, theory.train, theory.test),
        "Gaussian data": _times(tau, surrogate["train"][0], surrogate["test"][0]),
        rows.data: _times(tau, real["train"][0], real["test"][0]),
    }
    return DataRun(
        rows.name.removesuffix("_rows"), rows.data, d, ratio * d, tau, theory, surrogate, real,
        copies, times,
    )  # fmt: skip


def _means(cells: list[Cell]) -> dict[str, Pair]:
    out = {}
    for name in ("train", "test"):
        values = np.stack([cell.arrays[f"0/{name}"] for cell in cells])
        out[name] = (values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(cells)))
    return out


def _times(tau: Array, train: Array, test: Array) -> tuple[float, float]:
    """Half-gap time and time of the smallest test loss, interpolated in log tau."""
    inner = np.isfinite(tau) & (tau > 0.0)
    x, gap, loss = np.log(tau[inner]), (test - train)[inner], test[inner]
    half = 0.5 * float((test - train)[-1])
    over = np.flatnonzero(gap >= half)
    tau_half = math.nan
    if over.size and over[0] > 0:
        i = int(over[0])
        share = (half - gap[i - 1]) / (gap[i] - gap[i - 1])
        tau_half = math.exp(x[i - 1] + share * (x[i] - x[i - 1]))
    i = int(np.argmin(loss))
    if not 0 < i < loss.size - 1:
        return tau_half, math.exp(x[i])
    # vertex of the parabola through the three lowest points
    a, b, _ = np.polyfit(x[i - 1 : i + 2] - x[i], loss[i - 1 : i + 2], 2)
    return tau_half, math.exp(x[i] - b / (2.0 * a))
