"""The table of pairs of runs, and what is said from it."""

import math
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Covariance, ModelError, ScoreModel, solve
from dmft_rf.monitor import date, extrapolate
from dmft_rf.monitor.logs import Log
from dmft_rf.monitor.transfer import model_growth, predict, predictions, table
from validation.networks.analysis import transfer


def test_the_table_is_that_of_the_store() -> None:
    """But for the last digit, which rounding may change between processors."""
    found, stored = transfer.table(), table()
    for one in (found, stored):  # of the package: a later version may find the same table
        assert one["provenance"].pop("version")
    assert found["provenance"] == stored["provenance"]
    assert found["widening"] == stored["widening"]
    for name in ("coverage", "coverage_unwidened"):
        assert found[name] == pytest.approx(stored[name], abs=0.02)
    for one, other in zip(found["best_step"], stored["best_step"], strict=True):
        np.testing.assert_allclose(one.pop("seen"), other["seen"], atol=2e-3)
        assert one == pytest.approx({key: other[key] for key in one}, abs=0.011)


def test_the_range_holds_the_pairs_of_a_kind_that_was_left_out() -> None:
    """Without the widening, two thirds of some kinds."""
    held = table()["coverage"]
    assert set(held) == {"data", "side", "network", "width", "optimiser", "rate", "batch"}
    assert all(share >= 0.85 for share in held.values())
    assert min(table()["coverage_unwidened"].values()) < 0.7
    rng = np.random.default_rng(0)
    pairs = [
        transfer.Pair(2.0, float(np.exp(0.3 * rng.normal())), 0.0, {"side": str(k % 40)})
        for k in range(2000)
    ]
    # one of two kinds has more than half of the pairs: only the other is left out
    odd = [transfer.Pair(2.0, 9.0, 0.0, {"side": "1"}) for _ in range(20)]
    even = [transfer.Pair(2.0, 1.0 + 0.01 * k, 0.0, {"side": "2"}) for k in range(40)]
    assert transfer.coverage(odd + even, "side", 1.0) == 0.0
    assert transfer.coverage(even + odd[:1], "side", 1.0) == 0.0
    # kinds that do not differ: the range is that of its name
    assert transfer.coverage(pairs, "side", 1.0) == pytest.approx(0.9, abs=0.02)
    assert transfer.coverage(pairs, "side", 2.0) > 0.99


def test_the_page_has_the_numbers_of_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")
    for row in table()["best_step"]:
        low, high = (1.0 / end for end in reversed(row["seen"]))
        line = (
            f"| {row['times']:g} | {row['pairs']} | {low:.2f} to {high:.2f} | "
            f"{1 / row['high']:.2f} to {1 / row['low']:.2f} | {row['cost_mean_percent']:.1f}, "
            f"{row['cost_95_percent']:.1f} % |"
        )
        assert line in page


def test_the_linear_law_and_its_range() -> None:
    row = next(row for row in table()["best_step"] if row["times"] == 4)
    found = extrapolate(100, 500.0, 400)
    assert found.best_step == pytest.approx(2000.0)
    assert found.low == pytest.approx(2000.0 / row["high"])
    assert found.high == pytest.approx(2000.0 / row["low"])
    assert math.isnan(found.ratio_2)


def test_between_the_rows_and_below_them() -> None:
    shares = {
        n: 100.0 * n / 50 / extrapolate(50, 100.0, n).high for n in (50, 75, 100, 141, 200, 283)
    }
    assert shares[50] == pytest.approx(shares[75]) == pytest.approx(shares[100])
    assert shares[100] > shares[141] > shares[200] >= shares[283]


def test_beyond_8_times_there_is_only_a_range() -> None:
    near, far = extrapolate(64, 929.0, 512), extrapolate(64, 929.0, 1024, ratio_2=914.0, growth=9.0)
    assert near.best_step == pytest.approx(8 * 929.0)
    assert math.isnan(far.best_step)
    assert math.isnan(far.ratio_2)
    assert near.low < far.low < far.high
    assert far.ratio_2_high == pytest.approx(4.0 * far.ratio_2_low)


def test_in_epochs_of_fixed_batches_the_best_moment_does_not_move() -> None:
    step = np.geomspace(10.0, 1000.0, 40)
    test = 0.5 + 0.1 * np.log(step / 100.0) ** 2
    in_steps = date(Log(step, 1.0 / step, test))
    in_epochs = date(Log(step, 1.0 / step, test, unit="epoch"))
    one, other = predict(in_steps, 50, 200), predict(in_epochs, 50, 200)
    assert one.best_step == pytest.approx(400.0)
    assert other.best_step == pytest.approx(100.0)
    assert one.low / other.low == pytest.approx(4.0) == one.high / other.high
    assert other.n == 200
    rising = date(Log(step, 1.0 / step, 1.0 / step))
    assert predictions(rising, 50) == predictions(in_steps, None) == []
    with pytest.raises(ModelError, match="no step to start from: the held-out loss has not risen"):
        predict(rising, 50, 100)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((100, 500.0, 50), "n_new is 50, 0.5 times the 100 images of the pilot"),
        ((100, 500.0, 1601), "the evidence is for 1 to 16.0 times"),
        ((100, 0.0, 200), "best_step is 0.0"),
        ((0, 5.0, 200), "n is 0"),
    ],
)
def test_one_line_for_what_has_no_evidence(arguments: tuple[int, float, int], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        extrapolate(*arguments)


def test_growth_is_that_of_the_times_of_the_model() -> None:
    law = Covariance([0.5, 1.5], dimension=50)
    found = model_growth(law, 0.1, 200, 400)
    times = []
    for psi_n in (4.0, 8.0):
        solution = solve(ScoreModel(0.1, 1e4, psi_n, covariance=law), 1e-8)
        low, high = 1e-3, 1e9
        while high > low * (1.0 + 1e-6):
            middle = math.sqrt(low * high)
            at = solution.learning_curves(np.array([middle]))
            low, high = (middle, high) if at.test[0] < 2.0 * at.train[0] else (low, middle)
        times.append(low)
    # linear interpolation between 30 times a decade
    assert found == pytest.approx(times[1] / times[0], rel=2e-3)
    assert found > 1.0
    with pytest.raises(ModelError, match="no dimension"):
        model_growth(Covariance([0.5, 1.5]), 0.1, 200, 400)
