"""What the covariance of the data and those of the classes of a mixture have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._stored import Stored
from dmft_rf._typing import Array


class EigenvalueLaw(ABC):
    """Eigenvalues with weights, one row of eigenvalues or one for every class."""

    __slots__ = ()

    eigenvalues: Array
    weights: Array
    label: str
    dimension: int | None
    samples: int | None

    @property
    def n_atoms(self) -> int:
        """Number of atoms: of distinct eigenvalues, or of common ones of the classes."""
        return self.weights.size

    @property
    @abstractmethod
    def mean(self) -> float:
        """Mean eigenvalue Tr Sigma/d, averaged over the classes."""

    @property
    @abstractmethod
    def effective_dimension_ratio(self) -> float:
        """d_eff/d = (Tr Sigma)^2/(d Tr Sigma^2), the smallest of a class."""

    @property
    def effective_dimension(self) -> float | None:
        """d_eff = (Tr Sigma)^2/Tr Sigma^2, the smallest of a class, or None where d is unknown."""
        return None if self.dimension is None else self.dimension * self.effective_dimension_ratio

    @property
    def expected_finite_size_error(self) -> float | None:
        """Relative error of the theory for data of this d, 1/d_eff, or None where d is unknown.

        An order of magnitude, for the latest times, which are worst. The limit is approached
        like 1/d_eff and not like 1/d, because |x|^2/d fluctuates by a relative
        sqrt(2/d_eff). Measured with the covariance of the digits (d = 64, d_eff = 13.2;
        Gaussian data, t = 0.1, psi_p = 4, psi_n = 2): the late test loss of the finite network
        lies 6.4 % below the theory, and 3.6, 2.0, 1.03 % below for 2, 4, 8 copies of the
        spectrum; early times agree within 1 %. Data that are not Gaussian differ by more.
        """
        d_eff = self.effective_dimension
        return None if d_eff is None else 1.0 / d_eff

    def stored(self) -> Stored:
        """What a file holds of it: attributes, and the eigenvalues and their weights."""
        attributes = {
            "covariance_label": self.label,
            "dimension": self.dimension,
            "samples": self.samples,
            "d_eff": self.effective_dimension,
            "expected_finite_size_error": self.expected_finite_size_error,
        }
        return attributes, {"eigenvalues": self.eigenvalues, "weights": self.weights}

    @ieee
    def summary(self) -> dict[str, str | int | float | None]:
        """Return what to print about it.

        Returns
        -------
        dict
            ``label``, ``atoms``, ``mean``, ``min``, ``max``, ``zero_weight`` (fraction of
            eigenvalues that are zero in every class), ``d``, ``samples``, ``d_eff``,
            ``expected_error`` (relative); the last four None where unknown.
        """
        none = np.atleast_2d(self.eigenvalues).max(axis=0) == 0.0
        return {
            "label": self.label,
            "atoms": self.n_atoms,
            "mean": self.mean,
            "min": float(self.eigenvalues.min()),
            "max": float(self.eigenvalues.max()),
            "zero_weight": float(self.weights[none].sum()),
            "d": self.dimension,
            "samples": self.samples,
            "d_eff": self.effective_dimension,
            "expected_error": self.expected_finite_size_error,
        }
