"""What makes each figure small enough for a test."""

import math
from typing import Any

from dmft_rf import Covariance

# what makes each figure small; everything else is the quick profile
TINY: dict[str, dict[str, Any]] = {
    "spectrum": {"NETWORKS": (4, 2), "EQUIVALENT": {"quick": (12, 2)}},
    "spectrum-samples": {"NETWORKS": (4, 2), "EQUIVALENT": {"quick": (6, 2)}},
    "learning-curves": {"QUICK": ((6, 2), (7, 1))},
    "gap-maps": {
        "GRID": {"quick": 5},
        "NETWORKS": (1, 4),
        "SIZES": dict.fromkeys((1, 4), ((24, 4),)),
    },
    "diffusion-times": {"SIZES": ((6, 2),)},
    "data-scale": {"SIZES": ((7, 2),), "PSI_N": (8,)},
    "minimal-error": {"POINTS": {"quick": 2}, "PSI_P": (32.0,), "SIZES": ((4, 2),)},
    "adam": {"PLAN": (4, 2, 300, 1e-2), "RECORDS": 6, "PSI_N": (4, 16)},
    "timescales": {
        "POINTS": {"quick": 3},
        "covariances": lambda: {"isotropic": Covariance.isotropic(), "b": Covariance([0.5, 1.5])},
    },
    "phase-diagram": {"POINTS": {"quick": 2}},
    "early-stopping": {"POINTS": {"quick": 2}},
    "bulk-learning": {"NETWORKS": ((4, 2),), "WIDTHS": {"quick": 2}},
    "eigenmodes": {"NETWORKS": ((1, 2), (2, 1)), "PSI_N": (8.0,)},
    "real-data": {},
    "noise-draws": {
        "SHOWN": (16, math.inf),
        "CUTS": (16,),
        "DRAWS": {"quick": 2},
        "WIDTHS": {"quick": 3},
        "LOW": 8.0,
        "HIGH": 32.0,
        "NETWORKS": ((8, 2),),
    },
    "sgd-losses": {"SIZES": {"quick": ((12, 6),)}},
    "sgd-delay": {"POINTS": {"quick": 3}, "HIGH": 8.0, "LOADS": (0.0, 0.95)},
    "sgd-repair": {"LOADS": {"quick": 2}},
    "generated-quality": {"POINTS": {"quick": 7}, "PSI_N": (64.0, 128.0)},
    "generated-stopping": {"PSI_N": {"quick": (4.0, 8.0)}, "SHOWN": (4.0,), "NODES": {"quick": 5}},
    "generated-score": {},
}
