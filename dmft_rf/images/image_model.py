"""The model that a user states of a network on the samples themselves."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import floats, number, one_of, shown, whole
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError
from dmft_rf.images.medium import Medium
from dmft_rf.images.pool import Moments, Pool, tail_index
from dmft_rf.model.activation import Activation, ActivationLike
from dmft_rf.model.columns import SampleClass, SampleGroups
from dmft_rf.model.feature_model import FeatureModel

# classes of leverage, usually and where the leverages are uneven: their tail falls more slowly than
# x^{-5}, or their standard deviation is above 0.8 of their mean
_CLASSES, _MANY_CLASSES = 3, 8
_HEAVY, _UNEVEN = 5.0, 0.8
# uneven rows that are trained on count as n/(1 + spread^2) of them, of which there must be so many
# in a pool without end
_FEW_COUNT = 100.0
# n over N at most
_BEYOND = 2
# largest signed error of gap, test loss or a timescale that was measured, and where
_USUAL, _FEW_DIRECTIONS, _UNEVEN_ROWS, _OUTSIDE = 0.09, 0.13, 0.15, 0.6
_FEW = 10.0
# noise_error up to which no quantity was off by more than 10 % for it
_NOISY = 0.005
_ROUTES = ("networks", "equations", "scalar")
# of the scalar route, beside what the equations are off by: the largest that was measured where
# they are trusted is 0.25
_SCALAR = 0.3
# drawn networks are cheaper than the equations up to this many features, and leave rows to test on
# up to this part of the pool
_FEW_FEATURES, _MOST_DRAWN = 1000, 0.9


class ImageModel(FeatureModel):
    r"""Random-features score network on a pool of samples: their features, not their covariance.

    The score network s_A(x) = A sigma(W x/sqrt(d))/sqrt(p) with one drawn and frozen W, trained on
    n samples of the pool, averaged over which ones; the noise of the diffusion is averaged exactly.
    The test loss is that on samples of the pool that are not trained on. It knows the true moments
    of the features on the samples, where `ScoreModel` knows the covariance of the samples.

    The score error is measured from the best network on these features, which knows every sample:
    ``floor`` is its test loss. It is best on the samples of the pool, and better the fewer they
    are: score errors are to be compared within one pool only. The exact score of images is known to
    nobody.

    Parameters
    ----------
    rows : (N, d) or (N, height, width, ...) array
        The pool, at the scale at which the network sees it; it is neither centred nor scaled.
    t : float
        Diffusion time, > 0.
    n : int
        Samples trained on, from 1 to twice the pool. Beyond the pool (n > N) the equations are
        continued, which needs N >= p.
    features : int, optional
        p, the number of features; may be left out where ``weights`` are given.
    weights : (p, d) array, optional
        W. By default standard normal numbers of ``numpy.random.default_rng(seed)``.
    seed : int, default 0
        Of W.
    activation : str, callable or Activation, default "tanh"
    classes : int, optional
        Classes of leverage that the rows are in, of equal size. By default 3; 8 where they are
        `uneven`, in which rows that stand out are among few.
    route : "networks", "equations" or "scalar", optional
        How it is solved. "networks" are ten exact networks, each trained on n rows that are drawn
        from the pool and tested on the others; "equations" are those of `dmft_rf.images.medium`,
        which have no scatter and go beyond the pool; "scalar" are the same equations without
        matrices off z = 0 (`dmft_rf.images.scalar`), five times as fast, with the same losses at
        the end of training and other times, up to n = N and never by default. By default networks
        where they are cheaper:
        up to 1000 features and n up to nine tenths of the pool, unless ``classes`` are stated.
        Where equations are taken by default `solve` refuses those that are not `trusted`; stated,
        they are solved all the same.

    Raises
    ------
    ModelError
        If a parameter is outside its domain.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(1).standard_normal((300, 16))
    >>> model = ImageModel(rows, t=0.1, n=40, features=64)
    >>> more = model.replace(n=80)  # shares the moments of the features
    >>> more.psi_n, more.psi_p
    (5.0, 4.0)
    """

    _content = ("pool", "n", "classes_given", "route")
    noise_draws = math.inf
    #: Relative accuracy of `solve` unless another is asked for.
    usual_rtol = 1e-4

    def __init__(
        self,
        rows: ArrayLike,
        t: float,
        n: int,
        features: int | None = None,
        weights: ArrayLike | None = None,
        seed: int = 0,
        activation: ActivationLike = "tanh",
        classes: int | None = None,
        route: str | None = None,
    ):
        samples = floats(rows, "rows")
        if samples.ndim < 2 or samples.shape[0] < 2 or samples.size == 0:
            raise ModelError(
                f"rows has the shape {samples.shape}; it must hold at least two samples in rows"
            )
        samples = samples.reshape(samples.shape[0], -1)
        N, d = samples.shape
        self.seed = whole(seed, "seed", least=0)
        W = _weights(features, weights, self.seed, d)
        self.t = number(t, "t", above=0.0)
        self.n = whole(n, "n", most=_BEYOND * N)
        if self.n > N and W.shape[0] > N:
            raise ModelError(
                f"n is {self.n}; a pool of {N} samples, fewer than the {W.shape[0]} features, "
                f"says nothing beyond itself: n at most {N}"
            )
        self.classes_given = None if classes is None else whole(classes, "classes", most=N // 2)
        self.route = self._route(route, N, W.shape[0])
        self.pool = Pool(samples, W, self.t, Activation.of(activation))
        self._stated = {
            "rows": samples, "t": self.t, "n": self.n, "features": W.shape[0],
            "weights": None if weights is None else W, "seed": self.seed,
            "activation": self.pool.activation, "classes": self.classes_given,
            "route": route,
        }  # fmt: skip
        self.seal()

    def _route(self, route: str | None, N: int, p: int) -> str:
        few = self.n <= _MOST_DRAWN * N
        if route is None:
            cheap = few and p <= _FEW_FEATURES and self.classes_given is None
            return "networks" if cheap else "equations"
        one_of(route, _ROUTES, "route")
        if route == "scalar" and self.n > N:
            raise ModelError(
                f"n is {self.n} of {N} samples; beyond the pool the scalar route was not held "
                "against anything: route='equations'"
            )
        if route == "networks" and not few:
            raise ModelError(
                f"n is {self.n} of {N} samples; networks that are drawn need one sample in ten to "
                "be tested on: route='equations'"
            )
        return route

    def __repr__(self) -> str:
        N, d = self.pool.rows.shape
        return (
            f"ImageModel({N} rows of {d}, t={self.t!r}, n={self.n}, features={self.features}, "
            f"activation={self.pool.activation.name!r})"
        )

    @property
    def features(self) -> int:
        """p."""
        return int(self.pool.W.shape[0])

    @property
    def psi_p(self) -> float:  # type: ignore[override]
        """p/d."""
        return self.features / self.pool.rows.shape[1]

    @property
    def psi_n(self) -> float:  # type: ignore[override]
        """n/d."""
        return self.n / self.pool.rows.shape[1]

    @property
    def activation(self) -> Activation:
        """The activation."""
        return self.pool.activation

    @property
    def moments(self) -> Moments:
        """Moments of the features on the pool, computed when they are first needed."""
        return self.pool.moments

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> Self:
        """Compute the moments now; ``progress`` is called with samples done and samples in all."""
        if not (progress is None or callable(progress)):
            raise ModelError(f"progress is {shown(progress)}; it must be a function, or None")
        self.pool.prepared(progress)
        return self

    @lazy
    def _leverages(self) -> Array:
        return self.pool.leverages(self.n)

    @property
    def tail_index(self) -> float:
        """alpha of the tail x^{-alpha} of the rows' leverages (`dmft_rf.images.pool`)."""
        return tail_index(self._leverages)

    @property
    def leverage_spread(self) -> float:
        """Standard deviation of the rows' leverages over their mean."""
        return float(self._leverages.std() / self._leverages.mean())

    @property
    def uneven(self) -> bool:
        """Whether the leverages have a heavy tail or differ by about their mean."""
        return self.tail_index < _HEAVY or self.leverage_spread > _UNEVEN

    @property
    def leverage_classes(self) -> int:
        """Classes of leverage: as stated, or by the rule."""
        if self.classes_given is not None:
            return self.classes_given
        usual = _MANY_CLASSES if self.uneven else _CLASSES
        return min(usual, self.pool.rows.shape[0] // 2)

    @property
    def model_error(self) -> float:
        """Relative error of final gap, test loss and timescales to be expected of the model.

        Networks that are drawn have none, but scatter (`Solution.scatter`).

        The largest that was measured on data sets of this kind (docs/images.md), on networks of up
        to 512 features with n from 64 to 1024: 0.09; 0.13 where the samples have fewer than ten
        effective directions; 0.15 where they are `uneven`; 0.6 outside the `trusted` domain. The
        scalar route adds 0.3.
        """
        if self.route == "networks":
            return 0.0
        return self._equations_error + (_SCALAR if self.route == "scalar" else 0.0)

    @property
    def _equations_error(self) -> float:
        if not self.trusted:
            return _OUTSIDE
        if self.uneven:
            return _UNEVEN_ROWS
        rows = self.pool.rows - self.pool.rows.mean(axis=0)
        C = rows.T @ rows
        return _FEW_DIRECTIONS if np.trace(C) ** 2 < _FEW * np.vdot(C, C) else _USUAL

    @property
    def noise_error(self) -> float:
        """psi_p |1 - n/N|/n times the spread of the rows' noise (`Pool.noise_spread`).

        The equations take the noise part of the features from all rows, networks from those that
        they are trained on. This says how much that matters.
        """
        N, d = self.pool.rows.shape
        return self.features / d * abs(1.0 - self.n / N) / self.n * self.pool.noise_spread

    @property
    def trusted(self) -> bool:
        """Whether the equations are good to `model_error`, about ten per cent.

        They are not where `noise_error` is above 0.005, nor where the leverages are `uneven` and
        n/(1 + leverage_spread^2) is below 100 |1 - n/N|: then few rows decide. Both count less the
        fewer rows are left out, and the equations are exact for n = N.
        """
        drawn = abs(1.0 - self.n / self.pool.rows.shape[0])
        few = self.n / (1.0 + self.leverage_spread**2) < _FEW_COUNT * drawn
        return self.noise_error <= _NOISY and not (self.uneven and few)

    @lazy
    def medium(self) -> Medium:
        """The pool in its classes; raises ModelError where the equations are not `trusted`."""
        if self._stated["route"] is None and not self.trusted:
            few = self.n <= _MOST_DRAWN * self.pool.rows.shape[0]
            raise ModelError(
                f"n is {self.n}: the rows differ so much that the equations may be off by more "
                f"than 15 % (noise_error {self.noise_error:.2g} of at most {_NOISY:g}, "
                f"leverage_spread {self.leverage_spread:.2g}); "
                + ("route='networks' is exact, " if few else "")
                + "route='equations' insists"
            )
        by_weight = self.classes_given is None and self.uneven
        return self.pool.in_classes(self.n, self.leverage_classes, by_weight=by_weight)

    @property
    def Delta_t(self) -> float:
        """1 - e^{-2t}."""
        return -math.expm1(-2.0 * self.t)

    @property
    def floor(self) -> float:
        """Test loss of the best network on these features; lower for a smaller pool."""
        return self.moments.best

    @property
    def initial_score_error(self) -> float:
        """Score error of the zero network."""
        return (1.0 - self.floor) / self.Delta_t

    @property
    def residual_variance(self) -> float:
        """Nothing: the noise of the features is in their moments."""
        return 0.0

    @property
    def weights(self) -> Array:
        """Of the eigenvalues of a covariance; no equation of this model sees any, shape (0,)."""
        return np.empty(0)

    @property
    def classes(self) -> tuple[SampleClass, ...]:
        """Gaussian classes of data: there are none."""
        return ()

    @property
    def closed_form(self) -> bool:
        """Whether the closed form of one group of Gaussian columns applies."""
        return False

    @property
    def groups(self) -> SampleGroups:
        """Raises ModelError: the columns of this model are not Gaussian."""
        raise ModelError(
            "an ImageModel has no groups of Gaussian columns; what is made of them (resolvent, "
            "density, bulks, noise of SGD) is there for a ScoreModel only"
        )

    @ieee
    def stored(self) -> Stored:
        """What a file holds of the model: its parameters, W, and which samples they were."""
        N, d = self.pool.rows.shape
        attributes = {
            "t": self.t,
            "psi_p": self.psi_p,
            "psi_n": self.psi_n,
            "n": self.n,
            "activation": self.activation.name,
            "noise_draws": math.inf,
            "dimension": d,
            "samples": N,
            "route": self.route,
            "leverage_classes": self.leverage_classes,
            "model_error": self.model_error,
            "rows_sha256": hashlib.sha256(self.pool.rows.tobytes()).hexdigest(),
        }
        return attributes, {"feature_weights": self.pool.W}

    def replace(self, **changes: Any) -> Self:
        """A copy with some parameters changed; it shares the moments where they are the same."""
        for name in changes:
            one_of(name, self._stated, "a parameter")
        stated = dict(self._stated) | changes
        if "weights" in changes and "features" not in changes:
            stated["features"] = None if changes["weights"] is not None else self.features
        made = type(self)(**stated)
        if made.pool == self.pool:
            made.pool = self.pool
        return made


def _weights(features: Any, weights: Any, seed: int, d: int) -> Array:
    """W (p, d) as given, or drawn."""
    if weights is None:
        if features is None:
            raise ModelError("features or weights must be given, the size of the network")
        return np.random.default_rng(seed).standard_normal((whole(features, "features"), d))
    W = floats(weights, "weights", ndim=2)
    if W.shape[1] != d or W.shape[0] < 1 or not np.linalg.norm(W, axis=1).all():
        raise ModelError(
            f"weights has the shape {W.shape}; it must be (features, {d}) without a row of zeros"
        )
    if features is not None and whole(features, "features") != W.shape[0]:
        raise ModelError(f"features is {shown(features)} and weights has {W.shape[0]} rows")
    return W
