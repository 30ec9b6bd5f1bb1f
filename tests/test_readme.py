"""The README's Python and numbers."""

import re
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, scaling

README = Path(__file__).parents[1] / "README.md"


def test_the_page_of_python_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    names: dict = {}
    exec(code, names)
    assert names["solution"].error_estimate < 1e-10
    assert names["curves"].train.shape == names["tau"].shape


def test_the_local_exponents_it_quotes() -> None:
    model = ScoreModel(t=0.01, psi_p=256, psi_n=8, covariance=Covariance.isotropic())
    found = scaling(model, "psi_n", [2.0, 8.0, 64.0]).local_exponents["tau_mem"]
    np.testing.assert_allclose(found, [1.21, 0.992, 0.587], atol=5e-3)


@pytest.mark.parametrize("image", ["timescales.png", "digits-scaling.png"])
def test_its_pictures_are_there(image: str) -> None:
    assert f"docs/images/{image}" in README.read_text(encoding="utf-8")
    assert (README.parent / "docs" / "images" / image).stat().st_size > 10_000
