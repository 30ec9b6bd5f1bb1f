"""The table of networks on samples: what passes, what is resumed, where pictures come from."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmft_rf import DataError, ImageModel
from dmft_rf.images.networks import drawn_networks
from validation.compare import samples
from validation.finite import imagery

ROOT = Path(__file__).parents[3]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / samples.FILE).read_text().splitlines()]


def test_errors_are_those_of_the_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out sizes are not among those of the design; a second run computes nothing."""
    monkeypatch.setattr(samples, "FEATURES", 32)
    all_cases = list(samples.cases())
    assert {case.draws for case in all_cases if case.data == "digits" and case.n < 128} == {160}
    monkeypatch.setattr(samples.Sizes, "draws", 12)
    design = {case.name for case in all_cases if not case.held_out}
    assert not design & {case.name for case in all_cases if case.held_out}
    arguments = ["--out", str(tmp_path), "--cases", "digits 0.1 64", "--quiet"]
    first = samples.main(arguments)
    assert "digits | 0.1 | 32 | 64 | tanh" in capsys.readouterr().out
    networks, equations, theory = kept = lines(tmp_path)
    assert {line["name"] for line in kept} == {"digits 0.1 64 tanh 32"}
    model = ImageModel(imagery.rows("digits"), 0.1, 64, features=32)
    drawn = drawn_networks(model, networks["found"]["draws"])
    assert len(drawn.places) == 12
    by_mode = 1.0 / drawn.places  # what is learned of each mode in the end
    fitted = np.einsum("ri,ri->r", by_mode, drawn.learned - 2.0 * drawn.known)
    rest = np.einsum("ri,rij,rj->r", by_mode, drawn.pairs, by_mode)
    gap = networks["found"]["values"]["final_gap"]
    # sums of the same numbers in another order
    assert gap == pytest.approx(np.mean(fitted + rest), rel=1e-10)
    assert networks["found"]["errors"]["final_gap"] * gap == pytest.approx(
        np.std(fitted + rest, ddof=1) / math.sqrt(12), rel=1e-8
    )
    allowed = equations["found"]["claimed"]
    for name in samples.QUANTITIES:
        true, scatter = (networks["found"][key][name] for key in ("values", "errors"))
        assert 0.0 < scatter < 0.1
        assert 0.0 < abs(equations["found"]["values"][name] / true - 1.0) < 0.3
        assert abs(theory["found"]["values"][name] / true - 1.0) < 1.0
    assert samples.main(arguments) == first == samples.PASS
    assert lines(tmp_path) == kept

    # further off than claimed: by more than two standard errors it fails, by less it passes
    for factor, expected in ((2.1, samples.FAIL), (1.9, samples.PASS)):
        true, scatter = (networks["found"][key]["final_gap"] for key in ("values", "errors"))
        equations["found"]["values"] = networks["found"]["values"] | {
            "final_gap": true * (1.0 + allowed + factor * scatter)
        }
        (tmp_path / samples.FILE).write_text("".join(json.dumps(line) + "\n" for line in kept))
        capsys.readouterr()
        assert samples.main(arguments) == expected
        said = capsys.readouterr().out
        assert ("FAIL" in said) == (expected == samples.FAIL)
        assert "5 missed" in said  # the aim is below the claim
    other = {"name": "digits 0.1 128 tanh 32", "part": "equations", "found": {}}
    with (tmp_path / samples.FILE).open("a") as file:
        file.write(json.dumps(other) + "\n")
    assert samples.main([*arguments, "--again", "equations"]) == samples.PASS
    assert len(lines(tmp_path)) == 4
    assert other in lines(tmp_path)


def test_pictures_of_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (130, 28, 28))
    np.save(tmp_path / "own.npy", pictures)
    work = samples.Work({"fashion": str(tmp_path / "own.npy")})
    rows = work.rows("fashion")
    assert rows.shape == (130, 49)
    blocks = pictures[5, 4:8, 8:12].mean() - pictures[:, 4:8, 8:12].mean()
    assert rows[5, 7 + 2] / rows[6, 7 + 2] == pytest.approx(
        blocks / (pictures[6, 4:8, 8:12].mean() - pictures[:, 4:8, 8:12].mean())
    )
    with pytest.raises(DataError, match="30 x 30 cannot be averaged to 14 x 14"):
        imagery.averaged(np.zeros((2, 30, 30)), 14)
    out = ["--out", str(tmp_path), "--quiet", "--cases", "fashion 0.1 64", "--images"]
    for wrong, said in (("mine=x", "must be NAME=PATH"), ("fashion=x", "no data 'x'")):
        assert samples.main([*out, wrong]) == 2
        assert said in capsys.readouterr().err


def test_the_page_shows_what_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is computed, and no data set has to be there."""
    assert samples.main(["--out", str(ROOT / "docs" / "data"), "--stored"]) == samples.PASS
    table = capsys.readouterr().out.strip()
    assert "| mnist | 0.1 | 512 | 64 | tanh |" in table
    assert table in (ROOT / "docs" / "images.md").read_text()
