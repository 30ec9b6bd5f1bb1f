"""Random models of a box of parameters: settings and strategies of the tests by hypothesis.

DMFT_RF_EXAMPLES overrides the number of examples; `python -m validation attack` tries thousands.
"""

import math
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("DMFT_RF_EXAMPLES", "30"))

box = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    ends = math.log(low), math.log(high)
    return st.floats(*ends).map(lambda u: min(max(math.exp(u), low), high))
