"""A noise level as text, and the diffusion time that it is."""

from __future__ import annotations

import re
from typing import Any

from dmft_rf import units
from dmft_rf._convert import number, shown
from dmft_rf.errors import ModelError

_LEVELS = ("t", "sigma", "alpha_bar", "log_snr")


def time_of(schedule: Any) -> tuple[float, str]:
    """The diffusion time of a noise level, and the level in words, "" for a time itself."""
    if not isinstance(schedule, str):
        return number(schedule, "schedule", above=0.0), ""
    kind, *rest = schedule.replace("-", "_").split(":") if ":" in schedule else (schedule,)
    if kind in _LEVELS and len(rest) == 1:
        # a negative logarithm of the signal to noise
        value = _parsed(schedule.partition(":")[2], schedule)
        if kind == "t":
            return number(value, "schedule", above=0.0), ""
        return float(getattr(units, f"t_from_{kind}")(value)), f"{kind} = {value:g}"
    if kind == "ddpm" and 1 <= len(rest) <= 3:
        name = rest[1] if len(rest) > 1 else "linear"
        count = int(_parsed(rest[2], schedule)) if len(rest) > 2 else 1000
        value = _parsed(rest[0], schedule)
        time = float(units.t_from_ddpm(value, schedule=name, steps=count))
        return time, f"step {value:g} (from 0) of DDPM's {name} schedule of {count}"
    raise _no_schedule(schedule)


def _parsed(text: str, schedule: str) -> float:
    if not re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", text, re.ASCII | re.IGNORECASE):
        raise _no_schedule(schedule)
    try:
        return float(text)
    except ValueError:
        raise _no_schedule(schedule) from None


def _no_schedule(schedule: str) -> ModelError:
    return ModelError(
        f"schedule is {shown(schedule)}; it must be a diffusion time, or as sigma:0.3, "
        "alpha_bar:0.9, log_snr:2, ddpm:50 or ddpm:50:cosine:1000"
    )
