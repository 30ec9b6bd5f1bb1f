"""The law of U: exact facts, limits in closed form, finite matrices, extreme parameters."""

import math

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, Spectrum, resolvent, spectrum
from tests.helpers.laws import ISO, MODELS, cached_spectrum, moments_of_U, points_off_the_axis
from tests.helpers.models import TWO, WIDE
from tests.helpers.plain import one_point, one_point_residual


class SpectralLawProperties:
    """What the law of any positive feature matrix must satisfy; inherit and provide ``model``."""

    @pytest.fixture
    def law(self, model: ScoreModel) -> Spectrum:
        return cached_spectrum(model)

    def test_masses_sum_to_one(self, law: Spectrum) -> None:
        total = law.bulk_masses.sum() + law.atoms[:, 1].sum()
        assert total == pytest.approx(1.0, abs=1e-14)
        assert np.all(law.bulk_masses > 0.0)

    def test_density_integrates_to_one(self, law: Spectrum) -> None:
        assert law.mass == pytest.approx(1.0, abs=1e-10)
        assert law.mass_error <= 1e-10
        assert abs(law.mass - 1.0) <= law.mass_error

    def test_edges_ascend_inside_the_allowed_half_line(
        self, law: Spectrum, model: ScoreModel
    ) -> None:
        edges = law.edges
        assert edges[0, 0] >= model.coefficients.s2
        assert np.all(edges[:, 0] < edges[:, 1])
        assert np.all(edges[1:, 0] > edges[:-1, 1])

    def test_density_is_positive_inside_and_zero_outside(self, law: Spectrum) -> None:
        assert np.all(law.density(law.grid(300)) > 0.0)
        edges = law.edges
        gaps = 0.5 * (edges[1:, 0] + edges[:-1, 1])
        outside = [*gaps, -1.0, 0.0, edges[-1, 1] * 1.001]
        assert np.all(law.density(outside) == 0.0)

    def test_moments_are_ordered(self, law: Spectrum) -> None:
        first, second = law.moment(1), law.moment(2)
        assert law.moment(0) == pytest.approx(1.0, abs=1e-10)
        assert law.edges[-1, 1] > first > 0.0
        assert second >= first**2

    def test_transform_is_conjugate_symmetric(self, model: ScoreModel) -> None:
        z = points_off_the_axis(model)
        upper, lower = resolvent(model, z), resolvent(model, z.conj())
        np.testing.assert_array_equal(lower.q, upper.q.conj())
        np.testing.assert_array_equal(lower.E, upper.E.conj())
        np.testing.assert_array_equal(lower.dq, upper.dq.conj())

    def test_transform_maps_the_upper_half_plane_to_itself(self, model: ScoreModel) -> None:
        z = points_off_the_axis(model)
        q = resolvent(model, z).q
        assert np.all(q.imag > 0.0)
        # |q| <= 1/Im z, and Im q <= 1/Im z, for every probability measure
        assert np.all(np.abs(q) * z.imag <= 1.0 + 1e-13)
        # a measure on x >= 0 has Im(z q) >= 0 as well
        assert np.all((z * q).imag >= -1e-13 * np.abs(z * q))

    def test_transform_at_infinity(self, model: ScoreModel, law: Spectrum) -> None:
        far = 1e5 * law.edges[-1, 1] * np.exp(1j * np.linspace(0.1, 3.0, 5))
        r = resolvent(model, far)
        first, second = moments_of_U(model)
        # -z q = 1 + m_1/z + m_2/z^2 + ..., the rest below (edge/|z|)^3
        series = 1.0 + first / far + second / far**2
        np.testing.assert_allclose(-far * r.q, series, rtol=0.0, atol=1e-14)
        np.testing.assert_allclose(r.E, 1.0, atol=1e-4)

    def test_derivative_by_finite_differences(self, model: ScoreModel) -> None:
        z = points_off_the_axis(model)
        step = 1e-4 * z.imag  # the error of the fourth-order formula is (step/Im z)^4 <= 1e-15
        steps = np.array([-2.0, -1.0, 1.0, 2.0])[:, None] * step
        q = resolvent(model, z + steps).q
        slope = (q[0] - 8.0 * q[1] + 8.0 * q[2] - q[3]) / (12.0 * step)
        np.testing.assert_allclose(resolvent(model, z).dq, slope, rtol=3e-10)

    def test_density_is_the_jump_of_the_transform(self, law: Spectrum, model: ScoreModel) -> None:
        x = law.grid(40)
        q = resolvent(model, x).q
        # lambda - s^2 is formed from rounded numbers, and the density is steep near the edges
        near = np.min(np.abs(x[:, None] - law.edges.ravel()), axis=1)
        rounding = 8e-16 * x / near
        np.testing.assert_array_less(
            np.abs(law.density(x) - q.imag / math.pi), (1e-12 + 10.0 * rounding) * q.imag
        )

    def test_density_reproduces_the_transform(self, law: Spectrum, model: ScoreModel) -> None:
        z = np.array([-0.3, -1.0, 0.5j, 1.0 + 1.0j]) * model.coefficients.second_moment
        direct = resolvent(model, z).q
        for point, expected in zip(z, direct, strict=True):
            real = law.integrate(lambda x, p=point: (1.0 / (x - p)).real)
            imag = law.integrate(lambda x, p=point: (1.0 / (x - p)).imag)
            assert abs(real + 1j * imag - expected) <= 1e-10 * abs(expected)

    def test_edges_close_the_density_from_both_sides(
        self, law: Spectrum, model: ScoreModel
    ) -> None:
        s2 = model.coefficients.s2
        for low, high in law.edges:
            for edge, inward in ((low, 1.0), (high, -1.0)):
                width = min(high - low, edge - s2)
                if not width > 1e-6 * edge:  # a hard edge, or one that s^2 + offset cannot resolve
                    continue
                rho = law.density(edge + inward * width * np.array([1e-6, 4e-6]))
                # a square root: four times as far in, twice as high
                assert rho[1] / rho[0] == pytest.approx(2.0, rel=0.01)
                outside = edge - inward * width * 1e-6
                q = resolvent(model, outside).q
                assert abs(q.imag) <= 1e-9 * abs(q.real)

    def test_transform_is_increasing_outside(self, law: Spectrum, model: ScoreModel) -> None:
        edges, s2 = law.edges, model.coefficients.s2
        outside = [-1.0, -0.1 * edges[0, 0], edges[-1, 1] * 1.1, edges[-1, 1] * 10.0]
        outside += [math.sqrt(a * b) for a, b in zip(edges[:-1, 1], edges[1:, 0], strict=True)]
        if s2 > 0.0:
            outside.append(0.5 * s2)
        r = resolvent(model, outside)
        assert np.all(np.abs(r.q.imag) <= 1e-9 * np.abs(r.q.real))
        assert np.all(r.dq.real > 0.0)


class TestReferenceModels(SpectralLawProperties):
    @pytest.fixture(params=MODELS)
    def model(self, request: pytest.FixtureRequest) -> ScoreModel:
        return MODELS[request.param]

    def test_moments(self, law: Spectrum, model: ScoreModel) -> None:
        c = model.coefficients
        assert law.moment(1) == pytest.approx(c.second_moment - c.mu0**2, rel=1e-8)
        for k, expected in enumerate(moments_of_U(model), start=1):
            assert law.moment(k) == pytest.approx(expected, rel=1e-8)

    def test_atom(self, law: Spectrum, model: ScoreModel) -> None:
        c = model.coefficients
        cov = model.covariance
        rank = 1.0 + model.psi_n  # of [W, Omega], per dimension
        if c.v2 == 0.0:
            rank = 1.0  # of W alone: the noise b^2 W W^T covers what the data leave out
        expected = max(0.0, 1.0 - rank / model.psi_p)
        assert law.atoms[:, 1].sum() == pytest.approx(expected, abs=1e-15)
        if expected > 0.0:
            assert law.atoms[0, 0] == c.s2
        assert cov.weights.sum() == pytest.approx(1.0)

    def test_against_plain_iteration(self, model: ScoreModel) -> None:
        for z in points_off_the_axis(model)[::3]:
            r = resolvent(model, z)
            q, E = one_point(model, complex(z))
            # the iteration stops at steps of 1e-15 and converges by a factor ~0.9 a round or so
            assert abs(complex(r.q) - q) <= 1e-12 * abs(q)
            assert abs(complex(r.E[0]) - E) <= 1e-12 * abs(E)

    def test_equations_hold_close_to_the_axis(self, law: Spectrum, model: ScoreModel) -> None:
        edges = law.edges
        x = np.concatenate([law.grid(12), edges.ravel(), 0.5 * (edges[1:, 0] + edges[:-1, 1])])
        for z in np.concatenate([x * (1 + 1e-3j), x * (1 + 1e-6j)]):
            r = resolvent(model, z)
            assert one_point_residual(model, complex(z), complex(r.q), complex(r.E[0])) <= 1e-12
            assert r.q.imag > 0.0


def marchenko_pastur(x: np.ndarray, ratio: float, scale: float) -> np.ndarray:
    """Density of scale * W W^T/d for W (p x d), p/d = ratio, continuous part."""
    low, high = scale * (1.0 - math.sqrt(ratio)) ** 2, scale * (1.0 + math.sqrt(ratio)) ** 2
    return np.sqrt(np.maximum((high - x) * (x - low), 0.0)) / (2.0 * math.pi * scale * ratio * x)


class TestMarchenkoPastur:
    """Linear features of pure noise: U = b^2 W W^T/d."""

    # at t = 18 the data enter with gamma^2 = 2e-16
    @pytest.mark.parametrize("psi_p", [0.05, 0.5, 1.0, 2.0, 50.0])
    def test_pure_noise(self, psi_p: float) -> None:
        model = ScoreModel(18.0, psi_p, 3.0, "linear", TWO)
        law = spectrum(model)
        b2 = model.coefficients.b**2
        assert law.edges.shape == (1, 2)
        np.testing.assert_allclose(law.edges[0, 1], b2 * (1 + math.sqrt(psi_p)) ** 2, rtol=1e-13)
        np.testing.assert_allclose(
            law.edges[0, 0], b2 * (1 - math.sqrt(psi_p)) ** 2, rtol=1e-13, atol=1e-30
        )
        x = law.grid(50)
        np.testing.assert_allclose(law.density(x), marchenko_pastur(x, psi_p, b2), rtol=1e-11)
        assert law.atoms[:, 1].sum() == pytest.approx(max(0.0, 1.0 - 1.0 / psi_p), abs=1e-15)
        # moments of Marchenko-Pastur: Narayana numbers
        moments = [1.0, 1.0 + psi_p, 1.0 + 3.0 * psi_p + psi_p**2]
        for k, expected in enumerate(moments, start=1):
            assert law.moment(k) == pytest.approx(b2**k * expected, rel=1e-11)

    @pytest.mark.parametrize("psi_p", [0.3, 4.0])
    def test_infinitely_many_samples(self, psi_p: float) -> None:
        # Sigma = I, psi_n -> infinity: U = (b^2 + gamma^2) W W^T/d, corrections of order 1/psi_n
        model = ScoreModel(0.2, psi_p, 1e9, "linear", ISO)
        c = model.coefficients
        law = spectrum(model)
        x = law.grid(40)[3:-3]
        expected = marchenko_pastur(x, psi_p, c.b**2 + c.gamma2)
        np.testing.assert_allclose(law.density(x), expected, rtol=1e-6)


class TestHardEdge:
    """psi_p = psi_n + 1: the density diverges like (lambda - s^2)^(-1/2)."""

    @pytest.mark.parametrize("psi_n", [0.05, 1.0, 2.0, 4.0, 300.0, 1e4])
    @pytest.mark.parametrize("covariance", [ISO, TWO, WIDE], ids=["iso", "two", "wide"])
    def test_amplitude(self, psi_n: float, covariance: Covariance) -> None:
        model = ScoreModel(0.1, psi_n + 1.0, psi_n, "tanh", covariance)
        law = spectrum(model)
        c = model.coefficients
        assert law.atoms.size == 0
        assert law.edges[0, 0] == c.s2
        assert math.isinf(law.density(c.s2))
        assert law.mass == pytest.approx(1.0, abs=1e-10)
        # For k = -1/(psi_p q) -> 0 the one-point equations give lambda - s^2 = -C k^2 + O(k^3),
        # C = 1/b^2 + psi_n^2/v^2 + psi_n gamma^2 sigma_x^2/(b^2 v^2), so that the density is
        # sqrt(C/(lambda - s^2))/(pi psi_p).
        mean = covariance.mean
        amplitude = 1.0 / c.b**2 + psi_n**2 / c.v2 + psi_n * c.gamma2 * mean / (c.b**2 * c.v2)
        expected = math.sqrt(amplitude) / (math.pi * model.psi_p)
        # the first correction is relative O(offset * C/psi^2...): stay far inside the first scale
        scale = min(law.edges[0, 1] - c.s2, c.s2, 1.0 / amplitude)
        offset = np.array([1e-4, 1e-6]) * scale
        scaled = law._density_at(offset) * np.sqrt(offset)
        assert scaled[1] == pytest.approx(expected, rel=1e-4)
        assert abs(scaled[1] - expected) <= 0.1 * abs(scaled[0] - expected) + 1e-12 * expected

    def test_either_side(self) -> None:
        # an atom appears on one side, a gap on the other; the mass stays 1
        for psi_p, atom in ((2.999, 0.0), (3.001, 1.0 - 3.0 / 3.001)):
            law = spectrum(ScoreModel(0.1, psi_p, 2.0, "tanh", TWO))
            assert law.atoms[:, 1].sum() == pytest.approx(atom, abs=1e-15)
            assert law.edges[0, 0] > law.model.coefficients.s2
            assert law.mass == pytest.approx(1.0, abs=1e-10)


class TestBulks:
    def test_upper_and_lower_bulk_of_the_paper(self) -> None:
        # Bonnaire et al. read "about 10 to about 45" off their figure
        law = spectrum(ScoreModel(0.01, 64.0, 8.0, "tanh"))
        np.testing.assert_allclose(law.edges[-1], [9.82, 44.68], rtol=3e-3)
        np.testing.assert_allclose(law.edges[-2], [0.0904, 0.3595], rtol=1.1e-2)
        # mass 1/psi_p above; n samples of d directions each once below, in two bulks
        assert law.bulk_masses[-1] == pytest.approx(1.0 / 64.0, rel=1e-13)
        assert law.bulk_masses[:-1].sum() == pytest.approx(8.0 / 64.0, rel=1e-13)
        assert law.learning_bulks is not None
        np.testing.assert_array_equal(law.learning_bulks, [False, False, True])

    def test_masses_with_many_samples(self) -> None:
        # psi_n > psi_p >> 1: 1 - 1/psi_p and 1/psi_p, no atom
        law = spectrum(ScoreModel(0.01, 16.0, 256.0, "tanh"))
        assert law.atoms.size == 0
        assert law.bulk_masses[-1] == pytest.approx(1.0 / 16.0, rel=1e-12)
        assert law.bulk_masses[:-1].sum() == pytest.approx(1.0 - 1.0 / 16.0, rel=1e-12)

    def test_asymptotic_lower_bulk(self) -> None:
        # s^2 + v^2 (1 -+ sqrt(psi_p/psi_n))^2 for psi_p > psi_n >> 1, corrections of order 1/psi_n
        for psi_n, rel in ((100.0, 0.04), (1000.0, 0.004)):
            model = ScoreModel(0.01, 8.0 * psi_n, psi_n, "tanh")
            c = model.coefficients
            law = spectrum(model)
            expected = c.s2 + c.v2 * (1.0 + np.array([-1.0, 1.0]) * math.sqrt(8.0)) ** 2
            np.testing.assert_allclose(law.edges[-2], expected, rtol=rel)

    def test_population_bulk(self) -> None:
        # psi_n -> infinity: the spectrum of a^2 W Sigma_t W^T/d + N, Sigma = I: Marchenko-Pastur
        model = ScoreModel(0.01, 64.0, 1e9, "tanh")
        c = model.coefficients
        scale = c.mu1**2
        expected = c.residual_variance + scale * (1.0 + np.array([-1.0, 1.0]) * 8.0) ** 2
        np.testing.assert_allclose(spectrum(model).edges[-1], expected, rtol=1e-6)

    def test_merging(self) -> None:
        """The gap between two bulks closes continuously, like the power 3/2 of the distance."""

        def gaps(psi_p: float) -> np.ndarray:
            law = spectrum(ScoreModel(0.5, psi_p, 4.0, "relu", TWO))
            assert law.bulk_masses.sum() + law.atoms[:, 1].sum() == pytest.approx(1.0, abs=1e-13)
            return law.edges[1:, 0] - law.edges[:-1, 1]

        # bisect for the width at which the number of bulks changes
        low, high = 0.1, 20.0
        few, many = gaps(low).size, gaps(high).size
        assert few < many
        for _ in range(45):
            middle = math.sqrt(low * high)
            if gaps(middle).size == few:
                low = middle
            else:
                high = middle
        first = [gaps(high * (1.0 + x)) for x in (1e-4, 1e-3)]
        opened = [g.min() for g in first]
        assert 0.0 < opened[0] < opened[1]
        assert math.log10(opened[1] / opened[0]) == pytest.approx(1.5, abs=0.03)
        for psi_p in (low, high, high * (1.0 + 1e-9), high * (1.0 + 1e-6)):
            law = spectrum(ScoreModel(0.5, psi_p, 4.0, "relu", TWO))
            assert law.mass == pytest.approx(1.0, abs=1e-10)

    @pytest.mark.parametrize("gap", [1.0 + 1e-3, 1.1, 3.0, 100.0, 1e4])
    def test_two_atoms(self, gap: float) -> None:
        covariance = Covariance([1.0, gap], [0.3, 0.7]).normalized()
        law = spectrum(ScoreModel(0.01, 50.0, 400.0, "tanh", covariance))
        assert law.mass == pytest.approx(1.0, abs=1e-10)
        assert law.moment(1) == pytest.approx(moments_of_U(law.model)[0], rel=1e-9)
        if gap >= 100.0:  # the heavy atom has its own bulk, of mass w/psi_p
            assert law.bulk_masses[-1] == pytest.approx(0.7 / 50.0, rel=1e-12)
