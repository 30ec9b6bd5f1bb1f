"""Gaussian mixtures: classes of data whose covariances differ and commute."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import LARGEST, floats, string, whole
from dmft_rf._frozen import Frozen
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError, one_line
from dmft_rf.model.checks import MAX_ATOMS, SMALLEST, entry_rounding, vector, without_rounding
from dmft_rf.model.eigenvalue_law import EigenvalueLaw

# relative size of what may be left off the diagonal in a common eigenbasis
_COMMUTE = 1e-8
_SUM_TOLERANCE = 1e-9


@ieee
@dataclass(frozen=True, eq=False)
class Mixture(Frozen, EigenvalueLaw):
    r"""Covariances of a Gaussian mixture, by their eigenvalues in a common eigenbasis.

    A sample belongs to class g with probability ``shares[g]`` and is then Gaussian with mean zero
    and covariance Sigma_g. The classes' covariances commute: a fraction ``weights[k]`` of the
    common eigendirections has the eigenvalue ``eigenvalues[g, k]`` in class g. In high dimension
    the class of a noisy sample is known from the sample itself whenever the spectra differ, so that
    the exact score of the mixture is -Sigma_{t,g}^{-1} x for x of class g.

    Parameters
    ----------
    shares : (G,) array_like
        Probabilities of the classes: > 0, summing to 1 within 1e-9.
    eigenvalues : (G, K) array_like
        Finite, >= 0, not all 0 in any class.
    weights : (K,) array_like, optional
        Finite, > 0, summing to 1 within 1e-9; equal by default.
    label : str, optional
        Short description, for tables and plots.
    dimension : int, optional
        The true d of the data.

    Raises
    ------
    ModelError
        If an argument is outside its domain.

    Examples
    --------
    >>> Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]]).mean
    1.0
    """

    shares: Array
    eigenvalues: Array
    weights: Array = field(default_factory=lambda: np.empty(0))
    label: str = field(default="", compare=False)
    dimension: int | None = None
    samples: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        shares = vector(self.shares, "shares")
        lam = np.atleast_2d(floats(self.eigenvalues, "eigenvalues", least=0.0))
        if lam.ndim != 2 or lam.shape[0] != shares.size or not 1 <= lam.shape[1] <= MAX_ATOMS:
            raise ModelError(
                f"eigenvalues have the shape {lam.shape}; {shares.size} classes need as many rows, "
                f"of 1 to {MAX_ATOMS} eigenvalues"
            )
        for g, top in enumerate(lam.max(axis=1)):
            if not SMALLEST <= top <= LARGEST:
                raise ModelError(
                    f"the largest eigenvalue of class {g} is {top:g}; it must be between "
                    f"{SMALLEST:g} and {LARGEST:g}"
                )
        k = lam.shape[1]
        weights = floats(self.weights, "weights")
        w = vector(weights, "weights") if weights.size else np.full(k, 1.0 / k)
        if w.size != k:
            raise ModelError(f"{k} eigenvalues a class cannot have {w.size} weights")
        for name, values in (("shares", shares), ("weights", w)):
            if np.any(values <= 0.0) or not abs(math.fsum(values) - 1.0) <= _SUM_TOLERANCE:
                raise ModelError(f"{name} must be > 0 and sum to 1 within {_SUM_TOLERANCE:g}")
        put(self, "shares", shares / math.fsum(shares))
        put(self, "eigenvalues", lam)
        put(self, "weights", w / math.fsum(w))
        label = string(self.label, "label")
        put(self, "label", label or f"mixture of {shares.size} classes")
        for name in ("dimension", "samples"):
            if getattr(self, name) is not None:
                put(self, name, whole(getattr(self, name), name))
        self.seal()

    @classmethod
    def from_matrices(cls, shares: ArrayLike, matrices: Any, *, label: str = "") -> Mixture:
        """The mixture of classes with these covariance matrices, which must commute.

        Parameters
        ----------
        shares : (G,) array_like
        matrices : (G, d, d) array_like
            Symmetric, positive semi-definite, as for `Covariance.from_matrix`.

        Raises
        ------
        ModelError
            If the matrices are not symmetric, have no common eigenbasis, or an eigenvalue is
            negative beyond rounding.
        """
        stack = floats(matrices, "matrices", empty=False)
        if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
            raise ModelError(f"matrices have the shape {stack.shape}; it must be (classes, d, d)")
        coarse = entry_rounding(matrices)
        size = np.abs(stack).max(axis=(1, 2), keepdims=True)
        norm = np.linalg.norm(stack, axis=(1, 2), keepdims=True)
        close = np.maximum(_COMMUTE * size, coarse * norm)
        if not np.all(size > 0.0):
            raise ModelError("a matrix is 0; every class needs a covariance")
        if np.any(np.abs(stack - stack.transpose(0, 2, 1)) > close):
            raise ModelError("matrices must be symmetric")
        # a combination without accidental degeneracies has the common eigenbasis
        mixed = np.tensordot(np.sqrt(2.0 + np.arange(len(stack))), stack / size, 1)
        _, basis = np.linalg.eigh(mixed)
        rotated = basis.T @ stack @ basis
        lam = np.diagonal(rotated, axis1=1, axis2=2)
        rest = rotated - lam[:, :, None] * np.eye(stack.shape[1])
        if np.any(np.abs(rest) > close):
            raise ModelError(
                "matrices do not commute; only classes with a common eigenbasis are solved"
            )
        if np.any(lam < -close[:, :, 0]):
            raise ModelError("matrices must be positive semi-definite")
        order = np.argsort(lam, axis=1)
        lam = np.take_along_axis(lam, order, axis=1)
        lam = np.stack([without_rounding(one, coarse) for one in lam])
        lam = np.take_along_axis(lam, np.argsort(order, axis=1), axis=1)  # aligned again
        return cls(shares, lam, label=label, dimension=stack.shape[1])  # type: ignore[arg-type]

    @property
    @ieee
    def mean(self) -> float:
        """Tr Sigma/d, averaged over the classes."""
        return float(self.shares @ self.eigenvalues @ self.weights)

    @property
    def is_isotropic(self) -> bool:
        """Whether every class has a single eigenvalue."""
        return bool(np.all(self.eigenvalues == self.eigenvalues[:, :1]))

    @property
    @ieee
    def effective_dimension_ratio(self) -> float:
        """The smallest d_eff/d = (Tr Sigma)^2/(d Tr Sigma^2) of a class."""
        scaled = self.eigenvalues / self.eigenvalues.max(axis=1, keepdims=True)
        return float(np.min((scaled @ self.weights) ** 2 / (scaled**2 @ self.weights)))

    def stored(self) -> Stored:
        """What a file holds of it: attributes, shares, eigenvalues of each class, and weights."""
        attributes, arrays = super().stored()
        return attributes, {**arrays, "shares": self.shares}

    def __repr__(self) -> str:
        label = one_line(self.label, 40)
        return f"<Mixture {label!r}: classes={self.shares.size}, atoms={self.n_atoms}>"
