"""What each time of training means, in one sentence, and the levels that define it."""

from __future__ import annotations

from typing import Any

from dmft_rf._convert import number

#: the factor of the usable interval and the ratio of tau_ratio where none is given
FACTOR, RATIO = 1.1, 2.0
#: a final gap below this part of what there is to learn is nothing to memorize
NOTHING = 0.1

DEFINITIONS = {
    "usable_start": "from here on the score error is within {factor:g} times its least value",
    "usable_end": "until here it is; inf: for ever",
    "tau_gen": "the score error has made (1 - level) of its way to its minimum over time "
    "(level = {level:g})",
    "tau_opt": "the test loss is least (early stopping); inf: it never rises again",
    "tau_overfit": "the generalization gap, test minus train loss, reaches {gap_level:g} of what "
    "there is to learn, 1 - L_floor; inf: never",
    "tau_ratio": "test loss over train loss reaches {ratio:g}; inf: never",
    "tau_mem": "the generalization gap reaches half its final value; inf: it diverges",
    "window": "tau_mem/tau_gen",
    "tau_gen_spectrum": "psi_p/(2 Delta_t lambda), lambda the lower edge of the bulks of the data "
    "directions; nan while they are merged with the others",
    "tau_mem_spectrum": "psi_p/(2 Delta_t lambda), lambda the lowest edge of the spectrum of U "
    "(the atom at s_t^2 is not trained)",
    "test_min": "test loss at tau_opt",
    "score_error_min": "score error at tau_opt",
    "final_gap": "generalization gap at tau = inf",
    "relative_gap": "generalization gap at tau = inf in units of what there is to learn",
}

#: the parts of the score error, in the order in which they are stacked
PARTS = ("bias", "sample", "features", "both", "noise", "initial")
#: the times of a direction or a class, in the order in which they pass, and what each is
TIMES = {
    "learned": "the bias has fallen to {level:g} of that of the untrained network; inf: never",
    "usable_start": "from here on the error is within {factor:g} times its least value",
    "best": "the error is least; inf: it never rises again",
    "usable_end": "until here it is within {factor:g} times its least value; inf: for ever",
    "lost": "the error is again that of the untrained network; inf: never",
}


def definitions(
    level: float = 0.1, gap_level: float = NOTHING, rule: str | None = None
) -> dict[str, str]:
    """What each number of `DEFINITIONS` is, in one sentence, by name.

    The sentences name the ``rule`` that is given; without one it is gradient flow. Times of the
    spectrum are gradient flow's under any rule.
    """
    used = {"level": level, "gap_level": gap_level, "factor": FACTOR, "ratio": RATIO}
    found = {name: text.format(**used) for name, text in DEFINITIONS.items()}
    if rule is None:
        return found
    return {
        name: f"under {'gradient flow' if name.endswith('_spectrum') else rule}: {text}"
        for name, text in found.items()
    }


def checked_multiple(multiple: Any) -> float:
    """The factor c of n_window as a float; ModelError outside 1e-6 to 1e9."""
    return number(multiple, "multiple", least=1e-6, most=1e9)
