"""Compiled kernels where a cache can be kept, where none can, and as plain Python.

One small kernel in fresh processes; the numbers must be the same to the last digit. Permissions do
not stop a privileged user, so what cannot be written is a path through a file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dmft_rf
from dmft_rf import Covariance, ScoreModel, solve

ROOT = Path(dmft_rf.__file__).parent

KERNEL = """
import json, sys
import numpy as np
from dmft_rf.kernels.silverstein import second_order
value = second_order(0.3, np.array([0.5, 1.5]), np.array([0.25, 0.75]))
stats = getattr(second_order, "stats", None)
print(json.dumps({
    "value": value.hex(),
    "compiled": stats is not None,
    "hits": sum(stats.cache_hits.values()) if stats else 0,
    "folder": getattr(stats, "cache_path", None),
    "package": sys.modules["dmft_rf"].__file__,
}))
"""
# <lambda^2/(lambda + 0.3)^2> in the kernel's order of operations
EXPECTED = (0.25 * (0.5 / 0.8) * (0.5 / 0.8) + 0.75 * (1.5 / 1.8) * (1.5 / 1.8)).hex()


def environment(package: Path, **changes: str) -> dict[str, str]:
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("NUMBA_DISABLE_JIT", "NUMBA_CACHE_DIR", "DMFT_RF_CACHE")
        and not key.startswith(("COV_", "COVERAGE_"))
    }
    return {**inherited, "PYTHONPATH": str(package), **changes}


def start(code: str, env: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], env=env, cwd=env["PYTHONPATH"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def answer(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err == ""
    return json.loads(out)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the package without any cache; the folder that holds it."""
    folder = tmp_path / "installed"
    shutil.copytree(ROOT, folder / "dmft_rf", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """A file: no folder can be made below it, whoever asks."""
    path = tmp_path / "wall"
    path.write_text("")
    return path


def test_an_installation_that_cannot_be_written(installed: Path, wall: Path) -> None:
    """Nor the user's cache folder: compiled in memory."""
    (installed / "dmft_rf" / "kernels" / "__pycache__").write_text("")
    below = str(wall / "home")
    env = environment(installed, HOME=below, XDG_CACHE_HOME=below, PYTHONDONTWRITEBYTECODE="1")
    found = answer(start(KERNEL, env))
    assert found["package"].startswith(str(installed))
    assert found["compiled"]
    assert found["folder"] is None
    assert found["value"] == EXPECTED


def test_a_cache_in_the_home_folder(installed: Path, tmp_path: Path) -> None:
    """Beside a package that cannot be written; the second process finds what the first compiled."""
    (installed / "dmft_rf" / "kernels" / "__pycache__").write_text("")
    home = str(tmp_path / "home")
    env = environment(installed, HOME=home, XDG_CACHE_HOME=home, PYTHONDONTWRITEBYTECODE="1")
    first, second = (answer(start(KERNEL, env)) for _ in range(2))
    assert first["folder"].startswith(home)
    assert (first["hits"], second["hits"]) == (0, 1)
    assert first["value"] == second["value"] == EXPECTED


def test_a_cache_folder_that_cannot_be_written(installed: Path, wall: Path) -> None:
    found = answer(start(KERNEL, environment(installed, NUMBA_CACHE_DIR=str(wall))))
    assert found["compiled"]
    assert found["value"] == EXPECTED
    assert wall.read_text() == ""


def test_two_processes_that_compile_into_one_cache(installed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    env = environment(installed, NUMBA_CACHE_DIR=str(cache))
    both = [start(KERNEL, env) for _ in range(2)]
    for found in map(answer, both):
        assert found["folder"].startswith(str(cache))
        assert found["value"] == EXPECTED
    third = answer(start(KERNEL, env))
    assert third["hits"] == 1
    assert third["value"] == EXPECTED


def test_no_cache_and_no_compiler(installed: Path) -> None:
    uncached = answer(start(KERNEL, environment(installed, DMFT_RF_CACHE="0")))
    assert uncached["compiled"]
    assert uncached["folder"] is None
    plain = answer(start(KERNEL, environment(installed, NUMBA_DISABLE_JIT="1")))
    assert not plain["compiled"]
    assert uncached["value"] == plain["value"] == EXPECTED
    assert not list(installed.rglob("*.nb?"))


SOLVE = """
import json
import numpy as np
from dmft_rf import Covariance, ScoreModel, solve
model = ScoreModel(t=0.1, psi_p=8, psi_n=4, covariance=Covariance([0.5, 1.5]))
curves = solve(model, 1e-6).learning_curves(np.array([0.0, 1.0, 1e3, np.inf]))
print(json.dumps({"train": curves.train.tolist(), "test": curves.test.tolist()}))
"""


def test_a_solution_without_a_compiler() -> None:
    found = answer(start(SOLVE, environment(ROOT.parent, NUMBA_DISABLE_JIT="1")))
    model = ScoreModel(t=0.1, psi_p=8, psi_n=4, covariance=Covariance([0.5, 1.5]))
    here = solve(model, 1e-6).learning_curves(np.array([0.0, 1.0, 1e3, np.inf]))
    for name, values in found.items():
        apart = np.abs(getattr(here, name) - values)
        assert np.all(apart <= 2.0 * here.error[name])
