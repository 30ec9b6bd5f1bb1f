"""The profiles of runs: lists of settings, the cheap ones first."""

import dataclasses
from typing import Any

from dmft_rf import ModelError
from validation.networks.run.plan import CASES, SGD_RATE, Setting

PROFILES = ("quick", "paper", "transfer", "noise")
DIMENSION = 8  # of the mixture


def profile(name: str, case: str | None = None, data: str | None = None) -> list[Setting]:
    """The runs of a profile.

    Parameters
    ----------
    name : {"quick", "paper", "transfer", "noise"}
    case : {"images", "mixture"}, optional
        Only these.
    data : str, optional
        Other images than the profile's.

    Raises
    ------
    ModelError
        If there is no such profile or case.
    """
    if name not in PROFILES:
        raise ModelError(f"profile is {name!r}; it must be one of {', '.join(PROFILES)}")
    if case is not None and case not in CASES:
        raise ModelError(f"case is {case!r}; it must be one of {', '.join(CASES)}")
    if data is not None and case == "mixture":
        raise ModelError("data are of the case images; the mixture draws its own")
    runs = {"quick": _quick, "paper": _paper, "transfer": _transfer, "noise": _noise}[name](data)
    return [run for run in runs if case is None or run.case == case]


def _quick(data: str | None) -> list[Setting]:
    small: dict[str, Any] = {
        "per_decade": 5, "noisy": 128, "held_out": 128, "generated": 64, "sampler_steps": 20,
        "stop_ratio": 3.0, "stop_memorized": 2.0,
    }  # fmt: skip
    images = [
        Setting("images", data or "digits", 8, n, 16, 0, "adam", 2e-3, 64, 600, **small)
        for n in (8, 32)
    ]
    mixture = [
        Setting("mixture", "mixture", DIMENSION, n, 64, 0, "adam", 2e-3, 64, 1500, **small)
        for n in (8, 32)
    ]
    return images + mixture


def _paper(data: str | None) -> list[Setting]:
    return [
        *_images_law(data, range(3)),
        *_mixture_law(range(3)),
        *_widths(data),
        *_optimisers(data),
        *_few_pixels(data),
        *_mixture_widths(),
        *([] if data else _guided()),
    ]


def _image(
    data: str | None, n: int, width: int, seed: int, *, optimiser: str = "adam",
    rate: float = 2e-3, batch: int = 64, steps: int | None = None, **other: Any,
) -> Setting:  # fmt: skip
    return Setting(
        "images", data or "fashion", 16, n, width, seed, optimiser, rate, batch,
        steps or max(4000, 220 * n), 2.5, other.pop("stop_memorized", 0.6), **other,
    )  # fmt: skip


def _images_law(data: str | None, seeds: range) -> list[Setting]:
    """tau against n at one width: the main line, seed after seed."""
    return [_image(data, n, 32, s) for s in seeds for n in (16, 32, 64, 128, 256, 512)]


def _few_pixels(data: str | None) -> list[Setting]:
    """tau against n on pictures of 8 x 8 pixels, n up to 16 d, by rule and size of the batch.

    Dated at the time index 50, where the solvable model of as many parameters reaches the ratio of
    losses at every n; at 100 it stops doing so at n = 2048. Runs end at that ratio. Gradient flow
    has no noise: it needs as many steps with either batch, and steps in proportion to 1/rate.
    Batches of 512 have an eighth of the gradient's noise; rates of an eighth and a sixty-fourth
    show what is left of it in the same time rate x steps. The largest sizes have fewer seeds.
    """
    seeds = {512: 2, 1024: 1}
    # optimiser, rate, batch, largest n as a power of two, seeds at most
    lines = (
        ("adam", 2e-3, 512, 10, 3),
        ("adam", 2e-3, 64, 9, 3),
        ("sgd", SGD_RATE, 512, 8, 3),
        ("sgd", SGD_RATE, 64, 9, 3),
        ("sgd", SGD_RATE / 8, 64, 9, 3),
        ("sgd", SGD_RATE / 64, 64, 8, 1),
    )
    return [
        dataclasses.replace(
            _image(
                data, n, 32, s, optimiser=rule, rate=rate, batch=batch, stop_memorized=0.0,
                steps=round(400 * n * SGD_RATE / rate) if rule == "sgd" else None,
            ),
            side=8, indices=(50, 20, 100, 200, 400),
        )
        for s in range(3)
        for rule, rate, batch, largest, most in lines
        for n in (2**k for k in range(6, largest + 1))
        if s < min(most, seeds.get(n, 3))
    ]  # fmt: skip


def _noise(data: str | None) -> list[Setting]:
    """What the noise of the gradient does: jitter, or other dynamics, until the ratio of losses.

    The runs of `_few_pixels` with the most noise, without samples and from step 100 on. A stretch
    of 4 is a quarter of the time rate x steps in which the least n memorizes almost without noise.
    """
    return [
        dataclasses.replace(
            _image(
                data, n, 32, s, optimiser="sgd", rate=SGD_RATE, steps=100 * n, stop_memorized=0.0,
            ),
            side=8, indices=(50, 20, 100, 200, 400), stop_ratio=2.05, first=100, generated=0,
            calm=(0.25, 1.0, 4.0),
        )
        for s in range(3)
        for n in (64, 128, 256)
    ]  # fmt: skip


def _widths(data: str | None) -> list[Setting]:
    """tau against W, and the (n, W) diagram at one budget; W = 32 comes from the main line.

    The widest networks are trained until tau_gen only.
    """
    law = [
        _image(data, n, width, s, steps=30_000)
        for s in range(3)
        for n in (32, 128, 512)
        for width in (8, 16, 48)
    ]
    law += [_image(data, 2048, width, 0, steps=30_000) for width in (8, 16, 32, 48)]
    return law + [
        _image(data, n, width, 0, steps=400) for n in (64, 128, 256) for width in (64, 96)
    ]


def _optimisers(data: str | None) -> list[Setting]:
    """Whether the law depends on the rule, or on how often a sample is seen.

    Full batches show every sample equally often at equal steps, whatever n is. Adam divides by the
    size of the gradient, noise included, which falls with n there: it speeds up where momentum
    does not.
    """
    rules: tuple[dict[str, Any], ...] = (
        {"optimiser": "sgd", "rate": SGD_RATE},
        {"optimiser": "sgd", "rate": SGD_RATE, "batch": 0},
        {"batch": 0, "copies": 4},
    )
    per_sample = (400, 400, 220)  # steps
    return [
        _image(data, n, 32, s, steps=max(4000, most * n), **rule)
        for s in range(3)
        for rule, most in zip(rules, per_sample, strict=True)
        for n in (16, 32, 64)
    ]


def _mixture_law(seeds: range) -> list[Setting]:
    """The mixture in d = 8, width 128, where the population score is known."""
    return [
        Setting(
            "mixture", "mixture", DIMENSION, n, 128, s, "adam", 1e-3, 64, max(4000, 400 * n),
            2.5, 0.6, noisy=2048, held_out=2048, generated=1024,
        )
        for s in seeds
        for n in (16, 32, 64, 128, 256, 512)
    ]  # fmt: skip


def _guided() -> list[Setting]:
    """Classifier-free guidance on labelled pictures, 8 x 8."""
    return [
        Setting(
            "images", "fashion", 8, n, 256, seed, "adam", 1e-3, 64, max(4000, 220 * n), 2.5, 0.2,
            indices=(50, 20, 100, 200, 400), per_decade=8, network="residual", guidance=1.0,
        )
        for seed in range(2)
        for n in (32, 64, 128, 256)
    ]  # fmt: skip


def _mixture_widths() -> list[Setting]:
    """Quality of the mixture by the Kullback-Leibler divergence, for several n and widths.

    Momentum in batches of 512, as in the paper's programs; runs end when the loss ratio and the
    memorized fraction are dated.
    """
    sizes = {128: (16, 32, 64, 128, 256), 64: (32, 128), 32: (32, 128), 256: (32, 128)}
    return [
        Setting(
            "mixture", "mixture", DIMENSION, n, width, s, "sgd", SGD_RATE, 512, 40_000, 2.2, 0.15,
            per_decade=8, first=4, generated=512, divergence=256,
        )
        for s in range(3)
        for width, several in sizes.items()
        for n in several
    ]  # fmt: skip


def _transfer(data: str | None) -> list[Setting]:
    """Other data sets and another network, for how the best step grows with n.

    Losses at one time index are all that is measured. Runs end at the ratio 2 of losses: at n = 64
    (seed 99, not among these) the held-out loss was least at ratios of 1.3 to 1.5. The cheapest and
    most telling lines come first, and the largest sets last.
    """
    unet, residual = {"width": 32, "rate": 2e-3}, {"network": "residual", "rate": 1e-3}
    narrow, wide = {"width": 128, **residual}, {"width": 256, **residual}
    momentum = {"optimiser": "sgd", "rate": SGD_RATE}
    batch, full, four = {"batch": 64}, {"batch": 0}, {"batch": 0, "copies": 4}
    # images, side, network, rule, least and largest n as powers of two, steps for each sample
    lines: tuple[tuple[str, int, dict[str, Any], dict[str, Any], int, int, int], ...] = (
        ("digits", 8, narrow, batch, 6, 9, 220),
        ("mnist", 8, wide, batch, 6, 9, 220),
        ("mnist", 8, unet, batch, 6, 9, 220),
        ("mnist", 8, wide, {**momentum, **batch}, 6, 9, 400),
        ("fashion", 8, wide, batch, 6, 8, 220),
        ("mnist", 16, wide, batch, 6, 9, 220),
        ("digits", 8, unet, batch, 6, 8, 220),
        ("mnist", 16, unet, batch, 6, 9, 220),
        ("digits", 8, narrow, {**momentum, **full}, 5, 8, 400),
        ("mnist", 8, wide, {**momentum, **full}, 5, 8, 400),
        ("mnist", 8, wide, four, 5, 7, 220),
    )
    return [
        Setting(**{
            "case": "images", "data": data or images, "side": side, "n": 2**k, "seed": seed,
            "optimiser": "adam", "steps": max(4000, most << k), "stop_ratio": 2.0,
            "stop_memorized": 0.0, "generated": 0, "indices": (50 if side == 8 else 100,),
            **network, **rule,
        })
        for sizes in (range(5, 9), (9,))
        for images, side, network, rule, least, largest, most in lines
        for k in sizes
        for seed in range(2)
        if least <= k <= largest
    ]  # fmt: skip
