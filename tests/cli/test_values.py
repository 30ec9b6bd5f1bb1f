"""Odd values of every option of every command: a result, or one line that says what is wrong.

The options are those that the command has, found out here, so that a new one is tried as well.
"""

from typing import Any

import pytest
import typer

from dmft_rf.cli import app
from tests.helpers.command import refused, result, run
from tests.helpers.sampling import seventh

COMMAND = typer.main.get_command(app)
SMALL = ("--t", "0.1", "--psi-p", "8", "--psi-n", "2", "--rtol", "1e-3")
# what each command is given besides, so that it is quick
BASE = {
    "spectrum": SMALL,
    "curves": SMALL,
    "timescales": SMALL,
    "scaling": (*SMALL, "--points", "3"),
    "phase-diagram": (*SMALL, "--points", "2", "--n-points", "2"),
}
NUMBERS = (
    "0", "-1", "nan", "inf", "-inf", "1e300", "1e-300", "1e308", "1e-320", "1e400", "1e20",
    "2.5", "0x10", "1_000", "\u0661\u0662", "", " ", "9" * 400, "abc", "\x1b[31m",
)  # fmt: skip
LISTS = (*NUMBERS, "1,nan", ",", "1,,2", "1e300,1e-300", "1,-1", "inf,0", "1;2", "1,1_0")
# without which an option has no meaning: each is tried with each
WITH = {
    "step": [("--rule", "gradient-descent"), ("--rule", "heavy-ball")],
    "momentum": [("--rule", "heavy-ball", "--step", "0.01")],
    "decay_time": [("--rule", "weight-average")],
    "ridge": [("--rule", "ridge")],
    "sgd_noise": [(), ("--decay-time", "1", "--tau", "0,1,inf")],
    "batch": [("--sgd-noise", "0.1")],
    "weights": [("--eigenvalues", "1,2"), ("--eigenvalues", "1")],
    "atoms": [("--power-law", "1")],
    "dimension": [("--learning-rate", "0.1"), ("--learning-rate", "1e-100")],
    "learning_rate": [("--dimension", "64"), ("--dimension", "1e100")],
    "initial_std": [(), ("--weight-decay", "0.1"), ("--rule", "heavy-ball", "--step", "0.01")],
    "weight_decay": [(), ("--rule", "weight-average", "--decay-time", "1")],
    "tau": [(), ("--rule", "gradient-descent", "--step", "0.01"), ("--initial-std", "1")],
}
ELSEWHERE = {
    "scaling": [("--over", name) for name in ("psi_p", "t", "power-law")],
    "phase-diagram": [("--plane", name) for name in ("n-t", "n-tau")],
}


def options() -> list[Any]:
    """Number, command, option and what it is given with, for every option that takes a value."""
    found = []
    for command, base in BASE.items():
        for option in COMMAND.commands[command].params:
            # a file is read or written; more than one worker are processes
            if option.metavar in ("FILE", "ADDRESS") or getattr(option, "is_flag", False):
                continue
            flag = option.opts[0]
            combinations = list(WITH.get(option.name, [()]))
            if option.name in ("start", "stop"):
                combinations += ELSEWHERE[command]
            found += [(command, flag, base, more) for more in combinations]
    return [
        pytest.param(k, command, flag, (*base, *more), id=" ".join((command, flag, *more)))
        for k, (command, flag, base, more) in enumerate(found)
    ]


def refusal(line: str) -> bool:
    return (
        line.startswith("error: ")
        and line.endswith("\n")
        and line[:-1].isprintable()
        and len(line) < 1200
        and "internal error" not in line
        and not line.rstrip().endswith((",", ":", ";"))
    )


@seventh
@pytest.mark.filterwarnings("default")  # as a user has them: none may be seen
@pytest.mark.parametrize(("number", "command", "flag", "base"), options())
def test_odd_values(
    every: int, number: int, command: str, flag: str, base: tuple[str, ...]
) -> None:
    """The sample of each option begins one value later than that of the option before it."""
    lists = flag in ("--tau", "--eigenvalues", "--weights")
    ends = ("1e100", "1e-100") if flag[2:].replace("-", "_") in WITH else ()
    values = (*(LISTS if lists else NUMBERS), *ends)
    for value in values[number % every :: every]:
        if flag == "--workers" and value in ("1", "2.5"):
            continue
        answer = run(command, *base, f"{flag}={value}")
        code, out, err = answer.exit_code, answer.stdout, answer.stderr
        told = f"{flag}={value!r}: {code}, {err[:300]}"
        if code == 0:
            assert out, told
            assert all(line.startswith("warning: ") for line in err.splitlines()), told
            assert err.isascii() or err.isprintable(), told
        else:
            assert out == "", told
            assert refusal(err), told
            assert code == (1 if err.startswith("error: not converged: ") else 2), told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("timescales", "--learning-rate", "0.1", "--dimension", "1e300"), ("dimension", "1e+300")),
        (("timescales", "--learning-rate", "1e-320", "--dimension", "64"), ("learning_rate",)),
        (("timescales", "--learning-rate", "1", "--dimension", "1e-300"), ("dimension", "1e-300")),
        (("curves", "--rule", "gradient-descent", "--step", "1e-300"), ("step", "1e-300")),
        (("curves", "--initial-std", "1e200"), ("initial_std", "1e+200")),
        (("curves", "--weight-decay", "1e308"), ("weight_decay", "1e+308")),
        (("curves", "--rule", "ridge", "--ridge", "1e308"), ("weight", "1e+308")),
        (("curves", "--rule", "weight-average", "--decay-time", "1e308"), ("decay_time", "1e+308")),
        (("curves", "--rule", "heavy-ball", "--step", "1", "--momentum", "1_0"), ("'1_0'",)),
        (("curves", "--tau", "1_0"), ("--tau", "'1_0'")),
        (("curves", "--tau", "1e308", "--rule", "gradient-descent", "--step", "0.1"), ("tau",)),
        (("spectrum", "--noise-draws", "1e308"), ("noise_draws", "1e+308", "1e13")),
        (("spectrum", "--noise-draws", "1e15"), ("noise_draws", "1e13")),
        (("spectrum", "--psi-n", "\u0664"), ("--psi-n", "not a number")),
        (("spectrum", "--atoms", "1_0", "--power-law", "1"), ("--atoms", "not an integer")),
        (("scaling", "--workers", "0"), ("--workers", "0")),
        (("scaling", "--workers", "9" * 30), ("--workers", "1024")),
        (("scaling", "--over", "power-law", "--data", "digits"), ("--data", "'digits'")),
        (("scaling", "--over", "power-law", "--eigenvalues", "1,2"), ("--eigenvalues", "'1,2'")),
    ],
    ids=lambda v: " ".join(v)[:60],
)
def test_values_that_are_no_use_are_named(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    err = refused(*arguments)
    assert refusal(err), err
    assert all(word in err for word in words), err


def test_momentum_too_small_to_make_a_difference() -> None:
    """Of the order of 1e-320: heavy ball is gradient descent to the last digit."""
    found = []
    for rule in (("heavy-ball", "--momentum", "1e-320"), ("gradient-descent",)):
        arguments = ("--rule", *rule, "--step", "0.01", "--tau", "0,1,100")
        found.append(result("curves", *SMALL, *arguments)["results"]["test"])
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_exponents_of_times_that_stay_the_same() -> None:
    """A hard edge at s^2: one of the times is the same along the sweep, its exponent exactly 0."""
    model = ("--t", "0.1", "--psi-p", "3", "--psi-n", "2")
    found = result("scaling", *model, "--over", "power-law", "--points", "3")
    fit = found["results"]["global_fits"]["tau_mem_spectrum"]
    assert abs(fit["exponent"]) < 1e-9
    assert abs(fit["exponent_low"]) + abs(fit["exponent_high"]) < 1e-9
