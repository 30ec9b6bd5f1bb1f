r"""What is simulated: the grid of cases, in a quick and in a paper-sized profile.

A case is a ScoreModel, the training rules that are applied to each draw, the times, and for each
dimension d the number of seeds. Its ratios p/d and n/d are the model's psi_p and psi_n at every d,
so that a sequence of d approaches the limit that the theory describes. The cases named A to E are
those of the library's reference values; ``paper_*`` are figures 2 and 3 of arXiv:2505.17638.
"""

import math
from typing import Any

import numpy as np

from dmft_rf import (
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Mixture,
    ModelError,
    ScoreModel,
    StochasticGradientDescent,
    WeightAverage,
    schedules,
)
from dmft_rf.rules.flow import Rule
from dmft_rf.rules.stochastic import TrainingRule
from validation.finite import imagery
from validation.finite.case import FLOW, PROFILES, Case, Sizes
from validation.finite.reverse import ReverseProcess


def _rules(model: ScoreModel) -> dict[str, Rule]:
    """Every rule of `dmft_rf.rules.flow`, with steps that the top of the spectrum allows."""
    top = 6.0 * model.psi_p * model.coefficients.mu1**2
    step = float(f"{0.7 / (model.rate * top):.2g}")
    return {
        FLOW: GradientFlow(),
        "weight decay": GradientFlow(weight_decay=0.02),
        "random initial weights": GradientFlow(initial_std=1.0),
        "weight average": WeightAverage(decay_time=50.0),
        "gradient descent": GradientDescent(step=step),
        "heavy ball": HeavyBall(step=step, momentum=0.9),
    }


def _synthetic(quick: bool) -> list[Case]:
    """Gaussian data: the reference grid and its neighbours."""
    late = (1.0, 10.0, 100.0, 1e3, math.inf)
    two = Covariance([0.5, 1.5], label="two eigenvalues")
    three = Covariance([0.2, 1.0, 3.0], [0.5, 0.3, 0.2], label="three eigenvalues")
    power = Covariance(
        Covariance.power_law(1.0, 20).eigenvalues, label="power law, exponent 1, 20 atoms"
    )

    def sizes(short: Sizes, full: Sizes) -> Sizes:
        return short if quick else full

    iso = ScoreModel(0.1, 8.0, 4.0)
    common = sizes(
        ((20, 72), (40, 48), (80, 20), (112, 6)), ((20, 160), (40, 128), (80, 96), (160, 24))
    )
    small = sizes(
        ((30, 72), (60, 48), (120, 20), (180, 6)), ((40, 160), (80, 128), (160, 64), (320, 12))
    )
    wide = sizes(((10, 36), (14, 20), (20, 8), (28, 3)), ((16, 48), (24, 24), (36, 8), (54, 2)))
    skewed = sizes(
        ((40, 72), (80, 40), (160, 9), (240, 3)), ((40, 160), (80, 128), (160, 64), (320, 12))
    )
    noisy = sizes(
        ((30, 128), (60, 128), (120, 160), (240, 56)), ((30, 160), (60, 160), (120, 256), (240, 96))
    )
    thin = sizes(
        ((40, 72), (80, 48), (160, 20), (240, 4)), ((40, 160), (80, 128), (160, 64), (320, 16))
    )
    fewest = sizes(
        ((40, 96), (80, 64), (160, 32), (320, 8)), ((40, 160), (80, 160), (160, 96), (320, 32))
    )
    return [
        Case("A_iso", "isotropic data, and every training rule", iso, common, late, _rules(iso)),
        Case("B_two", "two eigenvalues", ScoreModel(0.1, 8.0, 4.0, covariance=two), common, late),
        Case(
            "C_paper", "the paper's width and sample, psi_p = 64, psi_n = 8, at small d",
            ScoreModel(0.01, 64.0, 8.0), wide, (10.0, 100.0, 1e4, 1e5),
        ),
        Case(
            "D_under", "under-parameterised, erf",
            ScoreModel(0.05, 4.0, 16.0, "erf", two), common, late,
        ),
        Case(
            "E_relu", "ReLU: a kink, and a mean that is not zero",
            ScoreModel(0.2, 6.0, 3.0, "relu", three),
            skewed, late,
        ),
        Case(
            "F_sigmoid", "sigmoid: a mean that is not zero, nearly linear",
            ScoreModel(0.1, 6.0, 3.0, "sigmoid"), small, (10.0, 100.0, 1e3, 1e5, math.inf),
        ),
        Case(
            "G_power", "power-law eigenvalues over 1.3 decades",
            ScoreModel(0.1, 4.0, 2.0, covariance=power), thin, late,
        ),
        Case("H_hard_edge", "psi_p = psi_n + 1: the density diverges at s_t^2",
             ScoreModel(0.1, 2.0, 1.0), fewest, late),
        Case("I_few_features", "psi_p < 1, psi_n < psi_p",
             ScoreModel(0.3, 0.75, 0.5), fewest, (0.1, 1.0, 10.0, math.inf)),
        Case("J_long_time", "large diffusion time, softplus",
             ScoreModel(1.0, 3.0, 2.0, "softplus", two), small, (0.1, 1.0, 10.0, math.inf)),
        Case(
            "K_feature_noise", "where feature noise weighs most in the two-point function",
            ScoreModel(0.003, 3.0, 2.0), noisy, (10.0, 1e3, 1e4, 1e5, math.inf),
        ),
    ]  # fmt: skip


def _grouped(quick: bool) -> list[Case]:
    """Finite noise draws and mixtures: away from p = n m on either side, and at it.

    The training loss of an interpolating network vanishes like the slowest mode; late times stop
    where it is some per cent of the first loss, above what fluctuates by as much as itself.
    """
    two = Covariance([0.5, 1.5], label="two eigenvalues")
    even = Mixture(
        np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.5, 2.5]]), label="strong directions in one"
    )
    uneven = Mixture(
        np.array([0.25, 0.75]), np.array([[2.5, 1.5], [0.2, 1.0]]), label="a rare, strong class"
    )
    late = (10.0, 100.0, 1.0, 1e3)  # other rules than gradient flow are judged at the first two
    decay = {FLOW: GradientFlow(), "weight decay": GradientFlow(weight_decay=0.02)}
    sizes: Sizes = ((24, 72), (48, 96), (96, 64), (192, 12))

    def drawn(m: int, t: float, p: float, n: float, sigma: str, cov: Any = two) -> ScoreModel:
        return ScoreModel(t, p, n, sigma, cov, noise_draws=m)

    chosen = [
        Case("O_draws2_under", "two noise draws, more than features, ReLU",
             drawn(2, 1.0, 2.0, 4.0, "relu"),
             ((24, 96), (48, 192), (96, 192), (240, 40)), (*late, math.inf)),
        Case("S_mixture", "two classes, noise averaged exactly",
             ScoreModel(0.1, 4.0, 2.0, "tanh", even), sizes, (*late, math.inf)),
    ]  # fmt: skip
    if quick:
        return chosen
    return [
        *chosen,
        Case("L_draws1_over", "one noise draw, fewer than features",
             drawn(1, 0.1, 3.0, 1.0, "tanh"), sizes, (10.0, 100.0, 1.0, 30.0), decay),
        Case("M_draws1_under", "one noise draw, more than features, ReLU",
             drawn(1, 0.3, 2.0, 6.0, "relu"), sizes, (*late, math.inf)),
        Case("N_draws2_over", "two noise draws, fewer than features",
             drawn(2, 0.05, 3.0, 0.5, "erf"), sizes, (10.0, 100.0, 1.0, 300.0), decay),
        Case("P_draws4_over", "four noise draws, fewer than features",
             drawn(4, 0.5, 4.0, 0.5, "tanh"), sizes, (10.0, 50.0, 1.0, 3.0), decay),
        Case("Q_draws4_under", "four noise draws, more than features, softplus",
             drawn(4, 0.2, 3.0, 2.0, "softplus"), sizes, (*late, math.inf)),
        Case("R_draws2_edge", "two noise draws, p = n m: the spectrum reaches down to 0",
             drawn(2, 0.1, 4.0, 2.0, "tanh"), sizes, late),
        Case("T_mixture_draws2", "two classes, two noise draws, ReLU",
             drawn(2, 0.3, 3.0, 4.0, "relu", uneven), sizes, (*late, math.inf)),
    ]  # fmt: skip


def _stochastic(quick: bool) -> list[Case]:
    """Mini-batch SGD, step by step: batches, momentum, a falling rate, averages, the threshold."""
    sizes: Sizes = ((20, 96), (40, 64), (80, 24))
    if not quick:
        sizes = ((20, 256), (40, 192), (80, 128), (160, 32))
    sgd, times = StochasticGradientDescent, (2.0, 20.0, 80.0)
    iso = ScoreModel(0.1, 4.0, 2.0)

    def case(name: str, about: str, model: ScoreModel, **rules: TrainingRule) -> Case:
        named = {label.replace("_", " "): rule for label, rule in rules.items()}
        return Case(name, about, model, sizes, times, {FLOW: GradientFlow(), **named})

    return [
        case("V_sgd_batches", "SGD with batches of 1, 4 and 8 at one noise eta/(d batch)", iso,
             batch_1=sgd(5.0), batch_4=sgd(5.0, batch=4), batch_8=sgd(5.0, batch=8)),
        case("W_sgd_variants", "SGD with momentum, with a falling rate, averaged weights", iso,
             momentum=sgd(2.5, momentum=0.5), falling=sgd(schedules.InverseTime(10.0, 50.0)),
             averaged=sgd(5.0, average=20.0)),
        case("X_sgd_threshold", "SGD near the limit of stability, and for a while beyond it", iso,
             near=sgd(10.5), beyond=sgd(schedules.Piecewise((20.0,), (16.8, 5.0)))),
        case("Y_sgd_relu", "SGD with ReLU, whose mean has a noise of its own",
             ScoreModel(0.1, 4.0, 2.0, "relu"), batch_1=sgd(4.0), batch_4=sgd(4.0, batch=4)),
    ]  # fmt: skip


def _paper() -> list[Case]:
    """Figures 2 and 3 of arXiv:2505.17638: psi_p = 64, tanh, up to p = 6400 at d = 100."""
    sizes: Sizes = ((25, 48), (36, 16), (50, 8), (100, 1))
    return [
        Case(
            f"paper_t{t:g}_n{psi_n}", f"psi_p = 64, psi_n = {psi_n}, t = {t:g}, up to p = 6400",
            ScoreModel(t, 64.0, float(psi_n)), sizes, judged,
        )
        for t, judged in ((0.1, (10.0, 100.0, 1e3, 1e4)), (0.01, (10.0, 100.0, 1e4, 1e5)))
        for psi_n in (4, 8, 16, 32)
    ]  # fmt: skip


def _generated() -> list[Case]:
    """What is generated at infinite width: both samplers, with and without a gain."""
    relu = ScoreModel(0.1, math.inf, 4.0, "relu")
    two = Covariance([0.5, 1.5], label="two eigenvalues")
    tanh = ScoreModel(0.1, math.inf, 4.0, "tanh", two)
    return [
        Case("ZA_generated_relu", "what is generated, ReLU: both samplers", relu,
             ((12, 128), (16, 96), (24, 40)), (20.0,),
             {"SDE": ReverseProcess(), "ODE": ReverseProcess("ode")}),
        Case("ZB_generated_tanh", "what is generated, tanh: the gain", tanh,
             ((12, 128), (16, 96), (24, 32)), (5.0,), {"SDE": ReverseProcess()}),
    ]  # fmt: skip


def _real(quick: bool) -> list[Case]:
    """Real rows, each beside Gaussian data of the same covariance, used 1, 2, 4, 8 times over."""
    cases = []
    grid = [("digits", 0.1, 4.0, 2.0), ("patches", 0.1, 4.0, 2.0)]
    if not quick:
        grid += [("digits", 0.1, 8.0, 2.0), ("digits", 0.1, 8.0, 8.0), ("patches", 0.1, 8.0, 8.0)]
        grid += [("digits", 0.01, 8.0, 4.0), ("patches", 0.01, 8.0, 4.0)]
    for data, t, psi_p, psi_n in grid:
        model = ScoreModel(t, psi_p, psi_n, covariance=imagery.covariance(data))
        name = f"{data}_t{t:g}_p{psi_p:g}_n{psi_n:g}"
        judged = (1.0, 10.0, 100.0, 1e3, math.inf)
        copies: Sizes = ((64, 32), (128, 16), (256, 5))
        if not quick:
            copies = ((64, 48), (128, 32), (256, 10), (512, 2))
        cases.append(
            Case(
                f"{name}_gauss",
                f"Gaussian data with the covariance of the {data}",
                model,
                copies,
                judged,
                verdict=data == "digits" and t == 0.1,
            )
        )
        cases.append(
            Case(
                f"{name}_rows",
                f"the {data} themselves; test loss on held-out rows",
                model,
                ((64, 16 if quick else 32),),
                judged,
                data=data,
                verdict=False,
            )
        )
    return cases  # fmt: skip


def grid(profile: str) -> list[Case]:
    """The cases of a profile, "quick" or "paper".

    Raises
    ------
    ModelError
        If there is no such profile.
    """
    if profile not in PROFILES:
        raise ModelError(f"profile is {profile!r}; it must be one of {', '.join(PROFILES)}")
    quick = profile == "quick"
    own = _synthetic(quick) + _grouped(quick) + _stochastic(quick)
    return own + ([] if quick else _paper() + _generated()) + _real(quick)


def choose(cases: list[Case], names: list[str]) -> list[Case]:
    """The cases whose names begin with one of ``names``; all of them for an empty list.

    Raises
    ------
    ModelError
        If a name fits no case.
    """
    for name in names:
        if not any(case.name.startswith(name) for case in cases):
            raise ModelError(
                f"no case {name!r}; there are {', '.join(case.name for case in cases)}"
            )
    return [c for c in cases if not names or any(c.name.startswith(name) for name in names)]
