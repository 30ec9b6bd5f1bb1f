r"""Sums over the nodes of a contour, with the errors that the nodes themselves show.

With the weights w_j, for functions f given at the nodes, one row per time,

    2 Re sum_j w_j f(z_j) S(z_j)                                       (one-point)
    2 Re sum_ij u_i v_j V(z_i, z_j) + u_i conj(v_j) V(z_i, conj z_j)   (two-point)

with u = w f and v = w g.

Errors, in this order: what the trapezoidal rule aliases (`truncation`), the larger of what f and of
what ``rows`` show, which bound the part of f that the nodes cannot see, ``low`` and ``high`` saying
between which of them each time lies; three standard deviations of the rounding of the nodes; and
what all of it has in common, ``defect``, relative to the value.

Products are those of BLAS; complex rows (n, N) are real ones (n, 2 N) in them, real and imaginary
parts in turns.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit


@njit
def truncation(sums):
    """Error of the trapezoidal rule from readings of a contour, (1 + 2 n, n_tau).

    It is what the last Fourier coefficients of the integrand show, carried on to those that the
    rule aliases. Beside a pole of third order on the border of the region (1/x^3 of the late
    filters) they fall like l^2 R^{-l}, and are four times as large at 2 N as carried on from N.
    """
    half = (sums.shape[0] - 1) // 2
    plus = np.zeros(sums.shape[1])
    minus = np.zeros(sums.shape[1])
    for i in range(half):
        plus = np.maximum(plus, np.abs(sums[1 + i]))
        minus = np.maximum(minus, np.abs(sums[1 + half + i]))
    return 8.0 * (plus + minus)


@njit
def larger(error, found, low, high):
    """``error`` or what was found beside it, (n_tau,)."""
    return np.maximum(error, np.maximum(found[low], found[high]))


@njit
def one_point(f, rows, low, high, weighted, sizes, readings, defect):
    """Integral of f against a measure and its error, each (n_tau,).

    Parameters
    ----------
    f : (n_tau, N) complex array
    rows : (n, N) complex array
        Bounds of what f hides; none if n = 0.
    weighted : (N,) complex array
        Weights times the Stieltjes transform of the measure.
    sizes : (N,) array
        Rounding of each term, over |f|.
    readings : (17, 2 N) array
        Of the contour.
    """
    # as a product with f itself
    read = (readings.view(np.complex128) * np.conj(weighted)).view(np.float64)
    parts = f.view(np.float64)
    sums = np.dot(read, parts.T)
    value = 2.0 * sums[0]
    error = truncation(sums)
    if rows.shape[0] > 0:
        error = larger(error, truncation(np.dot(read, rows.view(np.float64).T)), low, high)
    rounding = np.sqrt(np.dot(parts * parts, np.repeat(sizes * sizes, 2)))
    return value, error + 6.0 * rounding + 2.0 * defect * np.abs(value)


@njit
def applied(u, v, form, readings):
    """Readings of the double integrals of the rows of u and v, (17, n)."""
    terms = np.dot(u.view(np.float64), form).view(np.complex128) * v
    return np.dot(readings, terms.view(np.float64).T)


@njit
def two_point(f, g, same, rows, rows_too, low, high, weights, form, size, noise, readings, defect):
    """Double integral of f(x) g(y) and its error, row by row, each (n_tau,).

    Parameters
    ----------
    f, g : (n_tau, N) complex arrays
    same : bool
        Whether g is f.
    rows, rows_too : (n, N) complex arrays
        Bounds of what f and g hide.
    low, high, readings
        As in `one_point`.
    weights : (N,) complex array
    form : (2 N, 2 N) array
        ``real`` of a `dmft_rf.curves.forms.Form`.
    size : (N, N) array
        What the two-point function is made of.
    noise : (N,) array
        Relative rounding at the nodes.
    """
    u = f * weights
    v = u if same else g * weights
    sums = applied(u, v, form, readings)
    value = 2.0 * sums[0]
    error = truncation(sums)
    if rows.shape[0] > 0:
        hidden = applied(rows * weights, rows_too * weights, form, readings)
        error = larger(error, truncation(hidden), low, high)
    first = np.sqrt(u.real * u.real + u.imag * u.imag)
    second = first if same else np.sqrt(v.real * v.real + v.imag * v.imag)
    squares = noise * noise
    one = second * np.dot(first, size)
    rounding = np.sqrt(np.dot(one * one, squares))
    if same:
        rounding = 2.0 * rounding
    else:
        two = first * np.dot(second, size)
        rounding = rounding + np.sqrt(np.dot(two * two, squares))
    return value, 2.0 * error + 6.0 * rounding + 4.0 * defect * np.abs(value)
