"""The table of networks on samples: what passes, what is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from validation.compare import samples


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "FEATURES", 32)


def test_errors_are_those_of_the_claim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Held-out sizes are not among those of the design; a second run computes nothing."""
    all_cases = list(samples.cases())
    design = {case.name for case in all_cases if not case.held_out}
    assert not design & {case.name for case in all_cases if case.held_out}
    arguments = ["--out", str(tmp_path), "--cases", "digits 0.1 64", "--quiet"]
    first = samples.main(arguments)
    table = capsys.readouterr().out
    kept = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [line["name"] for line in kept] == ["digits 0.1 64 tanh"]
    allowed = kept[0]["claimed"] + 2.0 * kept[0]["scatter"]
    errors = [abs(value) for value in kept[0]["errors"].values()]
    assert len(errors) == 4
    assert all(0.0 < error < 0.3 for error in errors)
    assert (max(errors) <= allowed) == kept[0]["passed"] == (first == samples.PASS)
    assert ("FAIL" in table) == (first == samples.FAIL)
    (tmp_path / "samples.jsonl").write_text(json.dumps(kept[0] | {"passed": False}) + "\n")
    assert samples.main(arguments) == samples.FAIL
    assert "FAIL" in capsys.readouterr().out
