"""The complete example, shortened."""

import numpy as np
import pytest

from dmft_rf import advise
from dmft_rf.monitor import Monitor

pytest.importorskip("jax")
from validation.networks import example

pytestmark = pytest.mark.jax


def test_a_pilot_gives_advice_that_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    found = example.main("residual", few=24, many=48, width=48, most=5000)
    said = capsys.readouterr().out
    assert said.count("Stop: the held-out loss was least at step") == 2
    assert f"48 images: best at step {found['predicted']:,.0f}" in said
    assert found["low"] < found["predicted"] < found["high"]
    assert found["low"] < found["true"] < found["high"]
    assert 0.0 <= found["cost"] < 0.05


def test_what_happened_is_read_off_the_run() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 16))
    advice = advise(rows, 4000, 0.05, pilot=(40, 100), samples=[160])
    monitor = Monitor(n=160)
    # least at step 800, twice as late as predicted, and a parabola in the logarithm of the step
    for step in 100 * 2 ** np.arange(8):
        monitor.add(int(step), 0.2, 0.5 * (1.0 + 0.04 * np.log2(step / 800.0) ** 2))
    found = example.compared(advice, monitor)
    assert found["predicted"] == pytest.approx(400.0)
    assert found["true"] == pytest.approx(800.0)
    assert found["cost"] == pytest.approx(0.04)
    assert found["loss_true"] == pytest.approx(0.5)
    assert found["loss_predicted"] == advice.table["test_loss"][-1]
