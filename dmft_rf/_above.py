"""What a room asks of one above it: put here by the package itself, which alone knows them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

plot_advice: Callable[[Any, Any], Any]
"""`dmft_rf.plotting.advice.plot_advice`, imported when it is called."""

read_covariance: Callable[[Any], Any]
"""`dmft_rf.data.read.read_covariance`, imported when it is called."""
