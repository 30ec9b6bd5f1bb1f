r"""One- and two-point functions of U on a contour around its support.

Solving is done once; every training rule at every time is then a sum over the nodes (one-point)
and a quadratic form in them (two-point). The nodes themselves give the error: the Fourier
coefficients of each integrand around the contour fall geometrically, and the trapezoidal rule is
off by those of too high an order for the nodes. They are extrapolated from the last ones that the
nodes resolve, and the rounding of the sum is added.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.direction_pairs import DirectionPairs
from dmft_rf.curves.exact import Exact, exact_integrals, untouched
from dmft_rf.curves.forms import Form, parts, real_of_product
from dmft_rf.curves.majorants import Few, Majorants, Turning, hidden
from dmft_rf.curves.two_point import GroupedPairs, OneGroupPairs
from dmft_rf.kernels import contour_sums
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.contour import Contour, contour_in
from dmft_rf.numerics.estimate import EPS, Estimate
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import Rule
from dmft_rf.spectra.resolvent import Resolvent, solved_at

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import Spectrum

# beyond these a solution would not fit a laptop's memory
MOST_NODES = 1500

WHOLE = slice(None)


class Nodes(Frozen):
    """Integrals against the spectral measures of U and V, from values on a contour.

    The functions of U to be integrated are given by their values at ``points``, one row per
    time, and must be real on the real axis and analytic inside the contour.

    All of it is made of one object, the `Resolvent` at the nodes, and of the two-point functions
    that `two_point` makes of it. A further model plugs in below: its spectrum gives the ends and
    atoms of the support and the solution at z = 0, its ``groups`` the equations, and its
    ``classes`` what the losses weigh.

    An atom of U above 0 is left out of ``q_bulk`` and ``x_bulk``, wherever the contour runs, and
    one at 0 is in them if the contour encloses it: `outside` lists what has to be added.

    Parameters
    ----------
    law : Spectrum
    contour : Contour
    general : bool
        Solve the equations of any number of groups where there is a closed form too.
    resolvent : Resolvent, optional
        The solution at the nodes, where it is known.
    """

    _content: ClassVar[tuple[str, ...]] = ("law", "contour", "resolvent")

    def __init__(
        self,
        law: Spectrum,
        contour: Contour,
        *,
        general: bool = False,
        resolvent: Resolvent | None = None,
    ):
        self.law = law
        self.contour = contour
        self.resolvent = resolvent or solved_at(law.model, contour.z, general=general)
        fast = law.model.groups.closed_form and not general
        self.pairs = (OneGroupPairs if fast else GroupedPairs)(self.resolvent)
        self.seal()

    @property
    def model(self) -> FeatureModel:
        """The model that was solved."""
        return self.law.model

    @property
    def points(self) -> Complex:
        """Nodes in the upper half-plane, shape (N,)."""
        return self.contour.z

    @property
    def top(self) -> float:
        """Upper end of the spectrum."""
        return self.law.ends[1]

    @property
    def around_zero(self) -> bool:
        """Whether the region of the contour holds z = 0, so that no function may have a pole there.

        They lead around 0 at a hard edge and close to it.
        """
        return self.contour.start < 0.0

    @property
    def outside(self) -> Array:
        """Atoms that q_bulk and x_bulk leave out: location, mass, location times mass; (n, 3)."""
        atoms = with_first_moment(self.law.atoms)
        return atoms[[place > 0.0 or not self.contour.encloses(0.0) for place in atoms[:, 0]]]

    @property
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V."""
        return self.resolvent.S_VV

    @property
    def S_VW(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} M."""
        return self.resolvent.S_VW

    @property
    def S_test(self) -> Complex:
        """(1/d) Tr Q M^T (U - z)^{-1} M."""
        return self.resolvent.S_test

    @lazy
    def flow(self) -> Any:
        """What compiled calls take of it, put here by `fused`; None where they do not apply."""
        return None

    @property
    def variance(self) -> tuple[Complex, Complex]:
        """At (z_i, z_j) and (z_i, conj z_j), each (N, N)."""
        return self.pairs.variance

    @lazy
    def directions(self) -> DirectionPairs:
        """Two-point functions of single directions of the data."""
        return DirectionPairs(self.resolvent)

    @property
    def q_bulk(self) -> Complex:
        """(1/p) Tr (U - z)^{-1} of the bulks, the transform of their law rho."""
        return self._bulks[0]

    @property
    def x_bulk(self) -> Complex:
        """(1/p) Tr U (U - z)^{-1} of the bulks, the transform of x rho."""
        return self._bulks[1]

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """The sizes of what q_bulk and x_bulk are sums of, each (N,)."""
        return self._bulks[2], self._bulks[3]

    @property
    def cancelled(self) -> Array:
        """What forming the transforms makes of rounding at most, shape (N,)."""
        return self.resolvent.cancelled

    @property
    def solved(self) -> tuple[int, float]:
        """Newton steps in total, and the relative size of the largest of the last ones."""
        return self.resolvent.iterations, float(self.resolvent.residual.max())

    @lazy
    def exact(self) -> Exact:
        """Integrals that are known without a contour."""
        return exact_integrals(self.model.groups, *self.law.at_zero[:2])

    @lazy
    def _bulks(self) -> tuple[Complex, Complex, Array, Array]:
        """q_bulk and x_bulk, and the sizes of their terms.

        With the floor s_0^2 of the law and r, E_j, C_j, o_j as in dmft_rf.model.columns, the one-
        point equations give the transforms of x - s_0^2, in which an atom at the floor does not
        show, and of 1 without the atom, neither as a difference of large numbers:

            psi_p (z - s_0^2) q_bulk = k <r> - sum_j (c_j/E_j) (psi_n + <C_j r>)    (all o_j > 0)
            psi_p (x_bulk - s_0^2 q_bulk) = <beta r> - sum_j c_j o_j^2/(E_j k).

        Where the noise is drawn (b_0 = s_0 = 0) an atom at 0 is a pole of q = -1/(psi_p k).
        """
        g, z, s = self.model.groups, self.points, self.resolvent
        k, r = s.k, s.r
        psi_p, psi_n, b2, floor, _ = g.par
        share, size = g.count / s.E, np.abs(r)
        weighted = (g.covariances * g.weights).T
        signal, signal_size = r @ weighted, size @ weighted
        S, S_size = s.mean, size @ g.weights
        own = g.noise > 0.0
        x = b2 * S + (share * (signal - g.noise / k[:, None])).sum(axis=1)
        x_size = b2 * S_size + (np.abs(share) * (signal_size + g.noise / np.abs(k)[:, None])).sum(
            axis=1
        )
        q, q_size = s.q, np.abs(s.q)
        if b2 > 0.0 and self.law.atoms.size:
            gap, gap_size = psi_p * (z - floor), psi_p * np.abs(z - floor)
            rest = (psi_n + signal)[:, own] * share[:, own]
            rest_size = (psi_n + signal_size)[:, own] * np.abs(share[:, own])
            q = (k * S - rest.sum(axis=1)) / gap
            q_size = (np.abs(k) * S_size + rest_size.sum(axis=1)) / gap_size
            q_size *= 1.0 + psi_p * np.abs(z) / gap_size
        return q, x / psi_p + floor * q, q_size, x_size / psi_p + floor * q_size

    def turning(self, rule: Rule, tau: Array) -> Majorants:
        """Bounds of what the nodes cannot see of the rule's filter at the times ``tau``."""
        return Majorants(rule, self.contour, tau, self.model.rate, Few.of(tau))

    def mean(self, f: NDArray[Any], atoms: slice = WHOLE) -> Array:
        """Equivalent of V^T f(U) M, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""
        found: Array = parts(f) @ self._signal_parts[:, atoms]
        return found

    @lazy
    def _signal_parts(self) -> Array:
        return real_of_product(2.0 * self.contour.weights[:, None] * self.resolvent.signal)

    def integral(
        self,
        f: NDArray[Any],
        transform: NDArray[Any],
        turning: Turning | None = None,
        size: Array | None = None,
    ) -> Estimate:
        """Integral of f against the measure with this Stieltjes transform.

        Parameters
        ----------
        f : (n_tau, N) array
        transform : (N,) array
        turning : Turning, optional
            Bounds of the part of f that turns more often than the nodes can see (`majorants`).
        size : (N,) array, optional
            Of what the transform is a sum of, where that is larger than the transform.
        """
        w = self.contour.weights
        sizes = np.abs(w) * (np.abs(transform) if size is None else size)
        sizes *= self.cancelled * self.noise
        f = np.ascontiguousarray(f, np.complex128)
        rows, few = hidden(f, turning)
        found = contour_sums.one_point(
            f, rows, few.low, few.high, w * transform, sizes, self.contour.readings, self.defect
        )
        return Estimate(*found)

    def quadratic(self, f: NDArray[Any], turning: Turning | None = None) -> Estimate:
        """The variance [f, f]."""
        return self.form(f, self._variance_form, turning)

    @lazy
    def _variance_form(self) -> Form:
        return Form.of(*self.pairs.variance, self.pairs.size)

    def form(self, f: NDArray[Any], form: Form, turning: Turning | None = None) -> Estimate:
        """Double integral of f(x) f(y) against a two-point function; ``turning`` as in integral."""
        return self.mixed(form, f, f, turning, turning)

    def bilinear(self, f: Complex, g: Complex, turning_f: Turning, turning_g: Turning) -> Estimate:
        """The variance [f, g], row by row; what bounds f and g as in integral."""
        return self.mixed(self._variance_form, f, g, turning_f, turning_g)

    def mixed(
        self,
        form: Form,
        f: Complex,
        g: Complex,
        turning_f: Turning | None,
        turning_g: Turning | None,
    ) -> Estimate:
        """Double integral of f(x) g(y) against a two-point function, row by row."""
        same, c = f is g, self.contour
        f = np.ascontiguousarray(f, np.complex128)
        g = f if same else np.ascontiguousarray(g, np.complex128)
        (rows, few), (rows_too, _) = hidden(f, turning_f), hidden(g, turning_g)
        found = contour_sums.two_point(
            f, g, same, rows, rows_too, few.low, few.high,
            c.weights, form.real, form.size, self.noise, c.readings, self.defect,
        )  # fmt: skip
        return Estimate(*found)

    def empirical(self, h: NDArray[Any], turning: Turning | None = None) -> Estimate | None:
        """Loss of the filter h on the training samples under fresh noise.

        1 - 2 <b> S_VW[h] + (1/d) Tr V^T h(U) U' h(U) V. None where the noise is averaged exactly:
        it is the training loss itself.
        """
        if math.isinf(self.model.noise_draws):
            return None
        b = sum(one.share * one.coefficients.b for one in self.model.classes)
        start = Estimate.exact(np.ones(h.shape[0]))
        return start.plus(
            (-2.0 * b, self.integral(h, self.S_VW, turning)),
            (1.0, self.form(h, self._fresh_form, turning)),
        )

    @lazy
    def _fresh_form(self) -> Form:
        assert isinstance(self.pairs, GroupedPairs)
        return Form.of(*self.pairs.fresh(self.model.classes))

    @lazy
    def untouched(self) -> float:
        """S_test's weight on an atom at 0; nothing where U holds b_0^2 M M^T itself."""
        atoms, groups = self.law.atoms, self.model.groups
        if atoms.size == 0 or atoms[0, 0] > 0.0 or groups.par[2] > 0.0:
            return 0.0
        return untouched(groups, float(atoms[0, 1]), self.law.at_zero.e)

    @property
    def train_limit(self) -> float:
        """Training loss of minimum-norm least squares, 1 - S_VV[1/x]."""
        return self.exact.train_limit

    @lazy
    def defect(self) -> float:
        """Relative error of exact integrals against the measure of S_VV, [1] and [1/x].

        The first sees the upper end of the spectrum, the second the lower one; what is wrong with
        nodes, weights and solutions, rounding included, shows in them. A contour around z = 0
        knows the first only.
        """
        f = np.stack([np.ones_like(self.points), 1.0 / self.points])
        found = 2.0 * (f @ (self.contour.weights * self.S_VV)).real
        exact = np.array([self.exact.mass, self.exact.inverse])
        error = np.abs(found / exact - 1.0)
        return float(error[0] if self.around_zero else np.max(error))

    @lazy
    def noise(self) -> Array:
        """Rounding of the place of each node and of the unknowns there, relative, shape (N,).

        What is wrong at one node is independent of what is wrong at another.

        Nodes and weights are exponentials of numbers up to ln(M/m)/2, which they lose digits to; at
        the right end of a region nodes lose them in their distance from it only. The unknowns have
        the rounding of their equations: of z, and of the terms that it is a sum of, times dk/dz.
        """
        z, start, end = self.points, self.contour.start, self.contour.end
        low, high = self._around
        places = 1.0 + 0.5 * math.log((high - start) / (low - start))
        moved = places * np.abs(1.0 - (z - start) / (end - start)) + 1.0
        psi_p, k = self.model.psi_p, self.resolvent.k
        terms = np.abs(z - start) * moved + psi_p * np.abs(k) * (1.0 + self.bulk_sizes[1])
        unknowns = (terms + abs(start)) * np.abs(self.resolvent.dk / k)
        noise: Array = EPS * (places + unknowns)
        return noise

    @property
    def _around(self) -> tuple[float, float]:
        """The ends of what the contour leads around."""
        return self.law.ends


def with_first_moment(atoms: Array) -> Array:
    """Atoms (location, mass) with location times mass in a third column."""
    return np.column_stack([atoms, atoms[:, 0] * atoms[:, 1]])


@ieee
def nodes_on_contour(law: Spectrum, region: Region, size: int, low: float | None = None) -> Nodes:
    """One- and two-point functions on a contour in ``region``.

    It leads around what is ``enclosed``, or around all from ``low`` on.
    """
    m, M = enclosed(law, region)
    contour = contour_in(region, m if low is None else low, M, size)
    return Nodes(law, contour)


def enclosed(law: Spectrum, region: Region) -> tuple[float, float]:
    """The ends of what a contour in ``region`` leads around.

    The support and, where the region holds it, an atom at 0: it is a pole that a contour between
    it and the support would come too close to.
    """
    m, M = law.ends
    pole = region.start < 0.0 and any(place == 0.0 for place, _ in law.atoms)
    return (0.0 if pole else m), M
