"""A function is known by its values: what it reads may change, its name says nothing."""

import pickle

import numpy as np
import pytest

from dmft_rf import Covariance, DataError, Mixture, ModelError, ScoreModel, solve, sweep
from dmft_rf.model.activation import NAMED, Activation
from dmft_rf.model.coefficients import coefficients
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.quantities import Request
from tests.helpers.fingerprints import OVER, fingerprint
from tests.helpers.sweeping import run_script

SCALE = 1.0


def scaled(x):
    return np.tanh(SCALE * x)


class Scaled:
    """A function with an attribute."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return np.tanh(self.scale * x)


def of_global(monkeypatch):
    return scaled, lambda scale: monkeypatch.setitem(globals(), "SCALE", scale)


def of_closure(monkeypatch):
    scale = 1.0

    def function(x):
        return np.tanh(scale * x)

    def change(value):
        nonlocal scale
        scale = value

    return function, change


def of_attribute(monkeypatch):
    function = Scaled(1.0)
    return function, lambda scale: setattr(function, "scale", scale)


def of_array(monkeypatch):
    weights = np.array([1.0])

    def function(x):
        return np.tanh(weights[0] * x)

    return function, lambda scale: weights.__setitem__(0, scale)


@pytest.fixture(params=[of_global, of_closure, of_attribute, of_array])
def changing(request, monkeypatch):
    """tanh(scale x), and what changes the scale."""
    return request.param(monkeypatch)


# -- functions that change ----------------------------------------------------------------------


def test_a_model_is_what_its_function_was_when_it_was_made(changing):
    """One that exists keeps its numbers, one that is made afterwards has those of the change."""
    function, change = changing
    first = ScoreModel(0.1, 8.0, 4.0, function)
    first_law, stated = solve(first).train_limit, first.coefficients
    change(2.0)
    assert first.coefficients == stated
    assert solve(first).train_limit == first_law
    right = ScoreModel(0.1, 8.0, 4.0, lambda x: np.tanh(2.0 * x)).coefficients
    for model in (ScoreModel(0.1, 8.0, 4.0, function), first.replace(psi_n=5.0)):
        assert model.coefficients == right
        assert model.coefficients != stated
        assert model.activation != first.activation
    assert coefficients(function, 0.1) == right
    assert coefficients(Activation.of(function), 0.1) == right
    change(1.0)
    assert coefficients(function, 0.1) == stated


def test_every_class_of_a_mixture_sees_the_change(changing):
    function, change = changing
    model = ScoreModel(0.1, 8.0, 4.0, function, Mixture([0.5, 0.5], [[1.0, 2.0], [3.0, 9.0]]))
    change(2.0)
    right = model.replace(activation=lambda x: np.tanh(2.0 * x))
    for one, other in zip(model.replace().classes, right.classes, strict=True):
        assert one.coefficients == other.coefficients
    assert model.classes[0].coefficients != right.classes[0].coefficients


def test_a_stored_sweep_is_not_taken_for_that_of_a_changed_function(changing, tmp_path):
    function, change = changing
    model = ScoreModel(0.1, 8.0, 4.0, function)
    first = sweep(model, OVER, "tau_mem", path=tmp_path / "a.h5")
    change(2.0)
    with pytest.raises(DataError, match="something else"):
        sweep(model, OVER, "tau_mem", path=tmp_path / "a.h5")
    second = sweep(model, OVER, "tau_mem", path=tmp_path / "b.h5")
    right = sweep(ScoreModel(0.1, 8.0, 4.0, lambda x: np.tanh(2.0 * x)), OVER, "tau_mem")
    np.testing.assert_array_equal(second.quantities["tau_mem"], right.quantities["tau_mem"])
    change(1.0)
    again = sweep(model, OVER, "tau_mem", path=tmp_path / "a.h5")
    np.testing.assert_array_equal(again.quantities["tau_mem"], first.quantities["tau_mem"])


def test_a_function_that_changes_during_a_sweep_ends_it(changing, tmp_path):
    """Its later points would stand under the fingerprint of the earlier ones."""
    function, change = changing
    model = ScoreModel(0.1, 8.0, 4.0, function)

    def meanwhile(done, total):
        if done == 1:
            change(2.0)

    with pytest.raises(ModelError, match="other values than when the sweep was stated"):
        sweep(model, OVER, "tau_mem", path=tmp_path / "a.h5", progress=meanwhile)
    change(1.0)
    whole = sweep(model, OVER, "tau_mem", path=tmp_path / "a.h5")
    right = sweep(ScoreModel(0.1, 8.0, 4.0, np.tanh), OVER, "tau_mem")
    np.testing.assert_array_equal(whole.quantities["tau_mem"], right.quantities["tau_mem"])


ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
import functions
from dmft_rf import ModelError, ScoreModel, sweep
if __name__ == "__main__":
    functions.SCALE = 2.0
    try:
        sweep(ScoreModel(0.1, 8.0, 4.0, functions.scaled), {"psi_n": [2.0]}, "tau_mem", workers=1)
    except ModelError as error:
        print(error)
"""


def test_a_function_that_is_another_one_in_a_worker_process(tmp_path):
    """A worker imports the module afresh: what was set afterwards is not set there."""
    (tmp_path / "functions.py").write_text(
        "import numpy as np\nSCALE = 1.0\ndef scaled(x): return np.tanh(SCALE * x)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(ELSEWHERE)
    said = run_script(script, tmp_path).stdout
    assert "different in a worker process" in said
    assert said.count("\n") == 1


# -- what tells functions apart -----------------------------------------------------------------


def test_a_clip_beyond_eight_is_seen(tmp_path):
    """sigma_x^2 = 200: the Gaussian averages reach to |x| = 500."""
    covariance = Covariance([100.0, 300.0])
    path, found = tmp_path / "a.h5", []
    for clip in (10.0, 20.0):
        model = ScoreModel(0.1, 8.0, 4.0, lambda x, clip=clip: np.clip(x, -clip, clip), covariance)
        if found:
            with pytest.raises(DataError, match="something else"):
                sweep(model, OVER, "tau_mem", path=path)
        found.append(sweep(model, OVER, "tau_mem", path=path, overwrite=True))
    first, second = (one.quantities["tau_mem"] for one in found)
    assert np.all(second > 1.5 * first)


@pytest.mark.parametrize("size", [1e-30, 1e-7, 1.0, 1e5, 1e12])
@pytest.mark.parametrize("over", [{}, {"isotropic.scale": [1.0, None]}, {"covariance": [None]}])
def test_the_reach_of_the_averages_is_seen_whatever_the_scale(size, over):
    """The same clip in units of the data: numbers in this process and identities in files."""

    def stated(clip):
        def function(x):
            return np.clip(x, -clip * size, clip * size)

        if not over:
            return ScoreModel(3.0, 8.0, 4.0, function, Covariance([1e3 * size**2, 3e3 * size**2]))
        return ScoreModel(3.0, 8.0, 4.0, function)

    law = Covariance([7.0 * size**2])
    value = {"isotropic.scale": 7.0 * size**2, "covariance": law}
    swept = {name: [value[name] if v is None else v for v in vs] for name, vs in over.items()}
    found, identities = [], set()
    for clip in (1.0, 2.0):
        model = stated(clip)
        found.append(model.replace(covariance=law if over else model.covariance).coefficients)
        plan = Plan(model, GradientFlow(), {**OVER, **swept}, Request(("tau_mem",)))
        identities.add(plan.fingerprint)
    assert len(identities) == 2
    if size >= 1.0:  # narrower ones are dominated by the noise
        assert found[1].mu1 != found[0].mu1


CLIP = 1.3


def changed(what, by):
    """A clipped, kinked function with one of its parameters changed by a relative amount."""
    value = {"clip": 30.0, "kink": CLIP, "scale": 0.7, "slope": 0.1, "shift": 0.2}
    value[what] *= 1.0 + by

    def function(x):
        inner = np.maximum(x - value["kink"], 0.0) + value["slope"] * x + value["shift"]
        return np.tanh(value["scale"] * x) + np.clip(inner, -value["clip"], value["clip"])

    return function


@pytest.mark.parametrize("what", ["clip", "kink", "scale", "slope", "shift"])
@pytest.mark.parametrize("by", [0.3, 1e-3, 1e-6, 1e-9, -1e-9])
def test_small_changes_are_seen(what, by):
    def digest(by):
        return Activation("f", changed(what, by)).values

    assert digest(by) != digest(0.0)
    assert digest(0.0) == digest(0.0)


@pytest.mark.parametrize("at", [1e-4, 0.03, 0.5, 1.0, 3.7, 12.0, 90.0, 2000.0])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_feature_as_wide_as_the_distance_of_nodes_is_seen(at, side):
    """One of 3 % of its place, wherever it is: what the first quadrature would see."""

    def function(x):
        return np.tanh(x) + 1e-3 * np.exp(-(((x - side * at) / (0.03 * at)) ** 2))

    assert Activation("f", function) != Activation("f", np.tanh)


def test_a_feature_between_declared_kinks_is_seen():
    kinks = (0.5, 0.5001)

    def bump(x):
        return np.where((x > 0.5) & (x < 0.5001), 1.0, np.tanh(x))

    assert Activation("f", bump, kinks) != Activation("f", np.tanh, kinks)


# Of 20,000 functions with a third of their last bits changed one had another identity: a processor
# that rounds otherwise has a sweep of a user's function begun anew once in some ten thousand times.
def test_rounding_is_not_seen():
    """Another processor may round the last bit otherwise; the same function has one identity."""

    def other(function):
        def rounded(x):
            y = function(x)
            return np.where(x.view(np.int64) % 3 == 0, np.nextafter(y, 0.0), y)

        return rounded

    for function in (np.tanh, np.sin, np.arctan, lambda x: np.clip(x, -1, 1), lambda x: x**3):
        assert Activation("f", function) == Activation("f", other(function))


def test_the_fingerprint_is_the_same_in_a_fresh_process(tmp_path):
    program = (
        "import numpy as np\n"
        "from dmft_rf import ScoreModel\nfrom dmft_rf.sweeps.plan import Plan\n"
        "from dmft_rf import GradientFlow\nfrom dmft_rf.sweeps.quantities import Request\n"
        "model = ScoreModel(0.1, 8.0, 4.0, lambda x: np.tanh(x) + 0.1 * np.maximum(x, 0.3))\n"
        "plan = Plan(model, GradientFlow(), {'psi_n': [2.0, 4.0]}, Request(('tau_mem',)))\n"
        "print(plan.fingerprint)\n"
    )
    model = ScoreModel(0.1, 8.0, 4.0, lambda x: np.tanh(x) + 0.1 * np.maximum(x, 0.3))
    assert run_script(program).stdout.strip() == fingerprint(model)


def test_named_ones_are_known_by_name():
    for name, activation in NAMED.items():
        assert activation.values == ""
        assert Activation.of(activation) is activation
        assert pickle.loads(pickle.dumps(activation)) == activation
        assert Activation(name, activation.function, activation.kinks) == activation
    plan = [fingerprint(ScoreModel(0.1, 8.0, 4.0, one)) for one in ("tanh", np.tanh)]
    assert plan[0] == plan[1]


def test_a_function_under_the_name_of_another_one_is_called_its_own(tmp_path):
    """A file holds the name: from it the model would come back with the package's function."""

    def tanh(x):
        return np.tanh(2.0 * x)

    from dmft_rf.files.results import load

    model = ScoreModel(0.1, 8.0, 4.0, tanh)
    assert model.activation.name == "own tanh"
    sweep(model, OVER, "tau_mem", path=tmp_path / "a.h5")
    with pytest.raises(ModelError, match="own tanh"):
        load(tmp_path / "a.h5")["sweep"].model()
    from scipy.special import erf

    assert Activation.of(erf).name == "erf"  # it is the same


def test_equal_functions_share_their_numbers():
    pairs = [Activation.of(lambda x: np.tanh(3.0 * x)) for _ in range(2)]
    assert pairs[0] == pairs[1]
    assert hash(pairs[0]) == hash(pairs[1])
    assert coefficients(pairs[0], 0.1) is coefficients(pairs[1], 0.1)
    assert Activation.of(pairs[0]) is pairs[0]
