"""Advice in words: every sentence is a function of numbers, or rests on measurements named in it.

The measurements are those of docs/validation.md (images against the theory) and docs/monitor.md
(trained networks).
"""

from __future__ import annotations

import math

__all__ = [
    "CLOSING",
    "DIGITS",
    "FULL_BATCH",
    "FULL_BATCH_EXPONENT",
    "NO_PILOT",
    "PATCHES",
    "classes",
    "closeness",
    "few_images",
    "finite_size",
    "more_data",
    "on_images",
    "plain_number",
    "steps",
    "transfer",
    "usable",
    "verdict",
]

# d_eff and excess kurtosis, weighted by variance, of the two sets that were measured
DIGITS, PATCHES = (13.2, 0.0), (5.7, 16.6)

# class structures that were measured (at t = 0.1), and by how many percent the test loss was
# below that of Gaussian images with the same covariance, at its minimum and in the end
NO_HARM, NO_HARM_PERCENT = 0.17, 1
HARM, HARM_BEST, HARM_END = (0.23, 0.7), (1, 5), (4, 18)
ENOUGH = 400
"""Images from which on their class structure is seen whole."""

FULL_BATCH_EXPONENT = 0.35
"""The step of the least held-out loss grows like this power of n where batches are full."""

# of the pairs of runs with full batches: how many, predicted over true step, most times n
FULL_BATCH_PAIRS, FULL_BATCH_SHARES, FULL_BATCH_TIMES = 30, (0.38, 1.57), 8

BEYOND = "the evidence is for as many images as in the pilot to"

CLOSING = (
    "Nothing replaces a held-out set: measure the loss on images that the network never sees, and "
    "stop where it is least. Keep batch, learning rate, width and optimiser as in the pilot; steps "
    "are not comparable otherwise. If the look of samples matters, keep checkpoints from 0.2 of "
    "the predicted step on: the best samples came before the least loss. Past ratio 2 (held-out "
    "loss twice the train loss) copies of training images may follow: look for them."
)


def plain_number(value: float) -> str:
    """A number as people write it: 1,858 or 0.0553."""
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"


def verdict(n: int, n_star: float, level: float = 0.1) -> str:
    """Whether stopping matters: n against the number beyond which nothing overfits."""
    share = f"{100.0 * level:.0f} % of what there is to learn"
    if n >= n_star:
        return (
            f"Stopping does not matter: {n:,} images are more than n* = {plain_number(n_star)}, "
            f"beyond which overfitting never costs {share}."
        )
    return (
        f"Stopping matters: {n:,} images are fewer than n* = {plain_number(n_star)}, from which on "
        f"overfitting never costs {share} ({n_star / n:.3g} times as many)."
    )


def usable(start: float, end: float) -> str:
    """The usable interval, from ``start`` to ``end`` in units of its best time."""
    what = "the score error is within 10 % of its least value"
    if math.isinf(end):
        return f"from {start:.2f} times the best time on, without an end: {what}."
    return f"from {start:.2f} to {end:.2f} times the best time: there {what}."


def steps(n: int, step: float, low: float, high: float, unit: str, most: float) -> str:
    """The best step of a run on n images; nan where only a range is known, or nothing.

    The evidence reaches to ``most`` times the images of the pilot.
    """
    if math.isnan(step) and math.isnan(low):
        return f"{n:,} images: no {unit}, {BEYOND} {most:g} times as many."
    between = f"{plain_number(low)} to {plain_number(high)}"
    if math.isnan(step):
        return f"{n:,} images: best between {unit} {between}, too far from the pilot for a point."
    at = f"{n:,} images: best at {unit} {plain_number(step)}"
    return f"{at}, that of the pilot." if low == high else f"{at} (90 %: {between})."


def more_data(
    times: float, test_loss: float, score_error: float, end: float, least: float = 1e-3
) -> str:
    """What ``times`` as many images buy: factors of loss and score error, end of the interval.

    Changes of the loss below ``least`` count as none.
    """
    loss = 100.0 * (test_loss - 1.0)
    words = f"{loss:+.2g} %" if abs(test_loss - 1.0) >= least else "hardly changed"
    interval = "without an end" if math.isinf(end) else f"to {end:.2f} times its best time"
    return (
        f"{times:g} times as many images: least test loss {words}, least score error "
        f"{100.0 * (score_error - 1.0):+.2g} %, usable interval {interval}."
    )


def transfer(times: float, cost_mean: float, cost_95: float, coverage: tuple[float, float]) -> str:
    """How good steps from a pilot are, at the stored ratio of sizes nearest to ``times``.

    Costs are in percent of the held-out loss, ``coverage`` shares of pairs in the 90 % range.
    """
    low, high = (100.0 * share for share in coverage)
    return (
        f"Steps: on trained networks of two kinds, stopping at the step predicted for {times:g} "
        f"times as many images cost {cost_mean:.1f} % of the held-out loss in the mean, at most "
        f"{cost_95:.1f} % in 95 % of cases; the range held {low:.0f} to {high:.0f} % of networks "
        "of a kind that it was not taken from. The law errs early."
    )


FULL_BATCH = (
    f"Steps: with full batches the best step of U-Nets grew like n^{FULL_BATCH_EXPONENT}, that of "
    "a residual network about like n; what is given is the first, which is early for the second, "
    f"and the range is that of all {FULL_BATCH_PAIRS} pairs of runs that there are, for which the "
    f"predicted step was {FULL_BATCH_SHARES[0]} to {FULL_BATCH_SHARES[1]} times the true one, up "
    f"to {FULL_BATCH_TIMES} times as many images."
)

NO_PILOT = (
    "No steps: they need a pilot, a log or one best step of a run with the same optimiser. For "
    "Adam they never follow from theory."
)


def on_images(
    loss: float, time: float, gap: float, theory_loss: float, theory_time: float, theory_gap: float
) -> str:
    """Networks on the user's own images against the theory of their covariance."""
    when = ""
    if math.isfinite(time) and math.isfinite(theory_time):
        when = f" at {time / theory_time:.2f} times its best time"
    return (
        "Your images are not Gaussian, and d is finite: networks on the images themselves have "
        f"the least test loss {plain_number(loss)}{when}, against {plain_number(theory_loss)} of "
        f"the theory of their covariance, and a final gap of {plain_number(gap)} against "
        f"{plain_number(theory_gap)}. Score error and usable interval are those of that theory: "
        "the exact score of images is known to nobody."
    )


def finite_size(effective_dimension: float) -> str:
    """The distance to the limit of high dimension, by the user's own d_eff."""
    return (
        f"The theory is that of high dimension: with d_eff = {effective_dimension:.3g} expect "
        f"differences of order {100.0 / effective_dimension:.2g} %, most of them late in training."
    )


def closeness(kurtosis: float) -> str:
    """The distance to Gaussian data, by the user's own excess kurtosis between measured sets."""
    near, far = DIGITS[1], PATCHES[1]
    if kurtosis > far:
        where = "further from Gaussian than the patches"
    else:
        nearer = "digits" if abs(kurtosis - near) <= far - kurtosis else "patches"
        where = f"nearer to the {nearer}"
    return (
        f"It knows the covariance of the images alone. For the bundled digits (d_eff {DIGITS[0]}, "
        f"excess kurtosis {near:.1f}) its test loss was right within 3 % early in training; for "
        f"natural patches (d_eff {PATCHES[0]}, kurtosis {far}) that of the images was 26 to 28 % "
        f"below it near the minimum. Yours have kurtosis {kurtosis:.2g}: {where}."
    )


def classes(structure: float, n: int) -> str:
    """What the class structure of the images does, by what it did elsewhere; nan: not seen."""
    if math.isnan(structure):
        return f"Class structure: {n:,} images are too few to show any."
    said = f"Class structure {structure:.2g}: "
    if structure <= (NO_HARM + HARM[0]) / 2.0:
        said += (
            f"at up to {NO_HARM} and t = 0.1 the test loss of finite networks was that of Gaussian "
            f"images with the same covariance within {NO_HARM_PERCENT} %."
        )
    else:
        said += (
            f"at {HARM[0]} to {HARM[1]} and t = 0.1 the test loss of finite networks was "
            f"{HARM_BEST[0]} to {HARM_BEST[1]} % below that of Gaussian images with the same "
            f"covariance at its minimum, and {HARM_END[0]} to {HARM_END[1]} % in the end."
        )
    if n < ENOUGH:
        said += f" Fewer than {ENOUGH} images show less of it than there is."
    return said


def few_images(n: int, d: int) -> str:
    """A warning where the sample eigenvalues are not those of the images; "" where they are."""
    if n >= 10 * d:
        return ""
    return (
        f"n/d is {n / d:.2g}: below 10 the eigenvalues of the covariance of the images are spread "
        "wider than the true ones, and so are the times of the theory."
    )
