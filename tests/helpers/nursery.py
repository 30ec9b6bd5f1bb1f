"""Processes that are killed at random moments, and what they have said until then."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.sweeping import environment, limited

# Imports once; for every line on stdin it forks a process that does the work of a path. What the
# process says is one write, so that a kill cannot cut it.
PROGRAM = """
import os, signal, sys, time
from dmft_rf.files.results import git_commit

def say(text):
    os.write(1, (text + "\\n").encode())

git_commit()  # asks git once
{work}

for line in sys.stdin:
    path, delay = line.rstrip().split("\\t")
    child = os.fork()
    if child == 0:
        work(path)
        os._exit(0)
    if delay != "None":
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)  # not yet waited for: the number is still its own
    _, status = os.waitpid(child, 0)
    say(f"ended {{status}}")
"""


class Nursery:
    """A process that starts the processes to be killed."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process

    def run(self, path: Path, kill_after: float | None) -> tuple[int, list[str]]:
        """Exit status of one process, killed after some seconds, and what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\t{kill_after}\n")
        self.process.stdin.flush()
        lines: list[str] = []
        with limited(self.process):
            for line in self.process.stdout:
                if line.startswith("ended "):
                    return int(line.split()[1]), lines
                lines.append(line.rstrip())
            raise AssertionError("the nursery ended")


@contextmanager
def nursery(work: str) -> Iterator[Nursery]:
    """A nursery whose processes call ``work(path)`` of this program, which can ``say`` lines."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(work=work)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0
