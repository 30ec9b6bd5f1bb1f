"""Compiled kernels where a cache can be kept, where none can, and as plain Python.

One small kernel in fresh processes; the numbers must be the same to the last digit. Permissions do
not stop a privileged user, so what cannot be written is a path through a file.
"""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import dmft_rf
from dmft_rf import Covariance, ScoreModel, solve
from dmft_rf.kernels import _jit

pytestmark = pytest.mark.compiled  # processes that choose for themselves whether to compile
ROOT = Path(dmft_rf.__file__).parent

KERNEL = """
import json, sys
import numpy as np
from dmft_rf.kernels.sample_covariance import second_order
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


BLAS = """
import json, sys
import dmft_rf.kernels._jit
alone = "scipy.linalg" not in sys.modules and "scipy.linalg.cython_blas" in sys.modules
table = sys.modules["scipy.linalg.cython_blas"]
import scipy.linalg.cython_blas
whole = scipy.linalg.cython_blas.__pyx_capi__
print(json.dumps([alone, whole.keys() == table.__pyx_capi__.keys()]))
"""


def test_of_scipy_a_start_loads_the_blas_alone() -> None:
    """Whoever imports scipy.linalg afterwards has all of it."""
    assert answer(start(BLAS, environment(ROOT.parent))) == [True, True]


# A damaged cache --------------------------------------------------------------------------

TINY = """
from dmft_rf.kernels._jit import njit

@njit
def double(x):
    return 2.0 * x + 1.0
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Load a kernel as a fresh process would; its cache is the folder ``cache``."""
    source = tmp_path / "tiny.py"
    source.write_text(TINY)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))

    def load() -> Any:
        spec = importlib.util.spec_from_file_location("tiny", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "tiny", module)
        _jit._stamp.cache_clear()
        spec.loader.exec_module(module)
        return module.double

    return load


def cached(folder: Path) -> list[Path]:
    found = sorted(path for path in (folder / "cache").rglob("*") if path.is_file())
    assert found
    return found


def hits(kernel: Any) -> int:
    return sum(kernel.stats.cache_hits.values())


def flip(place: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(bytes(content))

    return damage


def cut(length: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[:length]) and None


def instead(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "a pickle of something else": lambda path: path.write_bytes(pickle.dumps({"a": [1, 2]})),
    "of another numba": lambda path: path.write_bytes(pickle.dumps("0.1") + path.read_bytes()),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "one byte": cut(1),
    "cut in the head": cut(50),
    "nothing but the head": cut(64),
    "cut in the middle": cut(1000),
    "cut at the end": cut(-1),
    "flipped in the head": flip(3),
    "flipped in the digest": flip(40),
    "flipped in the code": flip(-700),
    "flipped at the end": flip(-1),
    "no permission": lambda path: path.chmod(0),
    "missing": lambda path: path.unlink(),
    "a folder": instead(lambda path: path.mkdir()),
    "a folder with something in it": instead(lambda path: (path / "a").mkdir(parents=True)),
    "a pipe": instead(os.mkfifo),
    "a dangling link": instead(lambda path: path.symlink_to("nowhere")),
    "a link to itself": instead(lambda path: path.symlink_to(path.name)),
}


def test_a_kernel_that_another_one_calls_is_compiled_anew_with_it(tiny, tmp_path) -> None:
    """The caller's own file stays as it is."""
    called, caller = tmp_path / "called.py", tmp_path / "tiny.py"
    caller.write_text(
        "import sys\n"
        "sys.path.insert(0, __file__.rpartition('/')[0])\n"
        "sys.modules.pop('called', None)\n"
        "from dmft_rf.kernels._jit import njit\n"
        "from called import one\n"
        "sys.path.pop(0)\n"
        "@njit\n"
        "def double(x):\n"
        "    return 2.0 * x + one()\n"
    )
    text = "from dmft_rf.kernels._jit import njit\n@njit\ndef one():\n    return {}\n"
    called.write_text(text.format("1.0"))
    assert tiny()(3.0) == 7.0
    again = tiny()
    assert (again(3.0), hits(again)) == (7.0, 1)
    called.write_text(text.format("10.0"))
    assert tiny()(3.0) == 16.0


def test_a_kernel_is_compiled_once_for_all_constants(tiny, tmp_path) -> None:
    """That other kernels give to it."""
    (tmp_path / "tiny.py").write_text(
        "from dmft_rf.kernels._jit import njit\n"
        "@njit\n"
        "def power(x, n):\n"
        "    return x ** n\n"
        "@njit\n"
        "def double(x):\n"
        "    return power(x, 2) + power(x, 3) + power(x, 1)\n"
    )
    kernel = tiny()
    assert kernel(3.0) == 39.0
    assert len(sys.modules["tiny"].power.signatures) == 1


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_compiled_anew(tiny, tmp_path, capfd, damage) -> None:
    assert tiny()(3.0) == 7.0
    for path in cached(tmp_path):
        damage(path)
    kernel = tiny()
    assert kernel(3.0) == 7.0
    again = tiny()
    assert again(3.0) == 7.0
    if not any(path.is_dir() and path.suffix for path in (tmp_path / "cache").rglob("*")):
        assert hits(again) == 1  # what was compiled has been kept in its place
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_file_of_other_types_or_another_kernel_is_not_believed(tiny, tmp_path) -> None:
    kernel = tiny()
    assert kernel(3.0) == 7.0
    (real,) = cached(tmp_path)
    assert kernel(3.0 + 1.0j) == 7.0 + 2.0j
    (other,) = set(cached(tmp_path)) - {real}
    shutil.copy(other, real)
    assert tiny()(3.0) == 7.0
    # of another length, which Python's own cache of modules goes by within a second
    (tmp_path / "tiny.py").write_text(TINY.replace("1.0", "5.00"))
    assert tiny()(3.0) == 11.0


@pytest.mark.parametrize("call", ["mkstemp", "write", "replace", "makedirs"])
def test_a_cache_that_cannot_be_written_to_is_done_without(
    tiny, tmp_path, monkeypatch, capfd, call
) -> None:
    """A quota, a full disk, a folder that somebody removed or took the permission away from."""
    kernel = tiny()

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(122, "Disk quota exceeded")

    with monkeypatch.context() as changed:
        if call == "mkstemp":
            changed.setattr("tempfile.TemporaryFile", refused)
        elif call == "write":
            changed.setattr(Path, "write_bytes", refused)
        else:
            changed.setattr(os, call, refused)
        assert kernel(3.0) == 7.0
    assert hits(kernel) == 0
    assert capfd.readouterr() == ("", "")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


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
