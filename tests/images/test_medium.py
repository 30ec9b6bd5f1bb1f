"""The average over which rows are trained on, against drawn subsets and known numbers."""

import numpy as np
import pytest

from dmft_rf.images.law import upper_end
from dmft_rf.images.medium import Medium
from dmft_rf.images.pairs import at_points
from dmft_rf.images.path import solved_on
from dmft_rf.images.pool import LeverageModes, row_leverages
from dmft_rf.numerics.contour import half_plane_contour

S = np.diag([4.0, 2.0, 1.0, 0.5])
NOISE = np.full(4, 0.3)
V = np.array([[0.3, 0.0], [0.0, 0.3], [0.1, 0.0], [0.0, 0.1]])


@pytest.mark.parametrize(
    ("q", "parts", "h", "train", "test"),
    [
        (0.0, [S], [0.8598522], 0.9341603938, 1.0331087655),
        (0.5, [S], [0.96101623], 0.9447845254, 1.0522626719),
        (
            0.5,
            [1.5 * S, 0.5 * np.diag([4.0, 2.0, 1.0, 1.0])],
            [1.68118166, 0.53836902],
            0.9409559894,
            1.0937914354,
        ),
    ],
)
def test_known_numbers(
    q: float, parts: list[np.ndarray], h: list[float], train: float, test: float
) -> None:
    """From an implementation that shares nothing with this one."""
    J = len(parts)
    found = at_points(Medium(6, q, np.full(J, 1.0 / J), np.stack(parts), NOISE, V), np.zeros(1))
    np.testing.assert_allclose(found.h[0], h, atol=1e-8)
    assert 1.0 - found.S_VV[0] == pytest.approx(train, abs=1e-10)
    learned = 1.0 - 2.0 * found.S_VV[0] + found.plain[0, 0].real
    assert learned == pytest.approx(test, abs=1e-10)


def pool(p: int, N: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of two sizes, noise and targets that lie in the directions of the rows."""
    rng = np.random.default_rng(11)
    spread = np.linspace(0.5, 1.5, p)[:, None]
    f = spread * rng.standard_normal((p, N)) * np.repeat([0.7, 1.3], N // 2)
    return f, rng.uniform(0.2, 0.4, p), spread * rng.standard_normal((p, d)) / 4.0


def medium(f: np.ndarray, noise: np.ndarray, V: np.ndarray, n: int) -> Medium:
    """The two halves of the pool are its classes."""
    N = f.shape[1]
    halves = f[:, : N // 2], f[:, N // 2 :]
    parts = np.stack([half @ half.T / (N // 2) for half in halves])
    return Medium(n, n / N, np.array([0.5, 0.5]), parts, noise, V)


def test_against_drawn_subsets() -> None:
    p, N, n, d, draws = 60, 120, 48, 5, 150
    f, noise, V = pool(p, N, d)
    z = np.array([-0.3 + 0.4j, 1.0 + 1.5j])
    found = at_points(medium(f, noise, V, n), z)
    rng = np.random.default_rng(5)
    one, plain, mixed, seen = [], [], [], []
    for _ in range(draws):
        order = rng.permutation(N)
        inside, outside = f[:, order[:n]], f[:, order[n:]]
        U = np.diag(noise) + inside @ inside.T / n
        test = np.diag(noise) + outside @ outside.T / (N - n)
        first, second = (np.linalg.inv(U - at * np.eye(p)) for at in z)
        one.append(np.vdot(V, first @ V) / d)
        seen.append(np.trace(test @ first) / d)
        plain.append(np.vdot(V, first @ test @ second @ V) / d)
        mixed.append(np.vdot(V, first @ test @ second.conj() @ V) / d)
    for values, expected in (
        (one, found.S_VV[0]),
        (seen, found.seen[0]),
        (plain, found.plain[0, 1]),
        (mixed, found.mixed[0, 1]),
    ):
        error = np.std(values) / np.sqrt(draws)
        # four deviations of the mean, and what p = 60 is from a limit
        assert abs(np.mean(values) - expected) < 4.0 * error + 0.5 / p * abs(expected)


def test_matrices_in_blocks_and_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    f, noise, V = pool(20, 40, 3)
    z = np.array([0.5 + 1.0j, 1.0 + 2.0j])
    whole = at_points(medium(f, noise, V, 16), z)
    monkeypatch.setattr("dmft_rf.images.tiles._EDGE", 6)
    monkeypatch.setattr("dmft_rf.images.tiles._IN_MEMORY", 0)
    parts = at_points(medium(f, noise, V, 16), z)
    np.testing.assert_allclose(parts.plain, whole.plain, rtol=1e-12)
    np.testing.assert_allclose(parts.mixed, whole.mixed, rtol=1e-12)
    np.testing.assert_allclose(parts.S_VV, whole.S_VV, rtol=1e-14)


def test_a_pool_that_is_used_up_is_no_average() -> None:
    """q = 1: every row is trained on."""
    f, noise, V = pool(20, 40, 3)
    z = np.array([0.5 + 1.0j])
    found = solved_on(medium(f, noise, V, 40), z)
    exact = np.linalg.inv(np.diag(noise) + f @ f.T / 40 - z[0] * np.eye(20))
    np.testing.assert_allclose(found.RV[0], exact @ V, rtol=1e-9, atol=1e-12)


def test_an_endless_pool_and_beyond() -> None:
    """The equations are smooth in 1/N at both ends."""
    f, noise, V = pool(20, 40, 3)
    at = {}
    for q in (0.0, 1e-6, 1.0 - 1e-6, 1.0, 1.0 + 1e-6):
        one = medium(f, noise, V, 30)
        found = at_points(Medium(30, q, one.shares, one.S, noise, V), np.zeros(1))
        at[q] = found.plain[0, 0]
    assert at[1e-6] == pytest.approx(at[0.0], rel=1e-4)
    assert at[1.0 - 1e-6] == pytest.approx(at[1.0], rel=1e-4)
    assert at[1.0 + 1e-6] == pytest.approx(at[1.0], rel=1e-4)


def test_far_beyond_the_pool_without_noise() -> None:
    """The features fit p samples: what the rows that are trained on hold adds up to p."""
    f, noise, V = pool(20, 40, 3)
    found = at_points(medium(f, 1e-9 * noise, V, 80), np.zeros(1))
    assert found.h[0] / (1.0 + found.h[0]) @ [0.5, 0.5] == pytest.approx(20 / 80, rel=1e-7)


def test_the_upper_end_is_above_every_eigenvalue_and_near() -> None:
    p, N, n = 80, 160, 40
    f, noise, V = pool(p, N, 3)
    high = upper_end(medium(f, noise, V, n))
    rng = np.random.default_rng(8)
    tops = []
    for _ in range(20):
        inside = f[:, rng.permutation(N)[:n]]
        tops.append(np.linalg.eigvalsh(np.diag(noise) + inside @ inside.T / n)[-1])
    # the largest eigenvalue of p = 80 scatters around the edge
    assert np.mean(tops) < 1.02 * high
    assert high < 1.15 * np.mean(tops)


def test_leverages_by_their_definition() -> None:
    """Adding up what each row holds gives what all rows hold."""
    f, noise, V = pool(30, 60, 3)
    one = Medium(20, 1.0 / 3.0, np.ones(1), (f @ f.T / 60)[None], noise, V)
    found = solved_on(one, np.zeros(1))
    h = row_leverages(one, LeverageModes.of(one.S[0], noise), f)
    R = np.linalg.inv(one.matrix(found.h[0], 0.0))
    np.testing.assert_allclose(h, one.released(np.einsum("in,ij,jn->n", f, R, f) / 20), rtol=1e-9)
    assert np.mean(one.held(h)) == pytest.approx(float(one.held(found.h[0])[0]), rel=1e-10)


@pytest.mark.parametrize("n", [36, 150])
def test_single_precision_on_a_contour(n: int) -> None:
    """Off by no more than what is allowed and what it says of its rounding."""
    one = medium(*pool(60, 120, 5), n)
    contour = half_plane_contour(0.15, 12.0, 16)
    pace = 2j * np.pi * contour.weights
    fine = at_points(one, contour.z, pace, 1e-11)
    coarse = at_points(one, contour.z, pace, 2e-6)
    alone = at_points(one, contour.z)
    assert (coarse.rounding > 0.0) == (n <= 120)
    for name in ("S_VV", "seen", "plain", "mixed"):
        exact = getattr(fine, name)
        np.testing.assert_allclose(getattr(alone, name), exact, rtol=1e-7)
        allowed = 2e-6 + coarse.rounding
        np.testing.assert_allclose(getattr(coarse, name), exact, rtol=allowed)
