from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from figures.catalogue import MODULES, figure
from figures.numbers import Numbers
from figures.simulations import Simulations
from tests.helpers.tiny_figures import TINY


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Numbers]:
    """Numbers of a figure by name, computed once, as they come back from their file."""
    folder = tmp_path_factory.mktemp("figures")
    found: dict[str, Numbers] = {}

    def get(name: str) -> Numbers:
        if name not in found:
            module = importlib.import_module(f"figures.{MODULES[name]}")
            with pytest.MonkeyPatch.context() as patch:
                for constant, value in TINY[name].items():
                    patch.setattr(module, constant, value)
                simulations = Simulations(folder)
                simulations.complete(figure(name).cases("quick"))
                figure(name).compute("quick", simulations).save(folder / f"{name}.h5")
            found[name] = Numbers.load(folder / f"{name}.h5")
        return found[name]

    return get
