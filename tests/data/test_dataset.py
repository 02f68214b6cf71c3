import torch

from gan_cli.data import dataset
from gan_cli.data.dataset import Dataset


class Images(Dataset):
    def __init__(self, values: torch.Tensor, labels: torch.Tensor | None = None, names=()) -> None:
        super().__init__("images", values, labels, names)


BYTES = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
LABELS = torch.tensor([0, 1, 1, 0])


def test_the_description_follows_from_the_table() -> None:
    data = Images(BYTES, LABELS, ("a", "b"))
    spec = data.spec
    assert (spec.shape, spec.size, spec.classes, spec.is_image) == ((1, 8, 8), 4, 2, True)
    assert len(data) == 4


def test_bytes_are_scaled_exactly_and_keep_their_steps() -> None:
    real = Images(BYTES).real(torch.arange(4)).flatten()
    assert (real[0], real[255]) == (-1, 1)
    assert torch.equal(((real + 1) * 127.5).round(), torch.arange(256.0))
    torch.testing.assert_close(real.diff(), torch.full((255,), 2 / 255))


def test_points_are_left_as_they_are() -> None:
    points = torch.randn(5, 2)
    data = Images(points)
    assert torch.equal(data.real(torch.tensor([4, 4, 0])), points[[4, 4, 0]])
    assert not data.spec.is_image


def test_gathering_does_not_touch_the_table() -> None:
    data = Images(torch.randn(5, 2))
    before = data.values.clone()
    data.real(torch.arange(5)).zero_()
    assert torch.equal(data.values, before)


def test_labels_where_there_are_any() -> None:
    assert Images(BYTES).labels(torch.tensor([0])) is None
    labels = Images(BYTES, LABELS, ("a", "b")).labels(torch.tensor([3, 1]))
    assert labels is not None
    assert labels.tolist() == [0, 1]


def test_a_table_that_does_not_fit_stays_behind(monkeypatch) -> None:
    # "meta" stands for a device with memory of its own.
    for room, resident in ((2 * 256, True), (2 * 256 - 1, False)):
        monkeypatch.setattr(dataset, "_room", lambda _, room=room: room)
        data = Images(BYTES, LABELS, ("a", "b")).to("meta")
        assert data.resident == resident
        assert data.values.device.type == ("meta" if resident else "cpu")
        assert data.targets is not None
        assert data.targets.device.type == "meta"
        assert data.device.type == "meta"
    real = data.real(torch.tensor([1, 2]))
    assert real.device.type == "meta"
    assert (real.shape, real.dtype) == ((2, 1, 8, 8), torch.float32)


def test_the_fingerprint_sees_values_labels_and_description() -> None:
    changed = BYTES.clone()
    changed[3, 0, 7, 7] = 0
    fingerprints = [
        Images(BYTES).fingerprint,
        Images(changed).fingerprint,
        Images(BYTES, LABELS, ("a", "b")).fingerprint,
        Images(BYTES, 1 - LABELS, ("a", "b")).fingerprint,
        Images(BYTES, LABELS, ("a", "c")).fingerprint,
        Images(BYTES.view(2, 2, 8, 8)).fingerprint,
    ]
    assert len(set(fingerprints)) == len(fingerprints)
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints)
    assert Images(BYTES.clone()).fingerprint == fingerprints[0]
