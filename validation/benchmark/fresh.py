"""Fresh processes: what an import, a command, a first solution and much memory cost.

Times are those of the whole process, the start of the interpreter included.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dmft_rf
from validation.benchmark.timing import Timing

ROOT = Path(dmft_rf.__file__).resolve().parents[1]

FIRST_SOLVE = """
import numpy as np
from dmft_rf import Covariance, ScoreModel, solve
model = ScoreModel(t=0.01, psi_p=64, psi_n=8, covariance=Covariance([0.5, 1.5]))
solve(model).learning_curves(np.geomspace(1.0, 1e7, 200))
"""

# VmHWM counts this program alone; ru_maxrss remembers the parent from before exec
MEMORY = """
import resource, sys
import numpy as np
from dmft_rf import Covariance, ScoreModel, solve
import dmft_rf.curves.solve

def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size // 1024 if sys.platform == "darwin" else size

imported = peak()
atoms = np.geomspace(0.1, 3.0, int(sys.argv[1]))
model = ScoreModel(t=0.01, psi_p=64, psi_n=8, covariance=Covariance(atoms))
solve(model).learning_curves(np.geomspace(1.0, 1e7, 200))
print(imported, peak())
"""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a child: this package, one BLAS thread, compiled kernels and modules.

    Modules are kept as bytecode, as they are in an installation.
    """
    left_out = ("NUMBA_DISABLE_JIT", "PYTHONDONTWRITEBYTECODE")
    env = {key: value for key, value in os.environ.items() if key not in left_out}
    path = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return {**env, "PYTHONPATH": path, **threads, **changes}


def run(arguments: list[str], env: dict[str, str]) -> str:
    """Standard output of ``python arguments`` in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *arguments], env=env, cwd=folder, check=True, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    return done.stdout


def timed(arguments: list[str], repeats: int, env: dict[str, str] | None = None) -> Timing:
    """Fastest of ``repeats`` fresh processes; user and system time of each."""
    env = environment() if env is None else env
    cpu, wall = float("inf"), float("inf")
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        run(arguments, env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = min(wall, time.perf_counter() - start)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cpu = min(cpu, used)
    return Timing(cpu, wall, repeats)


def first_solve(repeats: int) -> tuple[Timing, Timing]:
    """The first solution of a process that must compile its kernels (once), and that finds them."""
    with tempfile.TemporaryDirectory() as folder:
        env = environment(NUMBA_CACHE_DIR=folder)
        compiling = timed(["-c", FIRST_SOLVE], 1, env)
        return compiling, timed(["-c", FIRST_SOLVE], repeats, env)


def memory(atoms: int) -> tuple[float, float]:
    """Peak memory in MB after the imports, and after solving and 200 times."""
    run(["-c", FIRST_SOLVE], environment())  # so that no compiler is in the measured process
    imported, solved = run(["-c", MEMORY, str(atoms)], environment()).split()
    return int(imported) / 1024.0, int(solved) / 1024.0
