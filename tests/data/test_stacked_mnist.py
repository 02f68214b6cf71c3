import re

import pytest
import torch

from gan_cli.data import dataset
from gan_cli.data.mnist import MNIST
from gan_cli.data.stacked_mnist import StackedMNIST, read_as_number
from gan_cli.data.stream import Stream
from gan_cli.errors import ConfigError


@pytest.fixture(scope="module")
def data() -> StackedMNIST:
    return StackedMNIST("test", stacks=20_000)


def test_the_defaults_are_those_of_veegan_and_pacgan() -> None:
    data = StackedMNIST()
    assert (data.spec.size, data.spec.shape, data.spec.classes) == (128_000, (3, 28, 28), 1000)
    assert len(data.values) == 70_000
    assert data.spec.class_names[:2] == ("000", "001")
    assert data.spec.class_names[-1] == "999"
    assert data.places.max() > 60_000


def test_a_stack_shows_three_digits_and_is_labelled_by_them(data: StackedMNIST) -> None:
    digits = MNIST("test")
    index = torch.tensor([3, 19_999, 3])
    images, labels = data.real(index), data.labels(index)
    assert (images.shape, images.dtype) == ((3, 3, 28, 28), torch.float32)
    assert labels is not None
    assert digits.targets is not None
    for image, label, stack in zip(images, labels, index, strict=True):
        places = data.places[stack]
        assert torch.equal(image, digits.real(places)[:, 0])
        assert data.spec.class_names[label] == "".join(map(str, digits.targets[places].tolist()))
    assert torch.equal(images[0], images[2])


def test_the_number_reads_from_red_to_blue() -> None:
    assert read_as_number(torch.tensor([[0, 0, 7], [4, 0, 2], [9, 9, 9]])).tolist() == [7, 402, 999]


def test_channels_are_drawn_independently_and_evenly(data: StackedMNIST) -> None:
    assert data.targets is not None
    assert len(data.targets.unique()) == 1000
    # Uniform places: mean (N-1)/2, standard error N/sqrt(12 n); five of them. Uncorrelated too.
    spread = 10_000 / 12**0.5
    assert (data.places.double().mean(0) - 4999.5).abs().max() < 5 * spread / 20_000**0.5
    assert (torch.corrcoef(data.places.T.double()) - torch.eye(3)).abs().max() < 5 / 20_000**0.5


def test_every_run_sees_the_same_stacks_and_the_fingerprint_covers_them(data: StackedMNIST) -> None:
    again = StackedMNIST("test", stacks=20_000)
    assert torch.equal(again.places, data.places)
    assert again.fingerprint == data.fingerprint
    again = StackedMNIST("test", stacks=20_000)
    again.places[0, 0] ^= 1
    assert again.fingerprint != data.fingerprint


def test_digits_that_do_not_fit_stay_behind_with_the_places(monkeypatch) -> None:
    data = StackedMNIST("test", stacks=10)
    # "meta" stands for a device with memory of its own.
    monkeypatch.setattr(dataset, "_room", lambda _: 0)
    data.to("meta")
    assert (data.values.device.type, data.places.device.type) == ("cpu", "cpu")
    real = data.real(torch.arange(4))
    assert (real.shape, real.dtype, real.device.type) == ((4, 3, 28, 28), torch.float32, "meta")
    monkeypatch.setattr(dataset, "_room", lambda _: 1 << 40)
    data.to("meta")
    assert (data.values.device.type, data.places.device.type) == ("meta", "meta")
    assert data.real(torch.arange(4, device="meta")).shape == (4, 3, 28, 28)


@pytest.mark.gpu
def test_a_gpu_gathers_the_same(data: StackedMNIST, monkeypatch) -> None:
    expected = data.real(torch.arange(50))
    for room in (0, 1 << 40):
        monkeypatch.setattr(dataset, "_room", lambda _, room=room: room)
        moved = StackedMNIST("test", stacks=20_000).to("cuda")
        assert moved.resident == bool(room)
        torch.testing.assert_close(moved.real(torch.arange(50)).cpu(), expected, rtol=0, atol=1e-6)


def test_the_stream_runs_over_stacks(data: StackedMNIST) -> None:
    batch = Stream(data, 64, seed=1).batch(0)
    assert batch.real.shape == (64, 3, 28, 28)
    assert batch.labels is not None
    assert batch.labels.shape == (64,)


def test_stacks_are_resized_to_the_given_size() -> None:
    data = StackedMNIST("test", stacks=5, size=[20, 32])
    assert data.real(torch.arange(5)).shape == (5, 3, 20, 32)


def test_impossible_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=re.escape("data.stacks = 0: at least 1 is needed")):
        StackedMNIST(stacks=0)
