"""Options that say what data are to the model: a covariance, their own samples, a dimension."""

from __future__ import annotations

from dataclasses import dataclass

from dmft_rf.cli._parameters import option
from dmft_rf.errors import ModelError


@dataclass(frozen=True)
class ImageOptions:
    """Model: what the data are to it."""

    images: bool = option(
        "Networks on the samples of --data themselves, not on their covariance (docs/images.md); "
        "by default psi_p = 8 and all samples.",
        default=False,
    )
    route: str | None = option(
        "How --images are solved: networks (exact, with scatter), equations, or scalar (five times "
        "as fast, exact in the final losses only); by default networks where they are cheaper.",
        metavar="ROUTE",
    )

    def check(self, *, parts: bool = False) -> None:
        """Refuse what goes with --images where that is not given."""
        if self.route is not None and not self.images:
            raise ModelError("--route says how --images are solved; --images is not given")


@dataclass(frozen=True)
class FiniteOptions(ImageOptions):
    """Model: what the data and their dimension are to it."""

    finite_size: bool = option(
        "Draw 30 networks of the dimension of the data, on Gaussian data of their covariance, "
        "beside the limit: what a finite dimension does.",
        default=False,
    )

    def check(self, *, parts: bool = False) -> None:
        """Refuse two at once."""
        super().check(parts=parts)
        given = [("--images", self.images), ("--finite-size", self.finite_size), ("--parts", parts)]
        flags = [flag for flag, is_given in given if is_given]
        if len(flags) > 1:
            raise ModelError(f"{flags[0]} and {flags[1]} exclude one another")
