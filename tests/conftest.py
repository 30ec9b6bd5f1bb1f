"""One BLAS thread: the matrices are small, and idle threads of a busy machine only spin."""

import os
import subprocess
import sys

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def matplotlib_folder(tmp_path_factory):
    """A folder in which matplotlib has its list of fonts."""
    folder = tmp_path_factory.mktemp("matplotlib")
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.font_manager"],
        env={**os.environ, "MPLCONFIGDIR": str(folder)}, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def warm_matplotlib(matplotlib_folder, monkeypatch):
    """Processes started by the test find that folder: matplotlib has nothing to say on stderr."""
    monkeypatch.setenv("MPLCONFIGDIR", str(matplotlib_folder))


@pytest.fixture(autouse=True)
def figures_closed():
    """Figures of pyplot stay open until they are closed; many of them are a warning."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_ignore_collect(collection_path, config):
    """JAX starts threads, beside which other tests must not fork: see `pytest -m jax`."""
    if collection_path.suffix != ".py" or config.option.markexpr == "jax":
        return None
    return 'importorskip("jax")' in collection_path.read_text() or None


def pytest_collection_modifyitems(config, items):
    """Without the compiler, what would take long there is left out: see the marker `compiled`."""
    import numba

    if not numba.config.DISABLE_JIT:
        return
    left_out = [item for item in items if item.get_closest_marker("compiled")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("compiled")]
