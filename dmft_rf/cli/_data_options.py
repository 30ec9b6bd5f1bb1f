"""Options for what people have instead of the theory's parameters: images, sizes, noise levels."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmft_rf.cli._parameters import argument, option
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.model.covariance import Covariance


# diffusion time where none is stated
_T = 0.01


@dataclass(frozen=True)
class DataOptions:
    """Files: how they become samples."""

    dataset: str | None = option("Which array of an .npz or .h5 file.", metavar="NAME")
    header: bool | None = option(
        "Whether the first line of a .csv or .txt file is a header; found out by default.",
        flag="--header/--no-header",
        show_default=False,
    )
    leave_out: str | None = option(
        "Columns of --data that are no features, such as labels, counted from 1, or from the end, "
        "as 1,-1; none if all are. By default what looks like one is refused.",
        metavar="COLUMNS",
    )
    resize: str | None = option(
        "Bring the images of a folder to this size, in pixels. By the means of what a new pixel "
        "covers.",
        metavar="H[xW]",
    )
    grey: bool | None = option("Make the images of a folder grey.")
    center: bool | None = option(
        "Take the mean of the samples out of --data; done by default.",
        flag="--center/--no-center",
        show_default=False,
    )

    def read(self, source: str) -> Covariance:
        """Return the covariance of a file or a folder."""
        size = self.image_size()
        leave_out = None if self.leave_out is None else columns_of(self.leave_out)
        from dmft_rf.cli._progress import progress
        from dmft_rf.data.read import read_covariance

        # a file of samples does not say how much of it has been read
        with progress("images") if os.path.isdir(source) else nullcontext() as advance:
            return read_covariance(
                source,
                center=self.center,
                dataset=self.dataset,
                header=self.header,
                leave_out=leave_out,
                resize=size,
                grey=bool(self.grey),
                progress=advance,
            )

    def image_size(self) -> tuple[int, int] | None:
        """Of --resize."""
        if self.resize is None:
            return None
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", self.resize, re.ASCII)
        if found is None:
            from dmft_rf._convert import shown

            raise ModelError(f"--resize is {shown(self.resize)}; it must be as 32 or 32x48")
        return int(found[1]), int(found[2] or found[1])


@dataclass(frozen=True)
class _Source:
    source: str = argument(
        "File of samples, folder of images, or the bundled data set 'digits'.", metavar="DATA"
    )


@dataclass(frozen=True)
class SourceOptions(DataOptions, _Source):
    """The samples of the command ``covariance``."""


@dataclass(frozen=True)
class SizeOptions:
    """Model: samples and trained parameters, instead of psi_n and psi_p."""

    samples: int | None = option("Samples n, instead of --psi-n.")
    parameters: float | None = option(
        "Parameters P of the trained layer, d x p, instead of --psi-p: psi_p = P/d^2."
    )

    def check_sizes(self, psi_p: float | None, psi_n: float | None) -> None:
        """Refuse what needs no data to be found wrong."""
        from dmft_rf.model.practice import psi_n_of, psi_p_of

        if self.samples is not None:
            if psi_n is not None:
                raise ModelError("--samples and --psi-n exclude one another")
            psi_n_of(self.samples, 1, "--samples")
        if self.parameters is not None:
            if psi_p is not None:
                raise ModelError("--parameters and --psi-p exclude one another")
            psi_p_of(self.parameters, 1, "--parameters")

    def sizes(self, dimension: int | None) -> tuple[dict[str, float], dict[str, str]]:
        """psi_n and psi_p, as far as they are stated in numbers, and how."""
        from dmft_rf.model.practice import psi_n_of, psi_p_of

        found: dict[str, float] = {}
        words: dict[str, str] = {}
        if self.samples is not None:
            found["psi_n"] = psi_n_of(self.samples, dimension, "--samples")
            words["psi_n"] = f"n = {self.samples} samples"
        if self.parameters is not None:
            found["psi_p"] = psi_p_of(self.parameters, dimension, "--parameters")
            words["psi_p"] = f"P = {self.parameters:g} trained parameters, psi_p = P/d^2"
        return found, words


@dataclass(frozen=True)
class NoiseLevelOptions:
    """Noise level: the diffusion time, as the schedules of real networks state it."""

    sigma: float | None = option("Noise level of EDM (x_0 + sigma z) instead of --t.")
    alpha_bar: float | None = option("Share of signal, alphas_cumprod, instead of --t.")
    log_snr: float | None = option("log(alpha_bar/(1 - alpha_bar)) instead of --t.")
    ddpm_step: float | None = option("Step of DDPM's schedule, from 0, instead of --t.")
    ddpm_schedule: str | None = option(
        "linear (1e-4 to 0.02) or cosine, of 1000 steps by default.", metavar="NAME[:STEPS]"
    )

    def time(self, t: float | None) -> tuple[float, str | None]:
        """The diffusion time, and what it was taken from if not from --t."""
        names = ("sigma", "alpha_bar", "log_snr", "ddpm_step")
        given = [name for name in names if getattr(self, name) is not None]
        flags = [*(["--t"] if t is not None else []), *(f"--{g.replace('_', '-')}" for g in given)]
        if len(flags) > 1:
            raise ModelError(f"{flags[0]} and {flags[1]} exclude one another")
        if self.ddpm_schedule is not None and given != ["ddpm_step"]:
            raise ModelError("--ddpm-schedule is an option of --ddpm-step, which is not given")
        if not given:
            return _T if t is None else t, None
        from dmft_rf import units

        value = getattr(self, given[0])
        if given[0] != "ddpm_step":
            time = float(getattr(units, f"t_from_{given[0]}")(value))
            return time, f"{flags[0][2:]} = {value:.6g}"
        name, steps = self._schedule()
        time = float(units.t_from_ddpm(value, schedule=name, steps=steps))
        return time, f"step {value:g} (from 0) of DDPM's {name} schedule of {steps}"

    def _schedule(self) -> tuple[str, int]:
        if self.ddpm_schedule is None:
            return "linear", 1000
        found = re.fullmatch(r"([a-z]+)(?::([0-9]{1,7}))?", self.ddpm_schedule, re.ASCII)
        if found is None:
            from dmft_rf._convert import shown

            raise ModelError(
                f"--ddpm-schedule is {shown(self.ddpm_schedule)}; it must be as linear, cosine or "
                "linear:4000"
            )
        return found[1], int(found[2] or 1000)


def columns_of(text: str) -> list[int]:
    """Return the column numbers of --leave-out."""
    try:
        return [] if text.strip() == "none" else [int(part) for part in text.split(",")]
    except ValueError:
        raise ModelError(
            f"--leave-out is {text!r}; it must be column numbers separated by commas, or none"
        ) from None


def scale_advice(mean: float, is_kept: bool, level: str | None) -> str | None:
    """What to say about data whose scale may not be what was meant, None for nothing.

    Parameters
    ----------
    mean : float
        Mean eigenvalue of the samples as they are in the file.
    is_kept : bool
        Whether the model has it, too; else it was made 1.
    level : str or None
        The noise level of a real network's schedule, if one was stated.
    """
    from dmft_rf.model.practice import scale_of

    words = scale_of(mean)
    if words is None:
        return None
    if is_kept:
        if level is not None and mean < 1.0:
            return None  # pixels from -1 to 1 and the schedule for them
        return (
            f"{words}, and that of the noise is 1: --normalize makes it 1, --scale multiplies the "
            "samples by a number"
        )
    if level is None:
        return None
    return (
        f"{words}, and was made 1; {level} is a noise level for data at the scale at which the "
        "network sees them, which --no-normalize keeps and --scale sets (0.00784 turns 0 to 255 "
        "into -1 to 1)"
    )
