"""Functions of higher rooms that lower ones call; `dmft_rf` puts them here when it is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

plot: Callable[..., Any]
"""`dmft_rf.plotting.results.plot`, imported when it is called."""

read_covariance: Callable[[Any], Any]
"""`dmft_rf.data.read.read_covariance`, imported when it is called."""
