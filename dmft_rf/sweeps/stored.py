"""Sweeps, scaling laws and phase diagrams made again of what a file holds of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._stored import Arrays, Attributes
from dmft_rf.model.score_model import stored_model
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stored import stored_rule
from dmft_rf.sweeps.request import DESCRIPTIONS
from dmft_rf.sweeps.results import (
    QUANTITIES,
    Fits,
    PhaseDiagram,
    PowerLaw,
    Scaling,
    Sweep,
    failures_of,
)


def stored_sweep(attributes: Attributes, arrays: Arrays) -> Sweep:
    """The sweep of `Sweep.stored`; KeyError if something of it is missing."""
    reasons = _names(arrays["failure_reasons"]).tolist()
    asked = ("rtol", "level", "multiple", "gap_level")
    fixed = {name: value for name, value in attributes.items() if name.startswith("fixed_")}
    return Sweep(
        model=stored_model(attributes, arrays),
        rule=stored_rule(attributes),
        axes={name: _names(arrays[f"axis_{name}"]) for name in attributes["axes"].split(", ")},
        is_list=attributes["is_list"],
        quantities={name: array for name, array in arrays.items() if name in DESCRIPTIONS},
        status=arrays["status"],
        failures=dict(zip(arrays["failures"].tolist(), reasons, strict=True)),
        request={"tau": arrays["tau"], **{name: attributes[name] for name in asked}, **fixed},
        fingerprint=attributes["fingerprint"],
    )


def stored_scaling(attributes: Attributes, arrays: Arrays) -> Scaling:
    """The scaling of `Scaling.stored`; KeyError if something of it is missing."""

    # files of before there were other rules, and the ratio of losses, hold neither
    rule = stored_rule(attributes) if "rule" in attributes else GradientFlow()
    followed = [name for name in QUANTITIES if name in arrays or name != "tau_ratio"]

    def fits(prefix: str) -> Fits:
        names = [name for name in QUANTITIES if f"{prefix}_{name}_exponent" in attributes]
        return Fits(
            {
                name: PowerLaw(
                    **{f.name: attributes[f"{prefix}_{name}_{f.name}"] for f in fields(PowerLaw)}
                )
                for name in names
            }
        )

    return Scaling(
        model=stored_model(attributes, arrays),
        rule=rule,
        parameter=attributes["parameter"],
        values=arrays["values"],
        abscissa=arrays["abscissa"],
        quantities={name: arrays[name] for name in followed},
        local_exponents={name: arrays[f"{name}_exponent"] for name in followed},
        fits=fits("fit"),
        global_fits=fits("global_fit"),
        tolerance=attributes["tolerance"],
        failures={
            float(name.removeprefix("failure_")): reason
            for name, reason in attributes.items()
            if name.startswith("failure_")
        },
        rtol=attributes["rtol"],
    )


def stored_diagram(
    attributes: Attributes, arrays: Arrays, sweeps: dict[str, Sweep]
) -> PhaseDiagram:
    """The diagram of `PhaseDiagram.stored` and its sweeps; KeyError if something is missing."""
    x, y = attributes["x"], attributes["y"]
    lines = [name for name in arrays if name.startswith("boundary_")]
    return PhaseDiagram(
        model=stored_model(attributes, arrays),
        x=x,
        y=y,
        axes={name: arrays[f"axis_{name}"] for name in (x, y)},
        tau=arrays["tau"],
        relative_gap=arrays["relative_gap"],
        ratio=arrays["ratio"],
        boundaries={name.removeprefix("boundary_"): arrays[name][()] for name in lines},
        regions=arrays["regions"],
        region_names=tuple(attributes["region_names"].split(", ")),
        level=attributes["level"],
        multiple=attributes["multiple"],
        rtol=attributes["rtol"],
        failures=failures_of(sweeps),
        sweeps=sweeps,
    )


def _names(values: NDArray[Any]) -> NDArray[Any]:
    """Strings of their bytes in UTF-8; numbers as they are."""
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
