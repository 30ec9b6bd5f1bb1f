"""Spectral laws for figures: the exact one, the leading-order picture beside it, histograms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmft_rf import ScoreModel, spectrum
from dmft_rf._typing import Array
from dmft_rf.model.activation import Activation
from figures.numbers import Numbers
from validation.common import style
from validation.common.equivalent import draw_equivalent
from validation.finite.network import conditional_average

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from figures.simulations import Simulations


#: groups of bulks from below, as `bulk-learning` names them
BULKS = ("thin", "samples", "data")
# samples per dimension that stand for infinitely many in the population law
_MANY = 1e9


def put_law(numbers: Numbers, path: str, model: ScoreModel, points: int = 240) -> None:
    """Edges, masses, atoms and the density inside each bulk, of the exact law."""
    law = spectrum(model)
    numbers.put(path, {"edges": law.edges, "masses": law.bulk_masses, "atoms": law.atoms})
    numbers[f"{path}/s2"] = model.coefficients.s2
    _put_bulks(numbers, f"{path}/bulks", law.edges, lambda x: law.density(x), points)


def put_leading_order(numbers: Numbers, path: str, model: ScoreModel, points: int = 160) -> None:
    r"""The two laws of the leading-order picture for psi_p > psi_n >> 1 (arXiv:2505.17638).

    ``samples``: s^2 + v^2 x with x from the Marchenko-Pastur law of ratio c = psi_p/psi_n, mass
    1/c; ``population``: the law of U at psi_n = infinity, mass 1/psi_p.
    """
    c = model.coefficients
    ratio = model.psi_p / model.psi_n
    low, high = ((1.0 - math.sqrt(ratio)) ** 2, (1.0 + math.sqrt(ratio)) ** 2)

    def density(x: Array) -> Array:
        y = (x - c.s2) / c.v2
        inside = np.maximum((high - y) * (y - low), 0.0)
        return np.asarray(np.sqrt(inside) / (2.0 * math.pi * ratio * y * c.v2))

    edges = np.array([[c.s2 + c.v2 * low, c.s2 + c.v2 * high]])
    numbers[f"{path}/samples/edges"] = edges
    _put_bulks(numbers, f"{path}/samples/bulks", edges, density, points)
    law = spectrum(model.replace(psi_n=_MANY))
    edges = law.edges[law.edges[:, 0] > 10.0 * c.second_moment]
    numbers[f"{path}/population/edges"] = edges
    _put_bulks(numbers, f"{path}/population/bulks", edges, lambda x: law.density(x), points)


def _put_bulks(
    numbers: Numbers, path: str, edges: Array, density: Callable[[Array], Array], points: int
) -> None:
    for i, (low, high) in enumerate(edges):
        theta = math.pi * (np.arange(points) + 0.5) / points
        middle, half = 0.5 * math.log(low * high), 0.5 * math.log(high / low)
        x = np.exp(middle - half * np.cos(theta))
        # the density vanishes at the edges like a square root
        numbers[f"{path}/{i}/x"] = np.concatenate([[low], x, [high]])
        numbers[f"{path}/{i}/rho"] = np.concatenate([[0.0], density(x), [0.0]])


def put_eigenvalues(
    numbers: Numbers, path: str, model: ScoreModel, simulations: Simulations, d: int, seeds: int
) -> None:
    """Eigenvalues of U of exact nonlinear networks, pooled over seeds."""
    law, activation = model.covariance, model.activation
    assert isinstance(activation, Activation)
    key = (
        f"eigenvalues 1, {d}, {seeds}, {model.t}, {model.psi_p}, {model.psi_n}, {activation.name}, "
        f"{law.eigenvalues.tolist()}, {law.weights.tolist()}"
    )

    def pooled() -> dict[str, Array]:
        sigma = np.repeat(law.eigenvalues, np.rint(law.weights * d).astype(int))
        p, n = round(model.psi_p * d), round(model.psi_n * d)
        found = []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, d])
            W = rng.standard_normal((p, d))
            X = rng.standard_normal((n, d)) * np.sqrt(sigma)
            found.append(
                np.linalg.eigvalsh(conditional_average(W, X, model.t, activation, 1e-7)[0])
            )
        return {"eigenvalues": np.sort(np.concatenate(found))}

    numbers.put(path, simulations.kept("eigenvalues", key, pooled).arrays)
    numbers[f"{path}/d"], numbers[f"{path}/seeds"] = d, seeds


def put_equivalent(numbers: Numbers, path: str, model: ScoreModel, d: int, seeds: int) -> None:
    """Eigenvalues above s^2 of the Gaussian equivalent of U, pooled over draws.

    U = s^2 + M M^T with M = [gamma W X/sqrt(d n) + v Omega/sqrt(n), b W/sqrt(d)], (p, n + d);
    M^T M has the same eigenvalues other than 0.
    """
    c, rng = model.coefficients, np.random.default_rng(d)
    found = []
    for _ in range(seeds):
        W, G, _ = draw_equivalent(model, d, rng)
        p, n = G.shape
        M = np.concatenate([G / math.sqrt(n), c.b / math.sqrt(d) * W], axis=1)
        found.append(c.s2 + np.linalg.eigvalsh(M.T @ M)[-min(p, n + d) :])
    numbers.put(
        f"{path}/equivalent",
        {"eigenvalues": np.sort(np.concatenate(found)), "d": d, "seeds": seeds, "p": p},
    )


def _bars(ax: Axes, numbers: Numbers, path: str, bins: Array, scale: Array) -> None:
    """Histograms of networks (filled) and of the Gaussian equivalent (outline) times ``scale``."""
    width = np.diff(bins)
    if f"{path}/eigenvalues" in numbers:
        found = numbers[f"{path}/eigenvalues"]
        height = np.histogram(found, bins)[0] / (found.size * width)
        ax.stairs(height * scale, bins, color=style.SKY, fill=True, alpha=0.7, zorder=1)
    if f"{path}/equivalent/eigenvalues" in numbers:
        found = numbers[f"{path}/equivalent/eigenvalues"]
        total = numbers.number(f"{path}/equivalent/p") * numbers.number(f"{path}/equivalent/seeds")
        height = np.histogram(found, bins)[0] / (total * width)
        ax.stairs(height * scale, bins, color=style.BLUE, linewidth=0.8, zorder=2)


def draw_overview(ax: Axes, numbers: Numbers, path: str) -> None:
    """Density of log10 lambda over all decades, with the histogram and the atom."""
    edges = numbers[f"{path}/edges"]
    s2 = numbers.number(f"{path}/s2")
    low, high = 0.06 * min(edges[0, 0], s2), 1.8 * edges[-1, 1]
    style.log(ax)
    bins = np.geomspace(low, high, 85)
    _bars(ax, numbers, path, bins, np.log(10.0) * np.sqrt(bins[1:] * bins[:-1]))
    for i in numbers.under(f"{path}/bulks"):
        x, rho = numbers[f"{path}/bulks/{i}/x"], numbers[f"{path}/bulks/{i}/rho"]
        ax.plot(x, rho * x * math.log(10.0), color=style.BLACK, zorder=3)
    for place, _ in numbers[f"{path}/atoms"]:
        ax.axvline(place, color=style.VERMILION, linestyle=(0, (4, 1.5)), linewidth=1.1, zorder=2)
    draw_leading_order(ax, numbers, path)
    ax.set_xlim(low, high)
    ax.set_ylim(4e-3, 4.0)
    ax.set_xlabel(r"eigenvalue $\lambda$ of $U$")
    ax.set_ylabel(r"density of $\log_{10}\lambda$")


def draw_zoom(ax: Axes, numbers: Numbers, path: str, group: NDArray[np.intp], bins: int) -> None:
    """Density of a group of bulks over its mass, on linear axes, with the histograms."""
    edges, mass = numbers[f"{path}/edges"][group], float(numbers[f"{path}/masses"][group].sum())
    room = min(0.12 * (edges[-1, 1] - edges[0, 0]), 0.25 * edges[0, 0])
    low, high = edges[0, 0] - room, edges[-1, 1] + room
    cuts = np.linspace(low, high, bins)
    _bars(ax, numbers, path, cuts, np.full(bins - 1, 1.0 / mass))
    top = 0.0
    for i in group:
        x, rho = numbers[f"{path}/bulks/{i}/x"], numbers[f"{path}/bulks/{i}/rho"]
        ax.plot(x, rho / mass, color=style.BLACK, zorder=3)
        top = max(top, float(rho.max()) / mass)
    draw_leading_order(ax, numbers, path, mass)
    ax.set_xlim(low, high)
    ax.set_ylim(0.0, 1.5 * top)
    ax.set_xlabel(r"$\lambda$")


def draw_leading_order(ax: Axes, numbers: Numbers, path: str, mass: float | None = None) -> None:
    """The leading-order laws, dashed: of log10 lambda, or of lambda over ``mass``."""
    for kind, colour in (("samples", style.ORANGE), ("population", style.PURPLE)):
        for i in numbers.under(f"{path}/leading/{kind}/bulks"):
            base = f"{path}/leading/{kind}/bulks/{i}"
            x, rho = numbers[f"{base}/x"], numbers[f"{base}/rho"]
            y = rho * x * math.log(10.0) if mass is None else rho / mass
            ax.plot(x, y, color=colour, linestyle=(0, (4, 1.3)), linewidth=1.1, zorder=2)


def law_handles(numbers: Numbers, path: str) -> list[object]:
    """Entries of a legend for what the two functions above draw."""
    entries = [
        style.handle("exact law", style.BLACK, "-"),
        style.handle(r"atom at $s_t^2$", style.VERMILION, (0, (4, 1.5))),
        style.handle(r"leading order, $\rho_1$", style.ORANGE, (0, (4, 1.3))),
        style.handle(r"leading order, $\rho_2$", style.PURPLE, (0, (4, 1.3))),
    ]
    if f"{path}/eigenvalues" in numbers:
        from matplotlib.patches import Patch

        d = numbers.number(f"{path}/d")
        entries.append(Patch(color=style.SKY, alpha=0.7, label=f"networks, d = {d:g}"))
    if f"{path}/equivalent/d" in numbers:
        d = numbers.number(f"{path}/equivalent/d")
        entries.append(style.handle(f"Gaussian equivalent, d = {d:g}", style.BLUE, "-"))
    return entries
