"""Cost against the number of atoms, of times and of nodes, with the slope at the large end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmft_rf import GradientFlow, solve, spectrum
from dmft_rf._typing import Array
from dmft_rf.curves.losses import curves_on
from dmft_rf.curves.nodes import Nodes
from dmft_rf.numerics.contour import half_plane_contour
from validation.benchmark.timing import best
from validation.benchmark.work import TAU, Effort, model_with


@dataclass(frozen=True)
class Cost:
    """Process seconds against a size, both (n_sizes,), and the exponent that is expected."""

    size: str
    what: str
    sizes: Array
    seconds: Array
    expected: float

    @property
    def slope(self) -> float:
        """d ln(seconds)/d ln(size) over the last factor of ten of the sizes, fitted."""
        upper = self.sizes >= 0.1 * self.sizes[-1]
        return float(np.polyfit(np.log(self.sizes[upper]), np.log(self.seconds[upper]), 1)[0])


def costs(effort: Effort) -> list[Cost]:
    """Measured costs; two atoms and 200 times where nothing else is said."""
    few = effort.quick
    atoms = (2, 128, 1024) if few else (2, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096)
    times = (10, 100, 1000) if few else (10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)
    nodes = (32, 128, 512) if few else (24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

    def measured(sizes: Sequence[int], prepare: Callable[[int], Callable[[], Any]]) -> Array:
        return np.array(
            [best(prepare(n), effort.repeats, 0.25 * effort.seconds).cpu for n in sizes]
        )

    def solving(n: int) -> Callable[[], Any]:
        model = model_with(n)
        return lambda: solve(model, compress=False)

    def evaluating(n: int) -> Callable[[], Any]:
        solution, tau = solve(model_with(2)), np.geomspace(1.0, 1e7, n)
        return lambda: solution.learning_curves(tau)

    def evaluating_atoms(n: int) -> Callable[[], Any]:
        solution = solve(model_with(n), compress=False)
        return lambda: solution.learning_curves(TAU)

    law = spectrum(model_with(2))
    m, M = law.ends

    def solving_nodes(n: int) -> Callable[[], Any]:
        contour = half_plane_contour(m, M, n)
        return lambda: Nodes(law, contour).variance

    def evaluating_nodes(n: int) -> Callable[[], Any]:
        on = Nodes(law, half_plane_contour(m, M, n))
        return lambda: curves_on(on, TAU, GradientFlow())

    return [
        Cost("atoms", "solve", np.array(atoms), measured(atoms, solving), 1.0),
        Cost("atoms", "200 times", np.array(atoms), measured(atoms, evaluating_atoms), 1.0),
        Cost("times", "curves", np.array(times), measured(times, evaluating), 1.0),
        Cost("nodes", "solving", np.array(nodes),
             measured(nodes, solving_nodes), 2.0),
        Cost("nodes", "200 times", np.array(nodes), measured(nodes, evaluating_nodes), 2.0),
    ]  # fmt: skip


def draw(costs_: Sequence[Cost], path: Any) -> None:
    """One panel per size: measured points, and beside them the expected slope."""
    from validation.common import style

    labels = {
        "atoms": "eigenvalues of the covariance",
        "times": "number of training times",
        "nodes": "nodes of the contour",
    }
    looks = ((style.BLUE, "o", "-"), (style.VERMILION, "s", style.LINES[1]))
    with style.styled():
        figure, axes = style.canvas(1, 3, 2.5)
        for ax, (size, label) in zip(axes[0], labels.items(), strict=True):
            shown = [cost for cost in costs_ if cost.size == size]
            style.log(ax)
            for cost, (colour, marker, line) in zip(shown, looks, strict=False):
                ax.plot(cost.sizes, 1e3 * cost.seconds, color=colour, marker=marker, ls=line,
                        markeredgecolor="white", markeredgewidth=0.4,
                        label=f"{cost.what}: slope {cost.slope:.2f}")  # fmt: skip
            last = max(shown, key=lambda cost: cost.seconds[-1])
            guide = last.sizes[last.sizes >= 0.1 * last.sizes[-1]]
            high = 3e3 * last.seconds[-1] * (guide / guide[-1]) ** last.expected
            name = {1.0: "linear", 2.0: "quadratic"}[last.expected]
            ax.plot(guide, high, color=style.GREY, lw=1.0, ls=style.LINES[3], label=name)
            ax.set_xlabel(label)
            low, top = ax.get_ylim()
            ax.set_ylim(low, top * (top / low) ** 0.35)
            ax.legend(loc="upper left", fontsize=6.5)
        axes[0, 0].set_ylabel("process time (ms)")
        style.letters(list(axes[0]))
        figure.savefig(path)
