"""The second route of the issue: small networks trained step by step, against the filters."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dmft_rf as rf
from dmft_rf.rules.flow import Rule
from tests.helpers.plain import Network, network

TWO = rf.Covariance([0.5, 1.5], [0.5, 0.5])
D = 30
ODE_RTOL = 1e-10


@pytest.fixture(
    params=[
        rf.ScoreModel(0.1, 2.0, 1.0, "tanh", TWO),
        rf.ScoreModel(0.1, 0.5, 2.0, "relu", TWO),
        rf.ScoreModel(0.5, 4.0, 1.0, "erf", TWO),
        rf.ScoreModel(0.1, 2.0, 1.0, "linear", TWO),
    ],
    ids=["tanh", "relu", "erf, atom", "linear, atom at 0"],
)
def net(request: pytest.FixtureRequest) -> Network:
    return network(request.param, D, seed=7)


def by_filter(net: Network, rule: Rule, tau: np.ndarray, start: np.ndarray) -> list[np.ndarray]:
    """B(tau) = -(1/sqrt(Delta_t)) V^T h(U) + B_0 g(U), each (d, p)."""
    values, vectors = net.eigen()
    rate = net.model.rate
    null = np.abs(values) < 1e-12 * values[-1]
    # the null space of a linear U: V has no part in it, whatever the filter; B_0 stays there
    h = np.where(null, 0.0, rule.filter(np.where(null, 1.0, values), tau, rate))
    g = rule.memory(np.where(null, 1e-30, values), tau, rate)
    force = net.V.T @ vectors / math.sqrt(net.model.coefficients.Delta_t)
    begun = start @ vectors
    return [(begun * g[i] - force * h[i]) @ vectors.T for i in range(tau.size)]


def losses_from_traces(net: Network, rule: Rule, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L_train = 1 - Tr V^T (2h - U h^2) V/d and L_test with U~ in the square: theory section 6.

    Written with S[f] = (1/d) Tr W^T f(U) W/d and T_{Sigma_t}: V = b W/sqrt(d) and
    U~ = (mu_1^2/Gamma_t^2) W Sigma_t W^T/d + N.
    """
    model, c = net.model, net.model.coefficients
    values, vectors = net.eigen()
    null = np.abs(values) < 1e-12 * values[-1]
    h = np.where(null, 0.0, rule.filter(np.where(null, 1.0, values), tau, model.rate))
    W = vectors.T @ net.W / math.sqrt(net.d)
    diffused = math.exp(-2.0 * model.t) * net.sigma + c.Delta_t
    S = np.sum(W**2, axis=1) / net.d
    train = 1.0 - c.b**2 * (2.0 * h - values * h * h) @ S
    rest = c.second_moment - c.mu0**2 - c.mu1**2
    T = []
    for row in h:
        M = W.T @ (row[:, None] * W)  # W^T h(U) W/d
        T.append(np.sum((M * diffused) * M) / net.d)
    test = 1.0 - 2.0 * c.b**2 * h @ S
    test += c.b**2 * (rest * h * h @ S + (c.mu1 / c.Gamma_t) ** 2 * np.array(T))
    return train, test


def begin(net: Network, std: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    return std / math.sqrt(net.p) * rng.standard_normal((net.d, net.p))


@pytest.mark.parametrize("method", ["DOP853", "LSODA"])
@pytest.mark.parametrize("std", [0.0, 0.8])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_gradient_flow(net: Network, method: str, std: float, decay: float) -> None:
    """dB/dtau = -(2 Delta_t/psi_p) (B (U + omega) + V^T/sqrt(Delta_t)) by an ODE solver."""
    top = float(net.eigenvalues()[-1])
    tau = np.array([0.01, 0.1, 1.0, 5.0, 40.0]) / (net.model.rate * top)
    start = begin(net, std)
    shape = start.shape

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        B = flat.reshape(shape)
        return (net.velocity(B) - net.model.rate * decay * B).ravel()

    path = solve_ivp(
        slope, (0.0, tau[-1]), start.ravel(), t_eval=tau, method=method, rtol=ODE_RTOL, atol=1e-12
    )
    assert path.success
    exact = by_filter(net, rf.GradientFlow(weight_decay=decay), tau, start)
    train, test = losses_from_traces(net, rf.GradientFlow(weight_decay=decay), tau)
    for i in range(tau.size):
        B = path.y[:, i].reshape(shape)
        size = np.abs(exact[i]).max()
        # global error: the local tolerance times a few hundred steps
        assert np.abs(B - exact[i]).max() <= 1e3 * ODE_RTOL * size
        assert net.train(B) == pytest.approx(net.train(exact[i]), rel=1e3 * ODE_RTOL)
        assert net.test(B) == pytest.approx(net.test(exact[i]), rel=1e3 * ODE_RTOL)
        if std == 0.0:
            assert net.train(B) == pytest.approx(train[i], rel=1e3 * ODE_RTOL)
            assert net.test(B) == pytest.approx(test[i], rel=1e3 * ODE_RTOL)


def test_velocity_is_the_gradient(net: Network) -> None:
    """dA/dtau = -d^2 grad_A L_train, with A = sqrt(p) B: the unit of tau."""
    rng = np.random.default_rng(5)
    B = rng.standard_normal((net.d, net.p)) / math.sqrt(net.p)
    direction = rng.standard_normal(B.shape)
    step = 1e-4
    # the loss is quadratic: the central difference is exact up to rounding
    slope = (net.train(B + step * direction) - net.train(B - step * direction)) / (2.0 * step)
    gradient = -net.velocity(B) * net.p / net.d**2  # of L with respect to B
    assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-8)


def test_trace_formula(net: Network) -> None:
    """The losses of the networks that the filters give are those of the trace formula."""
    values = net.eigenvalues()
    rate, top = net.model.rate, float(values[-1])
    tau = np.append(np.geomspace(0.01, 1e4, 7) / (rate * top), math.inf)
    rules = [
        rf.GradientFlow(),
        rf.GradientFlow(weight_decay=0.2),
        rf.Ridge(0.05),
        rf.WeightAverage(tau[3]),
    ]
    for rule in rules:
        networks = by_filter(net, rule, tau, begin(net, 0.0))
        train, test = losses_from_traces(net, rule, tau)
        assert [net.train(B) for B in networks] == pytest.approx(train, rel=1e-10)
        assert [net.test(B) for B in networks] == pytest.approx(test, rel=1e-9)


def test_least_squares(net: Network) -> None:
    """The end of gradient flow is the minimum-norm solution of B U = -V^T/sqrt(Delta_t)."""
    B = by_filter(net, rf.GradientFlow(), np.array([math.inf]), begin(net, 0.0))[0]
    target = -net.V / math.sqrt(net.model.coefficients.Delta_t)
    expected = np.linalg.lstsq(net.U, target, rcond=1e-11)[0].T
    assert np.abs(B - expected).max() <= 1e-8 * np.abs(expected).max()
    for omega in (0.01, 1.0):
        B = by_filter(net, rf.Ridge(omega), np.array([0.0]), begin(net, 0.0))[0]
        expected = np.linalg.solve(net.U + omega * np.eye(net.p), target).T
        assert np.abs(B - expected).max() <= 1e-11 * np.abs(expected).max()


@pytest.mark.parametrize("std", [0.0, 0.8])
@pytest.mark.parametrize("momentum", [None, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps(net: Network, momentum: float | None, std: float, decay: float) -> None:
    """B <- B + step * velocity (+ momentum), iterated on the matrices themselves."""
    top = float(net.eigenvalues()[-1]) + decay
    step = 1.3 / (net.model.rate * top)
    beta = momentum or 0.0
    rule: Rule = (
        rf.GradientDescent(step, weight_decay=decay)
        if momentum is None
        else rf.HeavyBall(step, weight_decay=decay, momentum=momentum)
    )
    rule.check(top - decay, net.model.rate)
    counts = [0, 1, 2, 3, 10, 50, 200]
    B = begin(net, std)
    before = B.copy()
    exact = by_filter(net, rule, rule.times(counts), B)
    for k in range(counts[-1] + 1):
        if k in counts:
            expected = exact[counts.index(k)]
            # rounding of 200 steps
            assert np.abs(B - expected).max() <= 1e-11 * max(1.0, np.abs(expected).max())
            assert net.train(B) == pytest.approx(net.train(expected), rel=1e-10)
            assert net.test(B) == pytest.approx(net.test(expected), rel=1e-10)
        force = net.velocity(B) - net.model.rate * decay * B
        B, before = B + step * force + beta * (B - before), B


def test_weight_average(net: Network) -> None:
    """dM/dtau = (B - M)/T along the flow, integrated with it."""
    top = float(net.eigenvalues()[-1])
    T = 2.0 / (net.model.rate * top)
    tau = np.array([0.1, 1.0, 4.0, 15.0]) / (net.model.rate * top)
    start = begin(net, 0.5)
    shape, size = start.shape, start.size

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        B, M = flat[:size], flat[size:]
        return np.concatenate([net.velocity(B.reshape(shape)).ravel(), (B - M) / T])

    begun = np.concatenate([start.ravel(), start.ravel()])
    path = solve_ivp(
        slope, (0.0, tau[-1]), begun, t_eval=tau, method="DOP853", rtol=ODE_RTOL, atol=1e-12
    )
    exact = by_filter(net, rf.WeightAverage(T), tau, start)
    for i in range(tau.size):
        M = path.y[size:, i].reshape(shape)
        assert np.abs(M - exact[i]).max() <= 1e3 * ODE_RTOL * np.abs(exact[i]).max()
