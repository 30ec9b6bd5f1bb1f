r"""Samples in groups: what the one- and two-point equations need to know of a model.

U and V of every model in this package are sums over n_j = c_j n independent columns of each of J
groups, on top of a part that is averaged over the noise exactly,

    U = b_0^2 W W^T/d + s_0^2 + (1/n) sum f f^T,     V = eta_0 W/sqrt(d) + (1/n) sum f x^T,

with f = W y/sqrt(d) + (noise of variance o_j^2), y of covariance C_j, E[f x^T] = eta_j W/sqrt(d)
and E[x x^T] = tau_j. C_j and the covariance seen by the test loss are functions of Sigma: linear
combinations of the rows of ``basis``.

    noise averaged exactly:    one group,  c = 1, C = gamma^2 lambda, o^2 = v^2, eta = tau = 0;
                               b_0 = eta_0 = b, s_0 = s
    m noise draws a sample:    the mean of a sample's draws, c = 1, C = gamma^2 lambda + b^2/m,
                               o^2 = v^2 + s^2/m, and their m - 1 differences, c = m - 1, C = b^2/m,
                               o^2 = s^2/m, both with eta = b/m, tau = 1/m;  b_0 = s_0 = eta_0 = 0

(docs/theory.md: rotating the draws of one sample so that their mean is one direction leaves
independent Gaussian columns). A mixture has such groups for every class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.model.equivalent import Coefficients


@dataclass(frozen=True, eq=False)
class SampleClass(Frozen):
    """One class of the data: its share, coefficients, and the spectrum of its covariance.

    Attributes
    ----------
    share : float
        Fraction of the samples.
    coefficients : Coefficients
        Gaussian-equivalent coefficients at this class's Tr Sigma/d.
    eigenvalues : (n_atoms,) array
        Eigenvalues of its covariance, aligned with the common weights.
    t : float
        Diffusion time.
    """

    share: float
    coefficients: Coefficients
    eigenvalues: Array
    t: float

    @lazy
    def diffused(self) -> Array:
        """Eigenvalues of Sigma_t = e^{-2t} Sigma + Delta_t, shape (n_atoms,)."""
        return math.exp(-2.0 * self.t) * self.eigenvalues + self.coefficients.Delta_t

    @property
    def linear(self) -> float:
        """a = mu_1/Gamma_t, the gain of the linear part of the activation."""
        return self.coefficients.mu1 / self.coefficients.Gamma_t


@dataclass(frozen=True, eq=False)
class SampleGroups(Frozen):
    """Groups of columns; J of them, F rows in the basis.

    Attributes
    ----------
    par : (5,) array
        psi_p, psi_n, b_0^2, s_0^2, and psi_p - sum c psi_n close to interpolation, where that
        difference decides (infinity elsewhere).
    label, spread : float
        eta_0, and b_0^2 - eta_0^2: the variance of b over the classes.
    count : (J,) array
        c_j, columns over n.
    basis : (F, n_atoms) array
        Functions of Sigma; the first is 1.
    signal : (J, F) array
        C_j in the basis.
    noise : (J,) array
        o_j^2.
    labels, sizes : (J,) arrays
        eta_j and tau_j.
    test : (F,) array
        sum over the classes of share a^2 Sigma_t, in the basis.
    weights : (n_atoms,) array
    """

    par: Array
    label: float
    spread: float
    count: Array
    basis: Array
    signal: Array
    noise: Array
    labels: Array
    sizes: Array
    test: Array
    weights: Array

    @lazy
    def covariances(self) -> Array:
        """C_j at the atoms, shape (J, n_atoms)."""
        return np.ascontiguousarray(self.signal @ self.basis)

    @property
    def closed_form(self) -> bool:
        """Whether the closed form applies: one group, and nothing of its labels in its columns."""
        return self.count.size == 1 and not self.sizes.any()

    @lazy
    def two_unknowns(self) -> tuple[Array, Array, Array]:
        """Arguments of kernels.closed_form after the point: par, lam, w."""
        v2, gamma2 = self.noise[0], self.signal[0, 1]
        par = np.array([*self.par[:3], v2, self.par[3], gamma2])
        return par, self.basis[1], self.weights

    @lazy
    def from_floor(self) -> SampleGroups:
        """The same with s_0^2 = 0: eigenvalues are measured from the floor of the spectrum."""
        par = self.par.copy()
        par[3] = 0.0
        return replace(self, par=par)

    @property
    def one_point(self) -> tuple[Array, ...]:
        """Arguments of kernels.grouped after the point: par, c, C, o2, w."""
        return self.par, self.count, self.covariances, self.noise, self.weights

    @property
    def columns(self) -> float:
        """Columns with noise of their own, per d: their number bounds the rank of their part."""
        return float(self.par[1] * self.count[self.noise > 0.0].sum())

    @property
    def label_mass(self) -> float:
        """(1/d) Tr V^T V, the integral of 1 against the measure of S_VV.

        psi_p [(eta_0 + sum c eta)^2 + (1/psi_n) sum c tau (<C> + o^2)].
        """
        mean = self.covariances @ self.weights
        linear = self.label + float(self.count @ self.labels)
        scatter = float((self.count * self.sizes) @ (mean + self.noise)) / self.par[1]
        return float(self.par[0] * (linear**2 + scatter))


def sample_groups(
    psi_p: float, psi_n: float, draws: float, classes: tuple[SampleClass, ...], weights: Array
) -> SampleGroups:
    """The groups of a model with ``draws`` noise draws per sample (an integer, or infinity)."""
    F = 1 + len(classes)
    basis = np.stack([np.ones(weights.size), *(c.eigenvalues for c in classes)])
    rows: list[tuple[float, Array, float, float, float]] = []
    b2 = s2 = label = 0.0
    test = np.zeros(F)
    for i, one in enumerate(classes):
        c = one.coefficients
        own = np.zeros(F)
        own[1 + i] = c.gamma2
        test[0] += one.share * one.linear**2 * c.Delta_t
        test[1 + i] = one.share * one.linear**2 * math.exp(-2.0 * one.t)
        if math.isinf(draws):
            rows.append((one.share, own, c.v2, 0.0, 0.0))
            b2 += one.share * c.b**2
            s2 += one.share * c.s2
            label += one.share * c.b
            continue
        noise = np.zeros(F)
        noise[0] = c.b**2 / draws
        eta, tau = c.b / draws, 1.0 / draws
        rows.append((one.share, own + noise, c.v2 + c.s2 / draws, eta, tau))
        if draws > 1:
            rows.append((one.share * (draws - 1), noise, c.s2 / draws, eta, tau))
    count, signal, o2, labels, sizes = (np.array(column) for column in zip(*rows, strict=True))
    excess = psi_p - psi_n * float(count.sum())
    near = b2 == 0.0 and abs(excess) < 0.5 * psi_p
    return SampleGroups(
        par=np.array([psi_p, psi_n, b2, s2, excess if near else math.inf]),
        label=label,
        spread=sum(c.share * (c.coefficients.b - label) ** 2 for c in classes) if label else 0.0,
        count=count,
        basis=basis,
        signal=signal,
        noise=o2,
        labels=labels,
        sizes=sizes,
        test=test,
        weights=weights,
    )
