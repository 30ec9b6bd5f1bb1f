"""What practitioners have, in the theory's terms: sizes as numbers, data at some scale."""

from __future__ import annotations

import warnings

from dmft_rf._convert import number, whole
from dmft_rf.errors import ModelError
from dmft_rf.model.covariance import Covariance

__all__ = ["FAR", "DataScaleWarning", "check_scale", "psi_n_of", "psi_p_of", "scale_of"]

FAR = 3.0
"""Factor from 1 beyond which a mean eigenvalue counts as of another scale than the noise."""

_BYTES = 100.0  # pixels from -1 to 1 have at most 1, those from 0 to 255 mostly thousands


class DataScaleWarning(UserWarning):
    """The eigenvalues of data are far from those of the noise, which are 1."""


def psi_n_of(n: int, dimension: int | None, name: str = "n") -> float:
    """Samples per dimension, n/d; ``name`` is what a message calls n."""
    return whole(n, name) / _known(dimension, f"{name} is {n!r}")


def psi_p_of(parameters: float, dimension: int | None, name: str = "parameters") -> float:
    """Features per dimension of a trained layer of d x p numbers, P/d^2."""
    count = number(parameters, name, above=0.0)
    return count / _known(dimension, f"{name} is {count:g}") ** 2


def _known(dimension: int | None, what: str) -> int:
    if dimension is None:
        raise ModelError(f"{what}; it also needs the dimension d of the data, which is not known")
    return dimension


def scale_of(mean: float) -> str | None:
    """A mean eigenvalue in words, where it is far from 1; None where it is not."""
    if 1.0 / FAR <= mean <= FAR:
        return None
    pixels = ""
    if mean > _BYTES:
        pixels = ", as that of pixels from 0 to 255"
    elif mean < 1.0:
        pixels = ", as that of pixels from -1 to 1 or 0 to 1"
    return f"the mean eigenvalue of the data is {mean:.4g}{pixels}"


def check_scale(law: Covariance, *, stacklevel: int) -> None:
    """Warn where samples are at another scale than the noise."""
    if law.samples is None or (words := scale_of(law.mean)) is None:
        return
    warnings.warn(
        f"{words}, and that of the noise is 1. If the network sees the data at another scale, say "
        "so with covariance.scaled(factor**2); covariance.normalized() makes the mean 1",
        DataScaleWarning,
        stacklevel=stacklevel + 1,
    )
