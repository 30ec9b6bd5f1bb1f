"""Real data: predicted from their covariance and from the samples, against trained networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dmft_rf import ImageModel, ScoreModel, solve
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import curves
from figures.simulations import Simulations, means
from validation.common import style
from validation.finite import imagery
from validation.finite.case import FLOW, Case

T, PSI_P, PSI_N, DATA = 0.1, 4.0, 2.0, ("digits", "patches")
SEEDS = {"quick": 10, "paper": 32}
TAU = np.geomspace(0.1, 3e4, 160)
# of leverage, by the rule of the model
CLASSES: int | None = None


def cases(profile: str) -> list[Case]:
    """The cases of `validation`: Gaussian data of the same covariance, and the rows themselves."""
    judged = (1.0, 10.0, 100.0, 1e3, math.inf)
    found = []
    for data in DATA:
        model = ScoreModel(T, PSI_P, PSI_N, covariance=imagery.covariance(data))
        name = f"{data}_t{T:g}_p{PSI_P:g}_n{PSI_N:g}"
        sizes = ((64, SEEDS[profile]),)
        found.append(Case(f"{name}_gauss", f"Gaussian {data}", model, sizes, judged))
        found.append(Case(f"{name}_rows", data, model, sizes, judged, data=data, verdict=False))
    return found


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Theory, Gaussian data, the equations on the samples, and the rows for each data set."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P, "psi_n": PSI_N})
    for networks in cases(profile):
        kind = "rows" if networks.data else "gauss"
        data = next(name for name in DATA if networks.name.startswith(name))
        tau = networks.tau(networks.rules[FLOW])
        found = means(simulations.cells(networks), tau)
        # the exact score of real data is not known
        found = {k: v for k, v in found.items() if not k.startswith("score_error")}
        numbers.put(f"{data}/{kind}", found)
        if not networks.data:
            curves.put_theory(numbers, f"{data}/theory", solve(networks.model), TAU)
            d_eff = networks.model.covariance.effective_dimension
            assert d_eff is not None
            numbers[f"{data}/d_eff"] = d_eff
            numbers.put(f"{data}/samples", _on_samples(data))
    return numbers


def _on_samples(data: str) -> dict[str, Any]:
    """Losses of the equations on the samples, for one draw of the features."""
    rows = imagery.rows(data)
    d = rows.shape[1]
    model = ImageModel(
        rows, T, round(PSI_N * d), features=round(PSI_P * d), classes=CLASSES, route="equations"
    )
    found = solve(model, 1e-3).learning_curves(TAU)
    return {"tau": TAU, "train": found.train, "test": found.test}


def draw(numbers: Numbers) -> Any:
    """Test and train loss for each data set."""
    figure, axes = style.canvas(1, 2, 3.0, sharey=True)
    dashes = (0, (4, 1.3))
    for ax, data in zip(axes[0], DATA, strict=True):
        style.log(ax)
        tau = numbers[f"{data}/theory/tau"]
        for name, line in (("test", "-"), ("train", dashes)):
            ax.plot(tau, numbers[f"{data}/theory/{name}"], color=style.BLACK, linestyle=line)
            own = numbers[f"{data}/samples/{name}"]
            ax.plot(tau, own, color=style.GREEN, linestyle=line)
            for kind, colour, marker in (
                ("gauss", style.BLUE, "o"), ("rows", style.VERMILION, "s"),
            ):  # fmt: skip
                at = numbers[f"{data}/{kind}/tau"]
                shown = (at > tau[0]) & (at < tau[-1])
                shown &= np.append(True, at[1:] > 1.4 * np.maximum(at[:-1], 1e-9))
                style.points(
                    ax, at[shown], numbers[f"{data}/{kind}/{name}"][shown],
                    numbers[f"{data}/{kind}/{name}_error"][shown], colour=colour, marker=marker,
                    hollow=name == "train",
                )  # fmt: skip
        ax.set_xlim(tau[0], tau[-1])
        ax.set_xlabel(style.TAU)
        d_eff = numbers.number(f"{data}/d_eff")
        ax.set_title(rf"{data}, $d = 64$, $d_{{\rm eff}} = {d_eff:.1f}$", loc="left", x=0.04)
    values = np.concatenate(
        [
            numbers[f"{data}/{source}/{name}"]
            for data in DATA
            for source in ("theory", "gauss", "samples", "rows")
            for name in ("train", "test")
        ]
    )
    style.limits(axes[0, 0], float(values.min()), float(values.max()))
    axes[0, 0].set_ylabel("loss per dimension")
    style.letters(list(axes[0]))
    seeds = numbers.number(f"{DATA[0]}/rows/seeds")
    handles = [
        style.handle("limit theory of the covariance", style.BLACK, "-"),
        style.handle("equations on the samples", style.GREEN, "-"),
        style.handle("train loss", style.GREY, dashes),
        style.handle("networks on Gaussian data, same covariance", style.BLUE, "", "o"),
        style.handle(f"networks on the data ({seeds:g} seeds)", style.VERMILION, "", "s"),
    ]
    style.legend_over(figure, handles, 3)
    return figure


FIGURE = Figure(
    "Handwritten digits and image patches against the theory (t = 0.1, psi_p = 4, psi_n = 2)",
    "The theory knows nothing of the data but the eigenvalues of their covariance. For the "
    "digits it predicts the fall of the test loss within 3 % up to tau = 100 and over-estimates "
    "the late overfitting. The patches, far from Gaussian, are learned faster than their "
    "covariance says: at tau = 100 their test loss is a quarter below the theory's. The "
    "difference between theory and Gaussian data of the same covariance and size is finite size "
    "(about 1/d_eff), the difference between those and the data is that images are not Gaussian. "
    "The equations on the samples (ImageModel) know both. Open markers and dashes: train loss.",
    compute, draw, cases,
)  # fmt: skip
