"""What practitioners have, in the theory's terms: sizes as numbers, data at some scale."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dmft_rf._convert import number, whole
from dmft_rf.errors import DataScaleWarning, ModelError

if TYPE_CHECKING:
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.model.mixture import Mixture

__all__ = ["check_scale", "psi_n_of", "psi_p_of", "scale_of"]

# mean eigenvalues of pixels: thousands from 0 to 255, mostly .05 to .3 from -1 to 1
_BYTES, _UNIT = 100.0, 1.0 / 3.0


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
    """A mean eigenvalue in words, where it is that of pixels and far from 1; None where not."""
    if _UNIT <= mean <= _BYTES:
        return None
    pixels = "from 0 to 255" if mean > _BYTES else "from -1 to 1 or 0 to 1"
    return f"the mean eigenvalue of the data is {mean:.4g}, as that of pixels {pixels}"


def check_scale(law: Covariance | Mixture, *, stacklevel: int) -> None:
    """Warn where samples look like pixels at another scale than the noise."""
    if law.samples is None or (words := scale_of(law.mean)) is None:
        return
    warnings.warn(
        f"{words}, and that of the noise is 1. If the network sees the data at another scale, say "
        "so with covariance.scaled(factor**2); covariance.normalized() makes the mean 1",
        DataScaleWarning,
        stacklevel=stacklevel + 1,
    )
