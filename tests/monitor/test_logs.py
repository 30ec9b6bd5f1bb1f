"""Logs of other programs, and what is wrong with some."""

import math
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import DataError, ModelError
from dmft_rf.monitor import read_log

# as the programs write them
LIGHTNING = """epoch,step,train_loss_epoch,train_loss_step,val_loss
0,49,,0.9,
0,99,,0.7,
0,99,,,0.85
0,99,0.8,,
1,149,,0.5,
1,199,,,0.6
1,199,0.5,,
2,299,,,0.55
2,299,0.4,,
"""
KERAS = "epoch,loss,val_loss\n0,0.8,0.85\n1,0.5,0.6\n2,0.4,0.55\n"
TRAINER = """,loss,grad_norm,learning_rate,epoch,step,eval_loss,eval_runtime
0,0.8,1.0,1e-4,0.5,100,,
1,,,,0.5,100,0.85,1.2
2,0.5,1.0,1e-4,1.0,200,,
3,,,,1.0,200,0.6,1.2
4,0.4,1.0,1e-4,1.5,300,,
5,,,,1.5,300,0.55,1.2
"""
ACCELERATE = "step;train/loss;eval/loss\n100;0.8;0.85\n200;0.5;0.6\n300;0.4;0.55\n"
OWN = """step,train_loss,test_loss,memorized_fraction,memorized_error,frechet_distance,frechet_error
100,0.8,0.85,,,,
200,0.5,0.6,0.25,0.01,1.5,0.1
300,0.4,0.55,,,,
"""


def written(tmp_path: Path, text: str, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "step", "unit"),
    [
        (LIGHTNING.replace(",train_loss_step", ",noise"), [99, 199, 299], "step"),
        (KERAS, [1, 2, 3], "epoch"),
        (TRAINER, [100, 200, 300], "step"),
        (ACCELERATE, [100, 200, 300], "step"),
        (OWN, [100, 200, 300], "step"),
        ("﻿" + KERAS.replace(",", "\t"), [1, 2, 3], "epoch"),
        (ACCELERATE.replace("train/loss", "Train Loss"), [100, 200, 300], "step"),
    ],
    ids=["Lightning", "Keras", "Trainer", "accelerate", "Monitor", "tabs", "capitals"],
)
def test_logs_of_other_programs(tmp_path: Path, text: str, step: list[float], unit: str) -> None:
    log = read_log(written(tmp_path, text))
    assert log.step.tolist() == step
    assert log.train.tolist() == [0.8, 0.5, 0.4]
    assert log.test.tolist() == [0.85, 0.6, 0.55]
    assert log.unit == unit
    np.testing.assert_allclose(log.ratio, [0.85 / 0.8, 0.6 / 0.5, 0.55 / 0.4])


def test_what_a_monitor_measured_besides(tmp_path: Path) -> None:
    log = read_log(written(tmp_path, OWN))
    assert list(log.measured) == [
        "memorized_fraction", "memorized_error", "frechet_distance", "frechet_error",
    ]  # fmt: skip
    np.testing.assert_array_equal(log.measured["memorized_fraction"], [math.nan, 0.25, math.nan])
    np.testing.assert_array_equal(log.measured["frechet_distance"], [math.nan, 1.5, math.nan])


def test_a_line_of_a_monitor_that_a_kill_cut_off_does_not_count(tmp_path: Path) -> None:
    for end in range(1, len("300,0.4,0.55,,,,\n")):
        log = read_log(written(tmp_path, OWN[:-end]))
        assert log.step.tolist() == [100, 200]


def test_curves_of_tensorboard(tmp_path: Path) -> None:
    train = written(tmp_path, "Wall time,Step,Value\n1.0,10,0.9\n2.0,20,0.7\n3.0,30,0.5\n", "a.csv")
    test = written(tmp_path, "Wall time,Step,Value\n2.0,20,0.8\n3.0,30,0.6\n", "b.csv")
    log = read_log(train, test=test)
    assert log.step.tolist() == [20, 30]
    np.testing.assert_allclose(log.train, [0.8, 0.5])  # the mean since the previous one
    assert log.test.tolist() == [0.8, 0.6]
    with pytest.raises(DataError, match=r"one in each file.*test=FILE \(--test FILE\)"):
        read_log(train)


def test_train_losses_at_other_steps(tmp_path: Path) -> None:
    """The mean since the last held-out loss, between sparse ones the line, before them none."""
    text = (
        "step,loss,val_loss\n5,,1.0\n10,0.9,\n20,0.7,\n25,,0.9\n30,0.4,0.8\n35,,0.7\n40,0.2,\n"
        "40,,0.6\n"
    )
    log = read_log(written(tmp_path, text))
    assert log.step.tolist() == [25, 30, 35, 40]
    np.testing.assert_allclose(log.train, [0.8, 0.4, 0.3, 0.2])


def test_columns_of_any_name(tmp_path: Path) -> None:
    path = written(tmp_path, "t,mse,mse held-out\n1,0.5,0.6\n2,0.4,0.5\n")
    log = read_log(path, columns={"step": "t", "train": "mse", "test": "mse held-out"})
    assert log.test.tolist() == [0.6, 0.5]
    assert log.columns == {"step": "t", "train": "mse", "test": "mse held-out"}
    with pytest.raises(ModelError, match="columns has 'x'"):
        read_log(path, columns={"x": "t"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("step,loss\n1,0.5\n", r"no column of the held-out loss; looked for val_loss, eval_loss, "),
        ("step,val_loss\n1,0.5\n", "no column of the train loss; looked for train_loss, "),
        ("loss,val_loss\n1,0.5\n", "no column of steps; looked for step, .*found loss, val_loss"),
        ("step,loss,val_loss\n1,0.5,0.6\n2,nan,0.6\n", "line 3: loss is nan: the run has diverged"),
        ("step,loss,val_loss\n1,0.5,0.6\n2,0.5,inf\n", "line 3: val_loss is inf"),
        ("step,loss,val_loss\n1,0.5,0.6\n2,0.5,high\n", "line 3: val_loss is 'high', no number"),
        ("step,loss,val_loss\n5,0.5,0.6\n5,0.5,0.6\n", "line 3: step 5 follows 5; steps must incr"),
        ("step,loss,val_loss\n5,0.5,0.6\n2,0.5,0.6\n", "line 3: step 2 follows 5"),
        ("step,loss,val_loss\n-1,0.5,0.6\n", "step is -1, below 0"),
        ("step,loss,val_loss\n,0.5,0.6\n", "line 2: step is empty, no number"),
        ("step,loss,val_loss\n1,0.5,\n2,0.5,\n", "no held-out loss in column 'val_loss'"),
        ("step,loss,val_loss\n1,,0.5\n2,0.5,\n", "no train loss was logged up to the last"),
        ("step,loss,val_loss\n1,0.5,0.6,0.7\n", "line 2 has 4 cells, the header has 3"),
        ("", "the file is empty"),
    ],
)
def test_one_line_for_a_log_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_log(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "log.csv" in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xff\xfe\x00step")
    with pytest.raises(DataError, match="not a text file in UTF-8"):
        read_log(path)
    with pytest.raises(DataError, match="no such file"):
        read_log(tmp_path / "none.csv")
