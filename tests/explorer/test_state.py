"""The state of a page: links that restore it, lines of Python that compute it, wrong ones."""

import io
import math
from contextlib import redirect_stdout
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmft_rf import Covariance, GradientFlow, ModelError, StochasticGradientDescent
from dmft_rf.explorer import answers
from dmft_rf.explorer.state import ACTIVATIONS, TABS, State

positive = st.floats(1e-6, 1e6)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        State,
        t=positive,
        psi_p=st.one_of(positive, st.just(math.inf)),
        psi_n=positive,
        noise_draws=st.sampled_from([1.0, 3.0, math.inf]),
        activation=st.sampled_from(ACTIVATIONS),
        covariance=st.sampled_from(["isotropic", "power-law:1.5", "0.5,1.5", "digits", "upload"]),
        weight_decay=st.sampled_from([0.0, 1 / 3]),
        sgd_noise=st.sampled_from([0.0, 1e-7]),
        tab=st.sampled_from(TABS),
    )
)
def test_a_link_restores_the_state_to_the_last_bit(state: State) -> None:
    assert State.from_query(state.query()) == state


def test_the_first_page_has_an_empty_link() -> None:
    assert State().query() == {}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"psi_m": "3"}, "psi_p"),
        ({"t": "soon"}, "'soon'"),
        ({"activation": "sine"}, "sine"),
        ({"tab": "secrets"}, "secrets"),
        ({"covariance": "1," * 5000}, "characters"),
    ],
)
def test_a_wrong_link_is_refused(query: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        State.from_query(query)


@pytest.mark.parametrize(
    "covariance", ["minus", "power-law:x", "0.5,", "/etc/passwd", "__import__"]
)
def test_no_covariance(covariance: str) -> None:
    with pytest.raises(ModelError, match="covariance is"):
        State(covariance=covariance).model()


def test_an_upload_must_be_there() -> None:
    with pytest.raises(ModelError, match="uploaded again"):
        State(covariance="upload").model()
    law = Covariance([1.0, 2.0])
    assert State(covariance="upload").model(law).covariance == law


def test_rules() -> None:
    assert State(weight_decay=0.5).rule() == GradientFlow(weight_decay=0.5)
    noisy = State(sgd_noise=0.01, weight_decay=0.5).rule()
    assert noisy == StochasticGradientDescent(noise=0.01, weight_decay=0.5)


@pytest.mark.parametrize(
    "state",
    [
        State(),
        State(psi_p=math.inf, covariance="0.5,1.5"),
        State(covariance="power-law:1", noise_draws=2.0, activation="relu"),
        State(sgd_noise=0.01, weight_decay=0.001),
    ],
    ids=lambda state: state.covariance,
)
def test_the_lines_compute_what_the_page_shows(state: State) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(state.lines(), {})
    found = answers.learning(state.model(), state.rule())
    times = printed.getvalue().splitlines()[0]
    opt = float(times.split()[-2])
    assert found.times["tau_opt"] == pytest.approx(opt, rel=1e-3)
    losses = np.array(printed.getvalue().replace("[", " ").replace("]", " ").split()[-9:], float)
    at = np.array([1.0, 10.0, 100.0])
    inside = at >= found.curves["tau"][0]
    shown = [
        np.interp(np.log(at), np.log(found.curves["tau"]), found.curves[name])
        for name in ("score_error", "test", "train")
    ]
    assert inside.sum() >= 2
    printed_losses = losses.reshape(3, 3)
    np.testing.assert_allclose(np.array(shown)[:, inside], printed_losses[:, inside], rtol=0.01)


def test_every_slider_is_a_field_of_the_state() -> None:
    page = pytest.importorskip("dmft_rf.explorer.page", reason="needs Panel (extra explore)")
    assert set(page._VALUES) < {field.name for field in fields(State)}
