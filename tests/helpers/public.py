"""A small result of every public class, and a valid call of every public function and method."""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

import dmft_rf
from dmft_rf import (
    Activation,
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    ImageModel,
    Mixture,
    Ridge,
    ScoreModel,
    WeightAverage,
    bulk_split,
    error_parts,
    error_times,
    generation,
    generation_times,
    phase_diagram,
    resolvent,
    scaling,
    solve,
    spectrum,
    sweep,
    timescales,
    width_needed,
)
from dmft_rf.generated.generation import at_infinite_width
from dmft_rf.model.accumulator import CovarianceAccumulator
from dmft_rf.model.coefficients import coefficients
from dmft_rf.numerics.jacobi import JacobiMatrix
from dmft_rf.pencil import Gaussian, Pencil, Sigma, gram, inverse, linearize, parameters, sqrt, z
from dmft_rf.pencil.files import PencilFile
from dmft_rf.pencil.readings import PencilNodes, Regression, gradient_flow
from dmft_rf.pencil.zoo import noise_draws, sample_covariance, semicircle

COVARIANCE = Covariance([0.5, 1.5], [0.25, 0.75], dimension=64)
MODEL = ScoreModel(0.1, 4.0, 2.0, "relu", COVARIANCE)
ROWS = np.arange(160.0).reshape(40, 4) ** 2 % 7.0 / 3.0 - 1.0
MIXTURE = Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]])
GROUPED = ScoreModel(0.1, 4.0, 2.0, "tanh", MIXTURE, noise_draws=2)


RUN = {"tau": [1.0, 10.0, 100.0, 1e4], "test": [0.97, 0.89, 1.08, 1.75]}


@functools.cache
def solution() -> dmft_rf.Solution:
    return solve(MODEL, 1e-6)


@functools.cache
def results() -> dict[str, Any]:
    """Results and parameter objects by a name that says how each was made."""
    one, grouped = solution(), solve(GROUPED, 1e-6)
    curves = one.learning_curves([0.0, 1.0, math.inf])
    heavy = HeavyBall(0.01, momentum=0.99999)
    one.learning_curves(heavy.times([1, 10]), heavy)  # on the spectrum, not on a contour
    grouped.learning_curves([1.0], GradientFlow(initial_std=1.0))
    images = ImageModel(ROWS, 0.1, 10, features=6)
    finite = dmft_rf.finite_size(MODEL, d=16)
    law = spectrum(MODEL)
    law.moment(1)
    law.density(1.0)
    one.spectrum.moment(1)
    system = sample_covariance().bind(COVARIANCE, psi_n=4.0)
    pencil_law = system.spectrum()
    pencil_law.moment(1)
    points = system.solve([1.0 + 1.0j, 1.0 - 1.0j])
    points.two_point(points, {("u", "u"): 1.0}, {("u", "u"): 1.0})
    regression = Regression.of(4.0, 2.0, 1.0, 0.5, 0.1)
    equations = semicircle().equations()
    assert equations.jacobian is not None
    jacobi = JacobiMatrix([1.0, 2.0, 3.0], [0.2, 0.3, 0.5])
    jacobi.rule(2)
    W, X = Gaussian("W", "p", "d", per="d"), Gaussian("X", "d", "n", per="n")
    (gamma,) = parameters("gamma")
    return {
        "Covariance": COVARIANCE, "Mixture": MIXTURE, "ScoreModel": MODEL, "grouped model": GROUPED,
        "ImageModel": images, "drawn Solution": solve(images),
        "Solution of an ImageModel": solve(images.replace(route="equations")),
        "Derivatives": dmft_rf.derivatives(one, [1.0, 2.0], ("psi_p", "eigenvalues", "tau")),
        "Fit": dmft_rf.fit(RUN, MODEL, "psi_n", rtol=1e-4),
        "FiniteSize": finite, "FiniteCurves": finite.learning_curves([1.0, 2.0]),
        "Activation": Activation.of("relu"), "coefficients": coefficients("relu", 0.1),
        "GradientFlow": GradientFlow(0.1, 1.0), "Ridge": Ridge(0.1),
        "WeightAverage": WeightAverage(2.0), "GradientDescent": GradientDescent(0.01),
        "HeavyBall": heavy, "Solution": one, "grouped Solution": grouped,
        "compressed Solution": solve(
            MODEL.replace(covariance=Covariance.power_law(1.0, 200)), 1e-4, compress=True
        ),
        "LearningCurves": curves, "relative error": one.learning_curves(1.0),
        "ManyCurves": dmft_rf.learning_curves_many(
            {"t": 0.1, "psi_p": 4.0, "psi_n": [2.0, -1.0]}, [1.0, 2.0], rtol=1e-4
        ),
        "Spectrum": law, "grouped Spectrum": spectrum(GROUPED), "Timescales": timescales(one),
        "BulkSplit": bulk_split(one, [1.0, 2.0]),
        "ErrorParts": error_parts(grouped, [0.0, 1.0]), "ErrorTimes": error_times(grouped),
        "Resolvent": resolvent(MODEL, [1.0 + 1.0j]),
        "grouped Resolvent": resolvent(GROUPED, [1.0 + 1.0j, 1.0 - 1.0j]),
        "Sweep": sweep(
            MODEL, {"psi_n": [2.0, 3.0], "t": [0.1]}, ["tau_gen", "test"], tau=[1.0], rtol=1e-4
        ),
        "ImageScaling": scaling(images, "n", [8, 10, 12]),
        "Scaling": scaling(MODEL, "psi_n", [2.0, 3.0, 4.0], rtol=1e-4),
        "PhaseDiagram": phase_diagram(
            MODEL, {"psi_n": [2.0, 3.0], "tau": [1.0, 10.0]}, rtol=1e-4
        ),
        "JacobiMatrix": jacobi, "Scalar": sqrt(Sigma + gamma) / z, "Gaussian": W,
        "expression": inverse(gamma * W * sqrt(Sigma) * X * X.T * W.T + 1.0) * (W * W.T - gamma),
        "Pencil": gram(W * sqrt(Sigma) * X, {"p": 2.0, "d": 1.0, "n": 3.0}, sigma="d"),
        "System": system, "PencilSpectrum": pencil_law, "Points": points,
        "Equations": equations, "Regression": regression,
        "PencilNodes": PencilNodes.around(system, (0.1, 5.0), 8),
        "PencilFile": PencilFile(semicircle(), COVARIANCE, {}),
        "Advice": dmft_rf.advise(
            np.arange(40.0).reshape(20, 2) ** 2 % 7.0, 40.0, 0.1, (10, 100.0)
        ),
        "PathBound": generation(MODEL, [1.0, 2.0], t_start=0.3, t_end=0.2, rtol=1e-2),
        "Generation": at_infinite_width(Activation.of("relu"), 2.0, COVARIANCE, [1.0, 2.0]),
        "GenerationTimes": generation_times(
            at_infinite_width(Activation.of("relu"), 2.0, COVARIANCE, 1.0), level=0.2
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A function with arguments for which it has an answer, and whether that takes long."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    long: bool = False


def _moment(lam: Any) -> Any:
    return lam


@functools.cache
def calls() -> dict[str, Call]:
    """A valid call by the name of the function."""
    r = results()
    plotting_generated = import_module("dmft_rf.plotting.generated")
    one, law, system = r["Solution"], r["Spectrum"], r["System"]
    points, pencil_law, curves = r["Points"], r["PencilSpectrum"], r["LearningCurves"]
    W = r["Gaussian"]
    found: dict[str, Call] = {}

    def add(name: str, function: Callable[..., Any], /, **arguments: Any) -> None:
        found[name] = Call(function, arguments, name.endswith("losses") or name.startswith("n_"))

    add("ScoreModel", ScoreModel, t=0.1, psi_p=4.0, psi_n=2.0, activation="tanh",
        covariance=COVARIANCE, noise_draws=2.0)  # fmt: skip
    add("ScoreModel.of", ScoreModel.of, t=0.1, data=COVARIANCE, n=10, parameters=1e4)
    add("ScoreModel.replace", MODEL.replace, t=0.1, psi_p=4.0, covariance=MIXTURE)
    add("Covariance", Covariance, eigenvalues=[1.0, 2.0], weights=[0.5, 0.5], label="x",
        dimension=3, samples=4)  # fmt: skip
    add("Covariance.isotropic", Covariance.isotropic, scale=1.0)
    add("Covariance.power_law", Covariance.power_law, exponent=1.0, atoms=4, mean=1.0)
    add("Covariance.from_matrix", Covariance.from_matrix, matrix=np.eye(2))
    add("Covariance.from_samples", Covariance.from_samples,
        samples=np.arange(40.0).reshape(20, 2) ** 2 % 7.0, center=True)  # fmt: skip
    accumulator = CovarianceAccumulator()
    accumulator.update(np.arange(40.0).reshape(20, 2) ** 2 % 7.0)
    add("Covariance.from_accumulator", Covariance.from_accumulator, accumulator=accumulator,
        center=True, label="x")  # fmt: skip
    add("Covariance.scaled", COVARIANCE.scaled, factor=2.0)
    add("Covariance.normalized", COVARIANCE.normalized)
    add("Covariance.gauss", COVARIANCE.gauss, nodes=1)
    add("Covariance.from_rule", COVARIANCE.from_rule, nodes=[1.0], weights=[1.0])
    add("Covariance.summary", COVARIANCE.summary)
    add("Mixture", Mixture, shares=[0.5, 0.5], eigenvalues=[[1.0], [2.0]], weights=[1.0],
        label="x", dimension=3, samples=4)  # fmt: skip
    add("Mixture.from_matrices", Mixture.from_matrices, shares=[0.5, 0.5],
        matrices=[np.eye(2), 2.0 * np.eye(2)], label="x")  # fmt: skip
    add("Mixture.summary", MIXTURE.summary)
    add("GradientFlow", GradientFlow, weight_decay=0.1, initial_std=0.1)
    add("Ridge", Ridge, weight=0.1)
    add("WeightAverage", WeightAverage, decay_time=1.0, weight_decay=0.1, initial_std=0.1)
    add("GradientDescent", GradientDescent, step=0.1, weight_decay=0.1, initial_std=0.1)
    add("HeavyBall", HeavyBall, step=0.1, weight_decay=0.1, initial_std=0.1, momentum=0.5)
    sgd = dmft_rf.StochasticGradientDescent
    add("StochasticGradientDescent", sgd, noise=1.0, batch=2, momentum=0.5, average=None,
        weight_decay=0.1, initial_std=0.1, finite_steps=0.1)  # fmt: skip
    add("StochasticGradientDescent.from_run", sgd.from_run, learning_rate=1.0, batch=2,
        dimension=10.0, psi_p=2.0, finite_steps=True)  # fmt: skip
    add("StochasticGradientDescent.noise_at", sgd(1.0).noise_at, tau=[1.0])
    for name in ("GradientFlow", "Ridge", "WeightAverage", "GradientDescent", "HeavyBall"):
        rule, x = r[name], np.array([0.5, 1.0])
        for method in ("filter", "residual", "memory", "filter_and_residual", "velocity"):
            if hasattr(rule, method):
                add(f"{name}.{method}", getattr(rule, method), x=x, tau=np.array([1.0]), rate=0.5)
        add(f"{name}.region", rule.region, rate=0.5)
        add(f"{name}.margin", rule.margin, tau=1.0, rate=0.5)
        add(f"{name}.most", rule.most, tau=np.array([1.0]), rate=0.5, start=0.0)
        add(f"{name}.check", rule.check, top=1.0, rate=0.5)
        add(f"{name}.check_times", rule.check_times, tau=np.array([1.0]))
        if hasattr(rule, "times"):
            add(f"{name}.times", rule.times, steps=[1, 2])
            add(f"{name}.counts", rule.counts, tau=np.array([1.0]))
    add("solve", solve, model=MODEL, rtol=1e-4, compress=False)
    add("Solution.learning_curves", one.learning_curves, tau=[1.0], rule=GradientFlow())
    many = dmft_rf.learning_curves_many
    add("learning_curves_many", many, models=[MODEL], tau=[1.0], rule=GradientFlow(), rtol=1e-4,
        compress=False, threads=2)  # fmt: skip
    add("LearningCurves.difference", curves.difference, other=curves)
    add("LearningCurves.interpolate", curves.interpolate, tau=[0.0, 1.0])
    add("LearningCurves.require", curves.require, rtol=1e-3)
    add("Solution.scatter", r["drawn Solution"].scatter, tau=[1.0], rule=GradientFlow())
    add("finite_size", dmft_rf.finite_size, model=MODEL, d=16, seed=1)
    add("FiniteSize.learning_curves", r["FiniteSize"].learning_curves, tau=[1.0],
        rule=GradientFlow())  # fmt: skip
    add("ImageModel", ImageModel, rows=ROWS, t=0.1, n=10, features=6, weights=None, seed=1,
        activation="tanh", classes=2, route="equations")  # fmt: skip
    add("ImageModel.replace", r["ImageModel"].replace, t=0.2, n=20, features=5)
    add("ImageModel.prepare", r["ImageModel"].prepare, progress=None)
    add("spectrum", spectrum, model=MODEL)
    add("Spectrum", dmft_rf.Spectrum, model=MODEL)
    for name, either in (("Spectrum", law), ("PencilSpectrum", pencil_law)):
        add(f"{name}.density", either.density, lam=[1.0])
        add(f"{name}.grid", either.grid, points=8)
        add(f"{name}.integrate", either.integrate, f=_moment)
        add(f"{name}.moment", either.moment, k=1)
    add("width_needed", width_needed, model=MODEL, error=0.1, tau=[10.0], rtol=1e-6)
    add("timescales", timescales, solution=one, level=0.1, gap_level=0.1)
    add("Timescales.usable", r["Timescales"].usable, factor=1.1)
    add("Timescales.tau_ratio", r["Timescales"].tau_ratio, ratio=1.05)
    add("Timescales.value", r["Timescales"].value, name="tau_opt")
    images = np.arange(40.0).reshape(20, 2) ** 2 % 7.0
    add("advise", dmft_rf.advise, images=images, parameters=40.0, schedule=0.1, pilot=(10, 100.0),
        samples=[80], full_batch=False, scale=1.0)  # fmt: skip
    found["advise"] = Call(dmft_rf.advise, found["advise"].arguments, long=True)
    add("Advice.stated", r["Advice"].stated, level="sigma = 0.3")
    add("bulk_split", bulk_split, solution=one, tau=[1.0], rule=GradientFlow())
    add("derivatives", dmft_rf.derivatives, solution=one, tau=[1.0], of="psi_p", rule=Ridge(0.1))
    add("Derivatives.logarithmic", r["Derivatives"].logarithmic, curve="test")
    add("fit", dmft_rf.fit, curves=RUN, model=MODEL, free="psi_n", rule=GradientFlow(), rate=1.0,
        rtol=1e-4)  # fmt: skip
    add("error_parts", error_parts, solution=one, tau=[1.0], rule=GradientFlow())
    add("error_times", error_times, solution=one, level=0.1, factor=1.1)
    span = {"schedule": "score", "sampler": "sde", "t_start": 0.3, "t_end": 0.2, "rtol": 1e-2}
    found["generation"] = Call(generation, {"model": MODEL, "tau": [1.0], **span}, long=True)
    found["generation_times"] = Call(
        generation_times, {"like": r["Generation"], "level": 0.2}, long=True
    )
    found["GenerationTimes.usable"] = Call(r["GenerationTimes"].usable, {"factor": 1.5}, long=True)
    found["plot_generation"] = Call(
        plotting_generated.plot_generation, {"times": r["GenerationTimes"]}, long=True
    )
    add("resolvent", resolvent, model=MODEL, z=[1.0 + 1.0j])
    add("Resolvent.S", r["Resolvent"].S, Q=[1.0, 2.0])
    add("GroupedResolvent.S", r["grouped Resolvent"].S, Q=[1.0, 2.0])
    add("coefficients", coefficients, activation="tanh", t=0.1, sigma_x2=1.0)
    add("JacobiMatrix", JacobiMatrix, points=[1.0, 2.0], weights=[0.5, 0.5])
    add("JacobiMatrix.rule", r["JacobiMatrix"].rule, n=2)
    add("CovarianceAccumulator.update", CovarianceAccumulator().update, block=np.ones((2, 2)))
    add("CovarianceAccumulator.covariance", accumulator.covariance, center=True)
    units = import_module("dmft_rf.units")
    add("time_from_steps", units.time_from_steps, steps=[1.0], learning_rate=0.1, dimension=8,
        psi_p=2.0)  # fmt: skip
    add("steps_from_time", units.steps_from_time, tau=[1.0], learning_rate=0.1, dimension=8,
        psi_p=2.0)  # fmt: skip
    for name in ("alpha_bar", "sigma", "log_snr"):
        add(f"t_from_{name}", getattr(units, f"t_from_{name}"), **{name: [0.5]})
        add(f"{name}_from_t", getattr(units, f"{name}_from_t"), t=[0.5])
    add("t_from_ddpm", units.t_from_ddpm, index=[1.0], schedule="cosine", steps=10)
    add("ddpm_index_from_t", units.ddpm_index_from_t, t=[0.1], betas=[0.1, 0.2])
    thresholds = import_module("dmft_rf.curves.thresholds")
    add("unit_gap", thresholds.unit_gap, model=MODEL)
    add("relative_gap", thresholds.relative_gap, solution=one, tau=1.0)
    add("n_star", thresholds.n_star, model=MODEL, level=0.1, rtol=1e-2)
    add("n_window", thresholds.n_window, model=MODEL, gap_level=0.1, multiple=3.0, level=0.1,
        rtol=1e-2)  # fmt: skip
    datasets = import_module("dmft_rf.data.bundled")
    add("names", datasets.names)
    add("path", datasets.path, name="digits")
    add("parameters", parameters, names="a b")
    add("sqrt", sqrt, value=2.0)
    add("Scalar.of", Sigma.of, value=2.0)
    add("Scalar.__pow__", Sigma.__pow__, exponent=2)
    add("Gaussian", Gaussian, name="W", row_space="p", column_space="p", per="p", variance=1.0,
        symmetric=True)  # fmt: skip
    add("wigner", dmft_rf.pencil.wigner, name="W", space="n", variance=1.0)
    add("inverse", inverse, matrix=W * W.T)
    add("Matrix.__mul__", W.__mul__, other=2.0)
    add("Matrix.__add__", (W * W.T).__add__, other=2.0)
    add("Matrix.__truediv__", W.__truediv__, other=2.0)
    spaces = {"p": 1.0, "d": 2.0}
    add("linearize", linearize, H=W * W.T, spaces=spaces, sigma="d", observe={"S": (W.T, W)})
    add("gram", gram, M=W, spaces=spaces, sigma="d", observe={"S": (W.T, W)})
    add("Pencil", Pencil, spaces={"p": 1.0}, blocks={"u": "p"}, rows={"u": {"u": 1.0 - z}},
        sigma="p", resolvent="u", meanings={"u": "x"})  # fmt: skip
    add("Pencil.bind", sample_covariance().bind, covariance=COVARIANCE, psi_n=4.0)
    add("Pencil.describe", semicircle().describe)
    add("Pencil.equations", semicircle().equations)
    add("System.solve", system.solve, z=[1.0 + 1.0j])
    add("System.spectrum", system.spectrum)
    add("Points.trace", points.trace, i="u", j="u", weight=[1.0, 2.0])
    add("Points.observable", gram(W, spaces, observe={"S": (W.T, W)}).bind().solve(1j).observable,
        name="S", weight=1.0)  # fmt: skip
    add("Points.two_point", points.two_point, other=points, inner={("u", "u"): 1.0},
        outer={("u", "u"): 1.0})  # fmt: skip
    add("noise_draws", noise_draws, m=2)
    add("gradient_flow", gradient_flow, z=np.array([1.0 + 1.0j]), tau=[1.0], ridge=0.1)
    add("Regression", Regression, system=r["Regression"].system, noise=0.1)
    add("Regression.of", Regression.of, psi_p=4.0, psi_n=2.0, mu=1.0, nu=0.5, noise=0.1,
        covariance=COVARIANCE)  # fmt: skip
    add("Regression.losses", r["Regression"].losses, tau=[1.0], ridge=9.0, rtol=1e-2)
    add("PencilNodes.around", PencilNodes.around, system=system, ends=(0.1, 5.0), nodes=8,
        ridge=0.1)  # fmt: skip
    for name in _DRAWN:
        axes = import_module("matplotlib.figure").Figure().add_subplot()
        add(f"{name}.plot", r[name].plot, ax=axes, quantity=None, label="x")
    plotting = import_module("dmft_rf.plotting")
    add("plot_curves", plotting.plot_curves, curves=curves)
    add("plot_spectrum", plotting.plot_spectrum, spectrum=law)
    add("plot_pencil", plotting.plot_pencil, spectrum=pencil_law, title="x")
    add(
        "plot_timescales",
        import_module("dmft_rf.plotting").plot_timescales,
        solution=one,
        timescales=r["Timescales"],
    )
    add("plot_error_parts", plotting.plot_error_parts, parts=error_parts(one, [1.0, 2.0]))
    add("plot_fit", plotting.plot_fit, fit=r["Fit"])
    add("plot_scaling", plotting.plot_scaling, scaling=r["Scaling"])
    covariances = import_module("dmft_rf.plotting.covariance")
    add("plot_covariance", covariances.plot_covariance, covariance=COVARIANCE)
    phaseplot = import_module("dmft_rf.plotting.phases")
    add("plot_phase_diagram", phaseplot.plot_phase_diagram, diagram=r["PhaseDiagram"], tau=1.0)
    return found


# modules whose functions and classes are public, and the classes that other calls return
_MODULES = (
    "units", "curves.thresholds", "data.bundled", "plotting.curves", "plotting.spectra",
    "plotting.covariance", "plotting.parts", "plotting.timescales",
    "plotting.phases", "model.coefficients", "pencil.zoo", "pencil.readings",
)  # fmt: skip


_DRAWN = (
    "Covariance", "Spectrum", "PencilSpectrum", "Timescales", "LearningCurves", "Solution", "Sweep",
    "BulkSplit", "Generation", "PathBound", "Scaling", "PhaseDiagram",
    "ErrorParts", "ErrorTimes", "GenerationTimes", "Advice", "ManyCurves",
    "FiniteSize", "FiniteCurves", "Derivatives", "Fit",
)  # fmt: skip


def public_callables() -> set[str]:
    """Names of all public functions, classes and their methods with an argument."""
    homes: list[tuple[str, Any]] = [
        (name, getattr(dmft_rf, name)) for name in dmft_rf.__all__ if name != "__version__"
    ]
    homes += [(name, getattr(dmft_rf.pencil, name)) for name in dmft_rf.pencil.__all__]
    for module in map(import_module, (f"dmft_rf.{name}" for name in _MODULES)):
        homes += [
            (name, value)
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
    found = set()
    for name, value in homes:
        if inspect.isfunction(value):
            found.add(name)
        elif inspect.isclass(value) and not issubclass(value, Exception):
            found.add(name)
            found |= {
                f"{name}.{method}"
                for method, member in inspect.getmembers(value, callable)
                if not method.startswith("_") and list(inspect.signature(member).parameters)[1:]
            }
    return found
