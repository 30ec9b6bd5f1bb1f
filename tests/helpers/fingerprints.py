"""The fingerprint of a sweep over a model, by which its file is known again."""

from dmft_rf.rules.flow import GradientFlow
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.quantities import Request

OVER = {"psi_n": [2.0, 4.0]}


def fingerprint(model):
    return Plan(model, GradientFlow(), OVER, Request(("tau_mem",))).fingerprint
