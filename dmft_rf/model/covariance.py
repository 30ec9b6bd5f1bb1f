r"""The spectral law of the data covariance: everything the theory knows about the data.

In the limit d -> infinity the losses depend on the covariance Sigma only through its
eigenvalue distribution rho = sum_k w_k delta(lambda - lambda_k) (arXiv:2505.17638). A
`Covariance` is that law: a frozen, hashable list of eigenvalues and weights, which also
remembers the dimension d of the data it came from, because d sets how far a finite system is
from the limit.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import LARGEST, flag, floats, instance, number, string, whole
from dmft_rf._show import Shown, Table
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError, one_line, plain
from dmft_rf.model.accumulator import CovarianceAccumulator, flattened, real_rows
from dmft_rf.model.checks import (
    MAX_ATOMS,
    distinct_atoms,
    entry_rounding,
    matrix_spectrum,
    without_rounding,
)
from dmft_rf.model.eigenvalue_law import EigenvalueLaw
from dmft_rf.numerics.jacobi import JacobiMatrix

__all__ = ["MAX_ATOMS", "Covariance", "SampleSizeWarning"]

_BLOCK_BYTES = 64 * 2**20


class SampleSizeWarning(UserWarning):
    """Too few samples for their sample eigenvalues to be close to the true ones."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Covariance(Shown, EigenvalueLaw):
    """Spectral law of a data covariance, rho = sum_k w_k delta(lambda - lambda_k).

    Frozen, hashable and comparable by content: two are equal when their eigenvalues, weights
    and dimension are (label and sample count are only information).

    Parameters
    ----------
    eigenvalues : array_like, shape (K,)
        Finite, >= 0, not all 0, in any order. Equal ones are merged.
    weights : array_like, shape (K,), optional
        Fraction of the d directions with each eigenvalue: finite, >= 0, summing to 1 within
        1e-9. Equal weights by default. Atoms of zero weight are dropped.
    label : str, optional
        Short description, for tables and plots.
    dimension : int, optional
        The true d of the data that the law was taken from.
    samples : int, optional
        Number of samples that it was estimated from.

    Attributes
    ----------
    eigenvalues : ndarray, shape (n_atoms,)
        Distinct eigenvalues lambda_k, ascending, read-only, in the squared units of the data.
    weights : ndarray, shape (n_atoms,)
        Their weights w_k, positive, summing to 1, read-only.
    label : str
    dimension : int or None
    samples : int or None

    Raises
    ------
    ModelError
        If an argument is outside its domain, or there are more than `MAX_ATOMS` atoms.

    Notes
    -----
    Source of the role of the law: arXiv:2505.17638.

    Examples
    --------
    >>> Covariance([1.0, 4.0], [0.75, 0.25]).mean
    1.75
    """

    kind: ClassVar[str] = "covariance"  # in files
    eigenvalues: Array
    weights: Array
    label: str = field(compare=False)
    dimension: int | None
    samples: int | None = field(compare=False)

    def __init__(
        self,
        eigenvalues: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        label: str | None = None,
        dimension: int | None = None,
        samples: int | None = None,
    ) -> None:
        lam, w = distinct_atoms(eigenvalues, weights)
        if label is None:
            label = "isotropic" if lam.size == 1 else f"{lam.size} eigenvalues"
        put = object.__setattr__
        put(self, "eigenvalues", lam)
        put(self, "weights", w)
        put(self, "label", plain(string(label, "label")))  # it stands in tables, files, pictures
        put(self, "dimension", None if dimension is None else whole(dimension, "dimension"))
        put(self, "samples", None if samples is None else whole(samples, "samples"))
        self.seal()

    # Constructors ------------------------------------------------------------------------

    @classmethod
    def isotropic(cls, scale: float = 1.0) -> Covariance:
        """Sigma = scale * I.

        Parameters
        ----------
        scale : float, default 1
            The only eigenvalue, > 0.

        Returns
        -------
        Covariance
        """
        return cls([number(scale, "scale", above=0.0)], label="isotropic")

    @classmethod
    @ieee
    def power_law(cls, exponent: float, atoms: int = 256, *, mean: float = 1.0) -> Covariance:
        """Eigenvalues lambda_k proportional to k^-exponent, k = 1 ... d.

        Natural images, with their power spectrum 1/f^2 in two dimensions (Field, J. Opt. Soc.
        Am. A 4, 2379 (1987)), have an exponent near 1. The law depends on d (for exponent > 1
        the sum of k^-exponent converges, so that d_eff stays finite), hence
        ``dimension = atoms``.

        Parameters
        ----------
        exponent : float
            Finite, >= 0; 0 is isotropic.
        atoms : int, default 256
            Their number d, from 1 to `MAX_ATOMS`.
        mean : float, default 1
            Mean eigenvalue (1/d) Tr Sigma, > 0.

        Returns
        -------
        Covariance
        """
        exponent = number(exponent, "exponent", least=0.0)
        atoms = whole(atoms, "atoms", most=MAX_ATOMS)
        mean = number(mean, "mean", above=0.0, most=LARGEST)
        if exponent * math.log(atoms) > 300 * math.log(10):
            raise ModelError(
                f"exponent {exponent} with {atoms} atoms underflows: lower one of them"
            )
        lam = np.arange(1, atoms + 1, dtype=np.float64) ** -exponent
        lam *= mean / lam.mean()
        return cls(lam, label=f"power law {exponent:g}, d = {atoms}", dimension=atoms)

    @classmethod
    @ieee
    def from_matrix(cls, matrix: ArrayLike) -> Covariance:
        """Return the law of the eigenvalues of a covariance matrix.

        Parameters
        ----------
        matrix : array_like, shape (d, d)
            Real, finite, symmetric to 1e-8 of its largest entry, positive semi-definite to
            1e-10 of its largest eigenvalue (smaller negative ones count as 0), d <= 4096.
            Positive eigenvalues below ``(d + 64) * 2.2e-16`` of the largest are rounding and
            count as 0 too: give eigenvalues, not a matrix, where such small ones are meant. In
            single precision (float32) entries are known to 1.2e-7, and eigenvalues below 1.2e-7 of
            the matrix's Frobenius norm count as 0, of either sign.

        Returns
        -------
        Covariance
            With ``dimension = d``.
        """
        rows = real_rows(matrix, "a covariance matrix")
        lam = matrix_spectrum(rows, entry_rounding(matrix))
        return cls(lam, label=f"matrix, d = {lam.size}", dimension=lam.size)

    @classmethod
    def from_samples(cls, samples: ArrayLike, center: bool = True) -> Covariance:
        """Return the law of the eigenvalues of the sample covariance.

        Parameters
        ----------
        samples : array_like, shape (n, d) or (n, height, width) or (n, height, width, colours)
            Real and finite, one sample per row or image, n >= 2, d <= 4096. An image is a row of
            d = height * width * colours numbers; which axis holds the colours does not matter.
        center : bool, default True
            Take out the sample mean (and divide by n - 1); False: ``(1/n) sum x x^T``.

        Returns
        -------
        Covariance
            With ``dimension = d`` and ``samples = n``.

        Warns
        -----
        SampleSizeWarning
            If n < 10 d.
        """
        rows = flattened(samples)
        center = flag(center, "center")
        accumulator = CovarianceAccumulator()
        step = max(1, _BLOCK_BYTES // (8 * rows.shape[1]))
        for start in range(0, rows.shape[0], step):
            accumulator.update(rows[start : start + step])
        return cls.from_accumulator(accumulator, center=center)

    @classmethod
    def from_accumulator(
        cls, accumulator: CovarianceAccumulator, *, center: bool = True, label: str | None = None
    ) -> Covariance:
        """Return the law of the eigenvalues of the covariance of accumulated samples.

        Parameters
        ----------
        accumulator : CovarianceAccumulator
            What has seen the n >= 2 samples.
        center : bool, default True
            As in `from_samples`.
        label : str, optional
            Where the samples come from.

        Returns
        -------
        Covariance
            The eigenvalues that a sample covariance of rank at most n - 1 (n if not centred)
            cannot have, and those below rounding, are exactly 0.

        Warns
        -----
        SampleSizeWarning
            If n < 10 d: an eigenvalue l comes out spread over l (1 +- sqrt(d/n))^2
            (Marchenko and Pastur, Math. USSR Sb. 1, 457 (1967)).
        """
        instance(accumulator, CovarianceAccumulator, "accumulator", "CovarianceAccumulator()")
        matrix = accumulator.covariance(center)
        n, d = accumulator.n_samples, matrix.shape[0]
        lam = without_rounding(np.linalg.eigvalsh(matrix))
        rank = min(d, n - 1 if center else n)
        lam[: d - rank] = 0.0
        if not lam[-1] > 0:
            raise ModelError("the samples have zero covariance: all of them are equal")
        if label is None:
            label = f"{n} samples, d = {d}"
        law = cls(lam, label=label, dimension=d, samples=n)
        if n < 10 * d:
            q = math.sqrt(d / n)
            low = max(0.0, 1 - q) ** 2
            turned = "; if samples are columns here, transpose" if n < d else ""
            warnings.warn(
                f"{n} samples of dimension {d}: sampling spreads the eigenvalues (Marchenko-Pastur)"
                f" by sqrt(d/n) = {q:.2f}, an eigenvalue l over {low:.2f} l to {(1 + q) ** 2:.2f} l"
                f"; {10 * d} samples or more are advised{turned}",
                SampleSizeWarning,
                stacklevel=3,
            )
        return law

    # Properties --------------------------------------------------------------------------

    @property
    def is_isotropic(self) -> bool:
        """Whether there is only one eigenvalue."""
        return self.n_atoms == 1

    @property
    @ieee
    def mean(self) -> float:
        """Mean eigenvalue, sigma_x^2 = Tr Sigma / d = sum w lambda."""
        return float(self.weights @ self.eigenvalues)

    @property
    @ieee
    def second_moment(self) -> float:
        """Mean squared eigenvalue, Tr Sigma^2 / d = sum w lambda^2."""
        return float(self.weights @ self.eigenvalues**2)

    @property
    @ieee
    def effective_dimension_ratio(self) -> float:
        """d_eff / d = (sum w lambda)^2 / sum w lambda^2, in (0, 1]; 1 if isotropic."""
        scaled = self.eigenvalues / self.eigenvalues[-1]
        return min(1.0, float((self.weights @ scaled) ** 2 / (self.weights @ scaled**2)))

    # Methods -----------------------------------------------------------------------------

    @ieee
    def scaled(self, factor: float) -> Covariance:
        """Return the covariance factor * Sigma (data multiplied by sqrt(factor)).

        Parameters
        ----------
        factor : float
            Finite, > 0.

        Returns
        -------
        Covariance
            Of the same label, dimension and sample count.
        """
        with np.errstate(over="ignore"):  # the constructor refuses what overflows
            eigenvalues = self.eigenvalues * number(factor, "factor", above=0.0)
        return self._with(eigenvalues, self.weights)

    @ieee
    def normalized(self) -> Covariance:
        """Return Sigma divided by its mean eigenvalue, so that ``mean`` is 1."""
        return self._with(self.eigenvalues / self.mean, self.weights)

    @ieee
    def gauss(self, nodes: int) -> Covariance:
        """Return the Gauss quadrature of the law: fewer atoms, the same moments.

        Averages of polynomials in lambda up to the degree 2 nodes - 1 stay what they are; those of
        functions that are analytic around the spectrum converge geometrically in ``nodes``.

        Parameters
        ----------
        nodes : int
            Number of atoms, >= 1; a law that has no more is returned as it is.

        Returns
        -------
        Covariance
            Of the same label, dimension and sample count.
        """
        n = whole(nodes, "nodes")
        if n >= self.n_atoms:
            return self
        return self.from_rule(*JacobiMatrix(self.eigenvalues, self.weights).rule(n))

    @ieee
    def from_rule(self, nodes: ArrayLike, weights: ArrayLike) -> Covariance:
        """Return the law with these atoms instead, of the same label, dimension and samples.

        The mean, which the coefficients of every activation depend on, is kept to the last digits.
        """
        atoms = np.maximum(floats(nodes, "nodes", ndim=1), 0.0)
        shares = floats(weights, "weights", ndim=1)
        if atoms.shape != shares.shape or not float(shares @ atoms) > 0.0:
            return Covariance(atoms, shares)  # which says what is wrong with them
        scale = self.mean * float(shares.sum()) / float(shares @ atoms)
        return self._with(atoms * scale, weights)

    def _with(self, eigenvalues: ArrayLike, weights: ArrayLike) -> Covariance:
        """The law with these atoms, of the same label, dimension and sample count."""
        return Covariance(
            eigenvalues, weights, label=self.label, dimension=self.dimension, samples=self.samples
        )

    def _about(self) -> str:
        d = "" if self.dimension is None else f", d = {self.dimension}"
        return f"{self.label}, {self.n_atoms} eigenvalues of mean {self.mean:.4g}{d}"

    def _table(self) -> Table:
        rows = ("direction",)
        return Table(
            rows, {}, {"eigenvalue": (rows, self.eigenvalues), "weight": (rows, self.weights)}
        )

    def __repr__(self) -> str:
        d = "" if self.dimension is None else f", d={self.dimension}"
        label = one_line(self.label, 40)
        return f"<Covariance {label!r}: atoms={self.n_atoms}, mean={self.mean:.4g}{d}>"
