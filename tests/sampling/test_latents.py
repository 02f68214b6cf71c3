"""Latents of a seed and of a file; what is refused."""

import numpy as np
import pytest
import torch
from test_samples import PRIOR, Toy

from gan_cli.errors import ConfigError, DataError
from gan_cli.priors import Gaussian, Prior
from gan_cli.sampling import latents
from gan_cli.sampling.samples import SampleRequest


def test_a_latent_depends_on_its_seed_and_number_alone():
    places = torch.tensor([200, 3, 64, 63, 3])
    found = latents.of_seed(PRIOR, 7, places)
    chunks = torch.cat([latents_of_chunk(7, number) for number in range(4)])
    assert torch.equal(found, chunks[places])
    assert not torch.equal(latents.of_seed(PRIOR, 8, places), found)


def latents_of_chunk(seed: int, number: int) -> torch.Tensor:
    from gan_cli.sampling.samples import latents as chunk

    return chunk(Toy().eval(), SampleRequest(seed), number)


def test_a_file_comes_back(tmp_path):
    z = PRIOR.sample(5)
    path = latents.write(tmp_path / "new" / "z.npy", z)
    assert torch.equal(latents.read(path, PRIOR), z)
    assert torch.equal(latents.read(path, PRIOR, ndim=3), z[None])
    np.save(tmp_path / "one.npy", z[0].double().numpy())
    assert torch.equal(latents.read(tmp_path / "one.npy", PRIOR), z[:1])
    with pytest.raises(ConfigError, match=r"z\.pt: a file of latents must end in \.npy"):
        latents.write(tmp_path / "z.pt", z)


WRONG = {
    "another size": (np.zeros((2, 3)), r"holds \[2, 3\]; latents \[n, 7\] are required"),
    "nothing": (np.zeros((0, 7)), r"holds \[0, 7\]"),
    "too deep": (np.zeros((1, 2, 7)), r"holds \[1, 2, 7\]"),
    "whole numbers": (np.zeros((2, 7), int), r"holds int64 values; latents"),
    "not finite": (np.full((2, 7), np.nan), r"holds values that are not finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_arrays_are_refused(case, tmp_path):
    values, message = WRONG[case]
    np.save(tmp_path / "z.npy", values)
    with pytest.raises(DataError, match=message):
        latents.read(tmp_path / "z.npy", PRIOR)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"z\.npy: no such file"):
        latents.read(tmp_path / "z.npy", PRIOR)
    (tmp_path / "z.npy").write_text("text")
    with pytest.raises(DataError, match=r"z\.npy: is not a \.npy file"):
        latents.read(tmp_path / "z.npy", PRIOR)
    np.save(tmp_path / "z.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"z\.npy: is not a \.npy file"):
        latents.read(tmp_path / "z.npy", PRIOR)
    np.savez(tmp_path / "z.npz", np.zeros((2, 7)))
    with pytest.raises(DataError, match=r"z\.npz: holds several arrays"):
        latents.read(tmp_path / "z.npz", PRIOR)
    with pytest.raises(DataError, match="not a regular file"):
        latents.read(tmp_path, PRIOR)


def test_what_cannot_be_truncated_is_one_line():
    with pytest.raises(ConfigError, match="--truncation -1: must be greater than 0"):
        latents.truncated(Gaussian(2), torch.zeros(1, 2), -1)

    class Own(Gaussian):
        truncated = Prior.truncated

    with pytest.raises(ConfigError, match="--truncation 1: Own cannot be truncated"):
        latents.truncated(Own(2), torch.zeros(1, 2), 1)


def test_usual_norms_are_those_of_the_chi_distribution():
    low, high = latents.usual_norms(Gaussian(100))
    assert low == pytest.approx(8.83, abs=0.15)
    assert high == pytest.approx(11.15, abs=0.15)


def test_a_model_without_latents_is_refused():
    with pytest.raises(ConfigError, match="gan-x: this model decodes no latents"):
        latents.prior_of(Toy(prior=None), "gan-x")
