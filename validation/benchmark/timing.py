"""Times: best of several repeats, of the process and of the clock on the wall."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds of the fastest call, by process time and by the clock on the wall.

    The two minima may come from different calls. On a machine that others use, process time is the
    one to quote.
    """

    cpu: float
    wall: float
    calls: int


def side_by_side(
    functions: Sequence[Callable[[], Any]], repeats: int, seconds: float = 5.0
) -> list[Timing]:
    """Fastest call of each function, taken in turns so that all see the same machine.

    Each is called once before, to compile and to warm caches. Stops after ``repeats`` rounds, or
    when the rounds have taken ``seconds`` (at least one is made).
    """
    for function in functions:
        function()
    cpu, wall = [float("inf")] * len(functions), [float("inf")] * len(functions)
    start, rounds = time.perf_counter(), 0
    while rounds < repeats and (rounds == 0 or time.perf_counter() - start < seconds):
        for i, function in enumerate(functions):
            wall_0, cpu_0 = time.perf_counter(), time.process_time()
            function()
            cpu_1, wall_1 = time.process_time(), time.perf_counter()
            cpu[i], wall[i] = min(cpu[i], cpu_1 - cpu_0), min(wall[i], wall_1 - wall_0)
        rounds += 1
    return [Timing(c, w, rounds) for c, w in zip(cpu, wall, strict=True)]


def best(function: Callable[[], Any], repeats: int, seconds: float = 5.0) -> Timing:
    """Fastest call of one function."""
    return side_by_side([function], repeats, seconds)[0]


def quick_best(function: Callable[[], Any], repeats: int, batch: float = 2e-3) -> float:
    """Process seconds of one call, from batches of about ``batch`` seconds.

    For functions of microseconds, which the clock itself would lengthen.
    """
    once = best(function, 3)
    calls = max(1, round(batch / max(once.cpu, 1e-7)))

    def many() -> None:
        for _ in range(calls):
            function()

    return best(many, repeats).cpu / calls
