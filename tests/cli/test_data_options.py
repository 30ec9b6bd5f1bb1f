"""Options for what people have: images, files of eigenvalues, sizes in numbers, noise levels."""

import math
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import Covariance, read_covariance, units
from dmft_rf.store import load
from tests.helpers.command import refused, result, run
from tests.helpers.image_files import fill

QUICK = ("--psi-p", "8", "--rtol", "1e-4")
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 2, 3), dtype=np.uint8)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return fill(tmp_path / "faces", IMAGES)


def test_a_folder_of_images(faces: Path) -> None:
    found = result("covariance", faces)
    law = read_covariance(faces)
    assert np.array_equal(found["covariance"]["eigenvalues"], law.eigenvalues)
    assert (found["covariance"]["d"], found["covariance"]["samples"]) == (6, 60)
    text = run("covariance", faces, "--resize", "2x1", "--grey").stdout
    assert "faces, resized to 2 x 1 pixels, grey" in text
    assert "n = 60 of dimension d = 2, psi_n = n/d = 30" in text
    assert result("covariance", faces, "--resize", "1")["covariance"]["d"] == 1
    model = result("timescales", *QUICK, "--data", faces)
    assert model["model"]["psi_n"] == 10.0
    assert "faces, 2 x 3 pixels, grey: 60 samples" in run("spectrum", "--data", faces).stdout
    for bad in ("x", "8x", "0", "-1", "8.0", "8x8x3", "\u0663"):
        assert "resize" in refused("covariance", faces, "--resize", bad)


def test_eigenvalues_are_kept_and_read_back(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "cov.h5"
    done = run("covariance", faces, "--out", path, "--plot", tmp_path / "cov.png")
    assert done.exit_code == 0, done.output
    attributes = load(path)["covariance"].attributes
    assert (attributes["source"], attributes["centered"]) == (str(faces), True)
    assert (tmp_path / "cov.png").stat().st_size > 10_000
    kept, direct = (result("timescales", *QUICK, "--data", data) for data in (path, faces))
    for part in ("model", "covariance", "results", "psi_n_source"):
        assert kept[part] == direct[part]
    assert "cannot" not in run("spectrum", "--data", path, "--center").stderr
    assert "taken out" in refused("spectrum", "--data", path, "--no-center")
    assert "grey is an option of the samples" in refused("spectrum", "--data", path, "--grey")
    assert "written by dmft-rf" in refused("covariance", path)
    assert "exists" in refused("covariance", faces, "--out", path)
    assert "is the file of --data" in refused("timescales", "--data", path, "--out", path,
                                              "--overwrite")  # fmt: skip
    bare = result("spectrum", "--eigenvalues", path)
    assert np.array_equal(bare["covariance"]["eigenvalues"], read_covariance(path).eigenvalues)


def test_files_of_eigenvalues(tmp_path: Path) -> None:
    path = tmp_path / "law.txt"
    path.write_text("0.5 0.25\n1.5 0.75\n")
    found = result("spectrum", *QUICK, "--eigenvalues", path)
    assert found["covariance"]["eigenvalues"] == [0.5, 1.5]
    assert found["covariance"]["weights"] == [0.25, 0.75]
    assert "second column" in refused("spectrum", "--eigenvalues", path, "--weights", "1,2")
    assert "no such file" in refused("spectrum", "--eigenvalues", tmp_path / "none.npy")


def test_sizes_in_numbers(faces: Path) -> None:
    data = ("--rtol", "1e-4", "--data", faces)
    found = result("timescales", *data, "--samples", "120", "--parameters", "288")
    assert (found["model"]["psi_n"], found["model"]["psi_p"]) == (20.0, 8.0)
    assert (found["psi_n_source"], found["psi_n_of_data"]) == ("option", 10.0)
    assert found["stated_as"] == {
        "psi_n": "n = 120 samples",
        "psi_p": "P = 288 trained parameters, psi_p = P/d^2",
    }
    law = result("spectrum", "--power-law", "1", "--atoms", "10", "--samples", "30")
    assert law["model"]["psi_n"] == 3.0
    for options, words in (
        (("--samples", "3", "--psi-n", "1"), "--samples and --psi-n exclude"),
        (("--parameters", "3", "--psi-p", "1"), "--parameters and --psi-p exclude"),
        (("--samples", "0"), "--samples is 0"),
        (("--parameters", "-1"), "--parameters is -1"),
    ):
        assert words in refused("spectrum", "--data", faces, *options)
    assert "needs the dimension d" in refused("spectrum", "--samples", "3")


@pytest.mark.parametrize(
    ("options", "t"),
    [
        (("--sigma", "0.5"), 0.5 * math.log(1.25)),
        (("--alpha-bar", "0.9"), -0.5 * math.log(0.9)),
        (("--log-snr", "0"), 0.5 * math.log(2.0)),
        (("--ddpm-step", "50"), float(units.t_from_ddpm(50))),
        (
            ("--ddpm-step", "2.5", "--ddpm-schedule", "cosine:10"),
            float(units.t_from_ddpm(2.5, schedule="cosine", steps=10)),
        ),
    ],
)
def test_the_time_of_a_noise_level(options: tuple[str, ...], t: float) -> None:
    found = result("spectrum", *QUICK, *options)
    assert found["model"]["t"] == pytest.approx(t, rel=1e-14)
    text = " ".join(run("spectrum", *QUICK, *options).stdout.split())
    assert f"model t = {t:.6g}, " in text
    assert f"stated as {found['stated_as']['t']}" in text
    assert options[1] in found["stated_as"]["t"]


def test_what_is_swept_is_stated_by_nothing_else() -> None:
    ends = ("--over", "t", "--from", "0.1", "--to", "0.3", "--points", "3")
    found = result("scaling", *QUICK, *ends, "--sigma", "0.5")
    assert found["stated_as"] == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--t", "0.1", "--sigma", "1"), "--t and --sigma exclude one another"),
        (("--log-snr", "1", "--ddpm-step", "1"), "--log-snr and --ddpm-step exclude one another"),
        (("--sigma", "-1"), "sigma is -1.0; it must be finite and > 0"),
        (("--ddpm-step", "1000"), "index is 1000.0; it must be between 0 and 999"),
        (("--ddpm-schedule", "cosine"), "--ddpm-step, which is not given"),
        (("--ddpm-step", "1", "--ddpm-schedule", "cosine:"), "'cosine:'; it must be as linear"),
        (("--ddpm-step", "1", "--ddpm-schedule", "sqrt"), "'sqrt'; it must be one of linear"),
    ],
)
def test_noise_levels_that_are_refused(options: tuple[str, ...], words: str) -> None:
    assert words in refused("spectrum", *options)


def test_the_scale_of_the_data(faces: Path) -> None:
    """Said once, and only where what was meant may be something else."""
    data = ("spectrum", *QUICK, "--data", faces)
    mean = read_covariance(faces).mean
    scaled = result(*data, "--scale", "0.01", "--sigma", "0.5")
    assert scaled["covariance"]["mean"] == pytest.approx(1e-4 * mean)
    assert scaled["covariance"]["divided_by"] == pytest.approx(1e4)
    assert "eigenvalues divided by 10000, now" in " ".join(
        run(*data, "--scale", "0.01").stdout.split()
    )
    for options in ((), ("--scale", "0.01", "--sigma", "0.5")):
        assert run(*data, *options).stderr == ""
    for options, words in (
        (("--no-normalize",), "from 0 to 255, and that of the noise is 1: --normalize"),
        (("--sigma", "0.5"), "sigma = 0.5 is a noise level for data at the scale"),
    ):
        answer = run(*data, *options)
        assert answer.exit_code == 0
        assert answer.stderr.startswith("warning: the mean eigenvalue of the data is ")
        assert answer.stderr.count("\n") == 1
        assert words in answer.stderr
    assert "--scale and --normalize" in refused(*data, "--scale", "1", "--normalize")
    assert "--scale is an option of --data" in refused("spectrum", "--scale", "1")
    for bad in ("0", "-1", "nan", "1e300"):
        assert "--scale" in refused(*data, "--scale", bad)


def test_pixels_from_minus_one_to_one_at_the_scale_of_their_network(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES[:, :, 0] / 255.0 - 0.5)
    data = ("spectrum", *QUICK, "--data", tmp_path / "x.npy", "--no-normalize")
    assert run(*data, "--ddpm-step", "50").stderr == ""
    assert "from -1 to 1" in run(*data).stderr
    assert Covariance.from_samples(IMAGES[:, :, 0] / 255.0 - 0.5).mean < 0.3
