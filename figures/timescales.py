"""Times of training against the sample size, with local exponents, for several covariances."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import Covariance, ScoreModel, scaling
from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations
from validation.common import style
from validation.finite import imagery

T, PSI_P = 0.01, 256.0
POINTS = {"quick": 49, "paper": 97}
TIMES = (
    ("tau_gen", r"$\tau_{\rm gen}$"),
    ("tau_opt", r"$\tau_{\rm opt}$"),
    ("tau_mem", r"$\tau_{\rm mem}$"),
)


def covariances() -> dict[str, Covariance]:
    """The data by name, each with mean eigenvalue 1."""
    return {
        "isotropic": Covariance.isotropic(),
        "two eigenvalues 0.1 and 1.9": Covariance([0.1, 1.9]),
        "power law, exponent 1": Covariance.power_law(1.0, 32).normalized(),
        "digits": imagery.covariance("digits"),
    }


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Times and exponents over four decades of psi_n."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P})
    values = np.geomspace(1.0, 1e4, POINTS[profile])
    for name, covariance in covariances().items():
        model = ScoreModel(T, PSI_P, 1.0, covariance=covariance)
        law = scaling(model, "psi_n", values)
        numbers[f"{name}/psi_n"] = law.values
        for time, _ in TIMES:
            numbers[f"{name}/{time}"] = law.quantities[time]
            numbers[f"{name}/{time}_exponent"] = law.local_exponents[time]
    return numbers


def draw(numbers: Numbers) -> Any:
    """A column for each time: the time above, its local exponent below."""
    figure, axes = style.canvas(
        2, 3, 4.4, sharex=True, sharey="row", gridspec_kw={"height_ratios": [1.4, 1.0]}
    )
    names = list(numbers.under(""))
    colours = (style.BLACK, style.VERMILION, style.BLUE, style.GREEN)
    for column, (time, label) in enumerate(TIMES):
        above, below = axes[:, column]
        style.log(above)
        for name, colour, line in zip(names, colours, style.LINES, strict=False):
            x, y = numbers[f"{name}/psi_n"], numbers[f"{name}/{time}"]
            keys: dict[str, Any] = {"color": colour, "linestyle": line}
            above.plot(x, np.where(np.isfinite(y), y, np.nan), **keys)
            below.plot(x, numbers[f"{name}/{time}_exponent"], **keys)
        above.axvline(PSI_P, color=style.GREY, linewidth=0.7)
        below.axvline(PSI_P, color=style.GREY, linewidth=0.7)
        for slope in (0.0, 1.0):
            below.axhline(slope, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 2)))
        above.set_title(label)
        below.set_xlabel(r"$\psi_n$")
        below.set_ylim(-0.6, 1.45)
        below.set_xlim(1.0, 1e4)
    axes[0, 0].set_ylabel(r"time $\tau$")
    axes[1, 0].set_ylabel("local exponent in $n$")
    axes[0, 2].annotate("$p = n$", (PSI_P, 0.04), xycoords=("data", "axes fraction"),
                        xytext=(3, 0), textcoords="offset points", fontsize=7.0)  # fmt: skip
    style.letters(list(axes.ravel()))
    handles = [
        style.handle(name, colour, line)
        for name, colour, line in zip(names, colours, style.LINES, strict=False)
    ]
    style.legend_over(figure, handles, 4)
    return figure


FIGURE = Figure(
    "Times of training over four decades of the sample size (t = 0.01, psi_p = 256)",
    "Generalization (a), early stopping (b) and overfitting (c) times with their local exponents "
    "(d-f), from exact solutions. For isotropic data tau_gen hardly depends on n (it is 52 to "
    "80) and tau_mem is about proportional to n for a decade (local exponent 1.2 to 0.8 for "
    "psi_n from 2.3 to 25); for structured covariances the directions of small variance are "
    "learned late and the laws bend. Beyond p = n tau_mem loses its meaning: there is less and "
    "less to overfit with.",
    compute, draw,
)  # fmt: skip
