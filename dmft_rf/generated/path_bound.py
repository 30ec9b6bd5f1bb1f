r"""A bound on how far what is generated is from the data, at any width.

The laws of the two reverse processes, driven by the exact score and by the learned one, differ by
what Girsanov's theorem gives along the path; at the end they differ by less. Per dimension,

    KL(data || generated) <= <sigma_T - 1 - ln sigma_T>/2 + int E_score(t, tau(t)) dt,

t from t_end to t_start, where sigma_T = e^{-2 t_start} lambda + Delta is the variance that the
process should have begun with. It holds for the stochastic process. docs/theory.md, section 15.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dmft_rf._show import Shown, Table, table_over_times
from dmft_rf._typing import Array
from dmft_rf.curves.solve import solve
from dmft_rf.errors import ConvergenceError
from dmft_rf.model.score_model import ScoreModel

_NODES = 12
# the first panels: their ratio, and where they begin for t_end = 0
_RATIO, _FIRST = 4.0, 1e-7
_MOST_PANELS = 200


@dataclass(frozen=True, eq=False, repr=False)
class PathBound(Shown):
    """Upper bound of KL(data || generated)/d for the stochastic process, shaped like ``tau``.

    Attributes
    ----------
    tau
        Training time.
    kl_bound
        ``start`` + ``integral``.
    integral
        Of the score error over diffusion times.
    start
        What the process owes to having begun at N(0, I).
    error
        Estimated absolute error of ``integral`` and ``kl_bound``, by name.
    t_start, t_end, model
        As given.
    """

    tau: Array
    kl_bound: Array
    integral: Array
    start: float
    error: dict[str, Array]
    t_start: float
    t_end: float
    model: ScoreModel

    def _about(self) -> str:
        return f"t from {self.t_start:g} to {self.t_end:g}; {self.model.label}"

    def _table(self) -> Table:
        columns = {name: getattr(self, name) for name in ("kl_bound", "integral")}
        columns |= {f"{name}_error": error for name, error in self.error.items()}
        return table_over_times(self.tau, columns)


def path_bound(
    model: ScoreModel,
    tau: Array,
    factor: Callable[[Array], Array],
    t_start: float,
    t_end: float,
    rtol: float,
) -> PathBound:
    """The bound for training times ``tau`` times ``factor`` of the diffusion time.

    Gauss-Legendre panels in ln t, halved until their estimates promise ``rtol`` of the integral;
    ConvergenceError if 200 panels do not.
    """
    flat = tau.ravel()

    def score_error(t: Array) -> Array:
        times = np.where(factor(t)[:, None] > 0.0, np.multiply.outer(factor(t), flat), 0.0)
        return np.array(
            [_score_error(model, float(x), row) for x, row in zip(t, times, strict=True)]
        )

    least = max(t_end, min(_FIRST, 0.1 * t_start))
    count = max(1, math.ceil(math.log(t_start / least) / math.log(_RATIO)))
    edges = np.linspace(math.log(least), math.log(t_start), count + 1)
    left = list(itertools.pairwise(edges))
    done: list[tuple[Array, Array]] = []
    if least > t_end:  # the rest down to 0, where the score error changes like a power of t
        near = score_error(np.array([least, 2.0 * least]))
        done.append((least * near[0], least * np.abs(near[0] - near[1])))
    waiting = [(low, high, *_panel(score_error, low, high)) for low, high in left]
    while True:
        total = sum((part[0] for part in done), start=np.zeros(flat.size))
        total = total + sum((part[2] for part in waiting), start=np.zeros(flat.size))
        allowed = rtol * np.abs(total) / (len(waiting) + 1.0)
        bad = [part for part in waiting if not (part[3] <= allowed).all()]
        done += [(part[2], part[3]) for part in waiting if (part[3] <= allowed).all()]
        if not bad:
            break
        if len(done) + 2 * len(bad) > _MOST_PANELS:
            raise ConvergenceError(
                f"the integral of the score error over diffusion times needs more than "
                f"{_MOST_PANELS} panels for rtol = {rtol:g}"
            )
        halves = [
            half
            for low, high, _, _ in bad
            for half in ((low, 0.5 * (low + high)), (0.5 * (low + high), high))
        ]
        waiting = [(low, high, *_panel(score_error, low, high)) for low, high in halves]
    error = sum((part[1] for part in done), start=np.zeros(flat.size))
    lam, w = _law_of(model)
    above = (lam - 1.0) * math.exp(-2.0 * t_start)  # sigma_T - 1
    start = 0.5 * float(w @ (above - np.log1p(above)))
    shape = tau.shape
    return PathBound(
        tau=tau,
        kl_bound=(start + total).reshape(shape),
        integral=total.reshape(shape),
        start=start,
        error={"kl_bound": error.reshape(shape), "integral": error.reshape(shape)},
        t_start=t_start,
        t_end=t_end,
        model=model,
    )


def _panel(f: Callable[[Array], Array], low: float, high: float) -> tuple[Array, Array]:
    """Integral of f(t) dt over a panel in ln t, and its error.

    The rule is exact for twice as many orders as it has nodes. If coefficients fall geometrically,
    the first that it misses is the last one squared over the first; between this and the last one
    itself lies the estimate, their geometric mean.
    """
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * (high - low)
    t = np.exp(low + half * (node + 1.0))
    values = f(t) * t[:, None]
    orders = np.arange(_NODES - 2, _NODES)
    series = np.polynomial.legendre.legvander(node, _NODES - 1)[:, orders] * weight[:, None]
    last = np.abs((orders + 0.5)[:, None] * (series.T @ values)).max(axis=0)
    fallen = np.sqrt(np.minimum(last / np.abs(values).max(axis=0), 1.0))
    return half * (weight @ values), 2.0 * half * last * fallen


def _score_error(model: ScoreModel, t: float, tau: Array) -> Array:
    return solve(model.replace(t=t)).learning_curves(tau).score_error


def _law_of(model: ScoreModel) -> tuple[Array, Array]:
    """Eigenvalues of the data's covariance and their weights, all classes together."""
    lam = np.concatenate([np.ravel(one.eigenvalues) for one in model.classes])
    w = np.concatenate([one.share * model.weights for one in model.classes])
    return lam, w
