"""Sweeps on a Dask cluster: workers are killed while they work, the file is the same."""

import json

import numpy as np
import pytest

from dmft_rf import ModelError, ScoreModel, sweep
from dmft_rf.sweeps.workers import dask_executor
from tests.helpers.sweeping import contents, run_script

pytest.importorskip("distributed")

OVER = {"psi_p": [1.5, 3.0, 9.0, 27.0, 90.0], "psi_n": np.geomspace(0.7, 30.0, 12).tolist()}
WANTED = ["tau_mem", "score_error"]
TAU = [1.0, 100.0]

# A process of its own: a cluster has threads, sockets and processes that end when they like. The
# workers' nannies start new workers in place of those that are killed.
CLUSTER = """
import json, os, signal, sys
if __name__ == "__main__":
    from distributed import LocalCluster
    from dmft_rf import ScoreModel, sweep
    from dmft_rf.sweeps.workers import dask_executor
    over, wanted, tau = json.loads(sys.argv[2])
    killed = []
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster, dask_executor(cluster.scheduler_address) as executor:
        def progress(done, total):
            if done >= 8 * (len(killed) + 1) and len(killed) < 3:
                nanny = list(cluster.workers.values())[len(killed) % 2]
                if nanny.pid is not None and nanny.pid not in killed:
                    os.kill(nanny.pid, signal.SIGKILL)
                    killed.append(nanny.pid)
        sweep(ScoreModel(0.1, 8.0, 4.0), over, wanted, tau=tau, path=sys.argv[1],
              executor=executor, progress=progress)
    print("killed", len(killed))
"""


def test_a_cluster_whose_workers_are_killed_gives_the_same_file(tmp_path):
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    path, plain = tmp_path / "cluster.h5", tmp_path / "plain.h5"
    done = run_script(script, path, json.dumps([OVER, WANTED, TAU]), warnings="default")
    assert "killed 3" in done.stdout
    sweep(ScoreModel(0.1, 8.0, 4.0), OVER, WANTED, tau=TAU, path=plain)
    assert contents(path) == contents(plain)


def test_a_scheduler_that_is_not_there_is_named():
    code = (
        "from dmft_rf import ModelError\n"
        "from dmft_rf.sweeps.workers import dask_executor\n"
        "try:\n"
        "    with dask_executor('tcp://127.0.0.1:9', timeout=1.0): pass\n"
        "except ModelError as error: print(error)\n"
    )
    assert "127.0.0.1:9" in run_script(code, warnings="default").stdout
    with pytest.raises(ModelError, match="nonsense"), dask_executor("nonsense://x"):
        pass


ADDRESSES = [
    "nonsense",
    "",
    "http://localhost:80",
    "tls://127.0.0.1:8786",
    "tcp://localhost:a",
    "\x1b[31m",
]
COMMAND = """
import sys
from typer.testing import CliRunner
from dmft_rf.cli import app
for address in sys.argv[1:]:
    answer = CliRunner().invoke(app, ["scaling", "--points", "3", "--dask", address])
    print(answer.exit_code, answer.stderr, end="")
"""


def test_bad_addresses_are_one_line_each_and_nothing_after_it():
    """To the end of the process, when a client that was never connected would complain."""
    done = run_script(COMMAND, *ADDRESSES)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(ADDRESSES)
    for line in lines:
        assert line.startswith("2 error: no Dask scheduler at '")
        assert line.isprintable()
