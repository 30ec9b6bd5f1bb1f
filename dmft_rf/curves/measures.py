"""What losses need of the spectral measures of U and V, however they are represented."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from dmft_rf._typing import Array
from dmft_rf.curves.exact import Exact
from dmft_rf.curves.majorants import Majorants, Turning
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.rules.flow import Rule

Values = NDArray[Any]  # complex on a contour, float on the spectrum


class Measures(Protocol):
    """Integrals of functions of U, given by their values at ``points``, one row per time.

    `Nodes` has them from a contour around the spectrum, `SpectralNodes` from the spectrum itself.
    S_VV, S_VW, S_test, q_bulk and x_bulk are transforms at the points of a contour, or densities.
    """

    @property
    def model(self) -> FeatureModel:
        """The model that was solved."""

    @property
    def top(self) -> float:
        """Upper end of the spectrum."""

    @property
    def points(self) -> Values:
        """Where functions are evaluated."""

    @property
    def around_zero(self) -> bool:
        """Whether no function may have a pole at 0."""

    @property
    def exact(self) -> Exact:
        """Integrals that are known without nodes."""

    @property
    def S_VV(self) -> Values:
        """Of (1/d) Tr V^T (U - z)^{-1} V."""

    @property
    def S_VW(self) -> Values:
        """Of (1/d) Tr V^T (U - z)^{-1} M."""

    @property
    def S_test(self) -> Values:
        """Of (1/d) Tr Q M^T (U - z)^{-1} M."""

    @property
    def q_bulk(self) -> Values:
        """Of the law rho of the bulks."""

    @property
    def x_bulk(self) -> Values:
        """Of x rho."""

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """The sizes of what q_bulk and x_bulk are sums of."""

    @property
    def outside(self) -> Array:
        """Atoms that q_bulk and x_bulk leave out: location, mass, location times mass; (n, 3)."""

    @property
    def untouched(self) -> float:
        """S_test's weight on an atom at 0."""

    def turning(self, rule: Rule, tau: Array) -> Majorants | None:
        """Bounds of what the points cannot see of the rule's filter."""

    def mean(self, f: Values, atoms: slice = slice(None)) -> Array:
        """Equivalent of V^T f(U) M, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""

    def integral(
        self,
        f: Values,
        transform: Values,
        turning: Turning | None = None,
        size: Array | None = None,
    ) -> Estimate:
        """Integral of f against one of the measures."""

    def quadratic(self, f: Values, turning: Turning | None = None) -> Estimate:
        """The variance [f, f]."""

    def empirical(self, h: Values, turning: Turning | None = None) -> Estimate | None:
        """Loss of the filter h on the training samples under fresh noise; None: L_train itself."""


class ContourMeasures(Measures, Protocol):
    """Measures on a contour, which give the slope of the test loss in time as well."""

    def turning(self, rule: Rule, tau: Array) -> Majorants:
        """Bounds of what the nodes cannot see of the rule's filter."""

    def bilinear(self, f: Values, g: Values, turning_f: Turning, turning_g: Turning) -> Estimate:
        """The variance [f, g], row by row."""
