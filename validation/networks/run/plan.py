"""One run is one frozen `Setting`: all that decides its outcome, and its name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf import ModelError

CASES = ("images", "mixture")
#: learning rate of gradient descent with momentum: of 0.02 and 0.1, tried at n = 16, the one that
#: reaches the loss ratio 2 sooner; it is nearly as fast as Adam there
SGD_RATE = 0.1
MOMENTUM = 0.95
#: by how much the rate falls where it is seen what of the losses relaxes
CALMER = 16


@dataclass(frozen=True)
class Setting:
    """All that decides the outcome of a run.

    Attributes
    ----------
    case : str
        ``images`` (U-Net) or ``mixture`` (residual network).
    data : str
        Name or path of the images; ``mixture``.
    side : int
        Pixels along a side, or the dimension of the mixture.
    n, width, seed : int
        Training samples, channels of the first level (or units), and the seed of everything.
    optimiser : str
        ``adam`` or ``sgd`` (momentum 0.95).
    rate : float
        Learning rate, constant.
    batch : int
        Noisy samples of one step, drawn with replacement; 0: every sample (full batch).
    network : str
        ``""``: that of the case; ``residual``: images as rows of numbers through the residual
        network.
    steps : int
        Steps at most.
    stop_ratio, stop_memorized : float
        The run ends early when test over train loss at ``indices[0]`` and the memorized fraction
        have both reached these in two measurements in a row.
    indices : tuple of int
        Time indices at which losses are measured; the first dates memorization.
    per_decade : int
        Measurements per decade of steps.
    first : int
        Step of the first measurement.
    noisy : int
        Noisy samples behind a loss, at least.
    held_out, generated, sampler_steps : int
        Test samples; generated samples (0: none are generated); steps of the sampler.
    copies : int
        Times that a full batch holds each sample, each with its own time and noise.
    calm : tuple of float
        Momentum: at every second measurement a copy goes on at a sixteenth of the rate, and its
        losses are measured after these stretches of rate x steps, the rate being the lower one; the
        load of the noise is measured too. Empty: neither.
    divergence : int
        Mixture: generated samples behind the Kullback-Leibler divergence; 0: it is not measured.
    guidance : float
        Images as rows, with labels: the network is told them but for one sample in five, and what
        is generated follows (1 + guidance) v(label) - guidance v (Ho, Salimans, arXiv:2207.12598).
        0: no labels.
    """

    case: str
    data: str
    side: int
    n: int
    width: int
    seed: int
    optimiser: str
    rate: float
    batch: int
    steps: int
    stop_ratio: float
    stop_memorized: float
    indices: tuple[int, ...] = (100, 20, 50, 200, 400)
    per_decade: int = 10
    first: int = 10
    noisy: int = 512
    held_out: int = 512
    generated: int = 256
    sampler_steps: int = 50
    copies: int = 1
    network: str = ""
    calm: tuple[float, ...] = ()
    divergence: int = 0
    guidance: float = 0.0

    def __post_init__(self) -> None:
        if self.case not in CASES:
            raise ModelError(f"case is {self.case!r}; it must be one of {', '.join(CASES)}")
        if self.optimiser not in ("adam", "sgd"):
            raise ModelError(f"optimiser is {self.optimiser!r}; it must be adam or sgd")
        least = {
            "n": 2, "width": 8, "seed": 0, "batch": 0, "steps": 1, "per_decade": 1, "first": 1,
            "noisy": 2, "held_out": 2, "generated": 0, "sampler_steps": 2, "side": 2,
            "copies": 1, "divergence": 0,
        }  # fmt: skip
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be {low} or more")
        if self.network not in ("", "residual"):
            raise ModelError(f"network is {self.network!r}; it must be residual, or ''")
        if self.case == "mixture" and self.network:
            raise ModelError(f"network is {self.network!r}; that of a mixture is always residual")
        if self.case == "images" and not self.network and self.width % 8:
            raise ModelError(f"width is {self.width}; a U-Net's must be a multiple of 8")
        if self.batch and self.copies != 1:
            raise ModelError(f"copies is {self.copies}; only a full batch (batch = 0) has copies")
        if self.calm and (self.optimiser, list(self.calm)) != ("sgd", sorted(self.calm)):
            raise ModelError(
                f"calm is {self.calm} with {self.optimiser}; it must be ascending, with sgd"
            )
        if self.divergence and (self.case != "mixture" or self.divergence > self.generated):
            raise ModelError(
                f"divergence is {self.divergence}; it must be 0, or for the mixture at most the "
                f"{self.generated} generated samples"
            )
        if not self.guidance >= 0.0 or (self.guidance and self.network != "residual"):
            raise ModelError(
                f"guidance is {self.guidance:g} with network {self.network!r}; it must be 0, or "
                "positive with network residual"
            )
        if not self.rate > 0.0 or not self.indices:
            raise ModelError("rate must be positive and indices must not be empty")

    @property
    def key(self) -> str:
        """Name of the run in a store."""
        full = "full" if self.copies == 1 else f"full{self.copies}x"
        batch = f"b{self.batch}" if self.batch else full
        rule = self.optimiser if self._usual else f"{self.optimiser}{self.rate:g}"
        network = f"{self.network or 'w'}{self.width}"
        batch += f".g{self.guidance:g}" if self.guidance else ""
        return (
            f"{self.case}-{_label(self.data)}{self.side}.n{self.n}.{network}.{rule}"
            f".{batch}.s{self.seed}"
        )

    @property
    def protocol(self) -> str:
        """Network if not that of the case, optimiser and batch: what runs of one law share."""
        full = "full batch" if self.copies == 1 else f"full batch of {self.copies} noises"
        batch = f"batch {self.batch}" if self.batch else full
        network = f"{self.network} network, " if self.network else ""
        rule = {"adam": "Adam", "sgd": "momentum"}[self.optimiser]
        more = "" if self._usual else f", rate {self.rate:g}"
        more += f", guidance {self.guidance:g}" if self.guidance else ""
        return f"{network}{rule}, {batch}{more}"

    @property
    def _usual(self) -> bool:
        """Whether names do not tell the rate: Adam's, and the one rate of most with momentum."""
        return self.optimiser == "adam" or self.rate == SGD_RATE

    @property
    def noisy_per_step(self) -> int:
        """Noisy samples of one step."""
        return self.batch or self.n * self.copies

    @property
    def passes_per_step(self) -> float:
        """Passes over the data in one step."""
        return self.noisy_per_step / self.n

    @property
    def grid(self) -> NDArray[np.int64]:
        """Steps at which is measured: logarithmic, ends at ``steps``."""
        start = min(self.first, self.steps)
        count = int(np.ceil(np.log10(self.steps / start) * self.per_decade)) + 1
        return np.unique(np.round(np.geomspace(start, self.steps, count)).astype(np.int64))

    def describe(self) -> dict[str, Any]:
        """Every parameter by name; those that came later only where they are unusual."""
        found = dataclasses.asdict(self)
        if self.copies == 1:  # as runs were described before there were copies
            del found["copies"]
        for name in ("network", "calm", "divergence", "guidance"):  # and before there was a choice
            if not found[name]:
                del found[name]
        return found

    @property
    def fingerprint(self) -> str:
        """Hash of every parameter."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> Setting:
        """What `describe` has described."""
        known = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in parameters.items() if name in known}
        given["indices"] = tuple(int(k) for k in given["indices"])
        given["calm"] = tuple(float(stretch) for stretch in given.get("calm", ()))
        return cls(**given)


def _label(data: str) -> str:
    if data.isalnum():
        return data
    return "file" + hashlib.sha256(data.encode()).hexdigest()[:8]
