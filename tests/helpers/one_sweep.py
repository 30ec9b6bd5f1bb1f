"""A small sweep that tests of files share."""

import pytest

from dmft_rf import ScoreModel, sweep
from dmft_rf.files.ledger import Ledger

MODEL = ScoreModel(0.1, 8.0, 4.0)
OVER = {"psi_n": [1.0, 2.0, 5.0, 9.0], "psi_p": [2.0, 3.0, 8.0, 40.0], "t": [0.05, 0.3]}


def killed_at_the_very_end(path, over):
    """A sweep whose process ends when its file is complete and its ledger is still there."""

    def end(ledger):
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "remove", end)
        with pytest.raises(SystemExit):
            sweep(MODEL, over, "tau_mem", path=path)
    assert path.with_name(path.name + ".points").exists()
