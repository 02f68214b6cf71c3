"""data.flip and data.crop: mirrored batches as a pure function of seed and step, and cropping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.data import dataset as dataset_module
from gan_cli.data.dataset import Dataset
from gan_cli.data.folder import Folder
from gan_cli.data.stream import Stream
from gan_cli.distributed.random import SharedDraws
from gan_cli.errors import ConfigError
from gan_cli.training.setup import assemble

COUNT = 40


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path) -> Path:
    """Images whose left half shows their number, and whose right half is black; two classes."""
    for i in range(COUNT):
        image = np.zeros((4, 8), np.uint8)
        image[:, :4] = i + 1
        folder = tmp_path / "photos" / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return tmp_path / "photos"


def folder(root: Path, **settings) -> Dataset:
    return Folder(str(root), size=[4, 8], **settings)


def levels(images: torch.Tensor) -> torch.Tensor:
    return ((images + 1) * 127.5).round().long()


@pytest.mark.parametrize("ahead", [False, True], ids=["at once", "ahead"])
def test_half_of_the_images_are_mirrored(root, ahead, monkeypatch) -> None:
    if ahead:  # as for a table that does not fit into memory
        monkeypatch.setattr(dataset_module, "total_memory", lambda: 1)
    plain, flipped = folder(root), folder(root, flip=True)
    assert flipped.distant == ahead
    stream, still = Stream(flipped, COUNT, 3), Stream(plain, COUNT, 3)
    mirrored = 0
    for k in range(25):
        batch, original = stream.batch(k), still.batch(k)
        left, right = levels(batch.real)[:, 0, 0, 0], levels(batch.real)[:, 0, 0, 7]
        number = left + right  # whichever side shows it
        assert sorted(number.tolist()) == list(range(1, COUNT + 1))
        assert torch.equal(number, levels(original.real)[:, 0, 0, 0])
        for labels in (batch.labels, original.labels):
            assert labels is not None
            assert torch.equal(labels, (number - 1) % 2)
        mirrored += int((right > 0).sum())
    # 500 of 1,000 are expected; five standard deviations are 79.
    assert abs(mirrored - 500) < 79


def test_a_batch_is_a_pure_function_of_seed_and_step(root) -> None:
    data = folder(root, flip=True)
    stream = Stream(data, 7, 3)
    first = [stream.batch(k).real for k in range(20)]
    for k in (19, 2, 11):  # as a resumed run asks for them
        assert torch.equal(Stream(data, 7, 3).batch(k).real, first[k])
    halves = [Stream(data, 8, 3, part=(r, 2)).batch(5).real for r in range(2)]
    assert torch.equal(torch.cat(halves), Stream(data, 8, 3).batch(5).real)


def test_evaluation_sees_the_images_as_they_are(root) -> None:
    plain, flipped = folder(root), folder(root, flip=True)
    index = torch.arange(COUNT)
    assert torch.equal(plain.real(index), flipped.real(index))
    assert (plain.fingerprint, plain.spec) == (flipped.fingerprint, flipped.spec)


def test_a_run_with_mirrored_images_resumes_exactly(root) -> None:
    words = ["model=gan", "network=mlp", "network.width=4", "data=folder", f"data.root={root}"]
    words += ["data.size=[4,8]", "data.flip=true", "batch_size=8", "runtime.device=cpu"]
    whole = assemble(settings_of(*words), Trust())
    for _ in range(4):
        whole.trainer.advance()
    halfway = assemble(settings_of(*words), Trust())
    for _ in range(2):
        halfway.trainer.advance()
    again = assemble(settings_of(*words), Trust())
    again.trainer.load_state_dict(halfway.trainer.state_dict())
    for _ in range(2):
        again.trainer.advance()
    for mine, theirs in zip(
        again.model.state_dict().values(), whole.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_codes_of_images_refuse_mirrored_ones(root) -> None:
    words = ["model=glo", "data=folder", f"data.root={root}", "data.size=16", "data.flip=true"]
    with pytest.raises(ConfigError, match=r"data.flip = true: GLO learns a code of each image"):
        assemble(settings_of(*words, "network.width=4", "runtime.device=cpu"), Trust())


def columns(root: Path, crop: str) -> list[int]:
    """The left edges of what is cut out of images 32 wide and 8 high."""
    return levels(Folder(str(root), size=8, crop=crop).values.float() / 127.5 - 1)[
        :, 0, 0, 0
    ].tolist()


def test_crops(tmp_path) -> None:
    for i in range(30):
        image = np.tile(np.arange(32, dtype=np.uint8), (8, 1))
        image[7, 31] = i  # other contents
        Image.fromarray(image).save(tmp_path / f"{i:02}.png")
    assert columns(tmp_path, "center") == [12] * 30
    found = columns(tmp_path, "random")
    assert found == columns(tmp_path, "random")
    assert len(set(found)) > 8
    assert min(found) >= 0
    assert max(found) <= 24
    stretched = Folder(str(tmp_path), size=8, crop="none").values[0, 0, 0]
    assert stretched.tolist() == pytest.approx([1.5 + 4 * i for i in range(8)], abs=1)


def test_a_crop_of_another_name_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"data.crop = middle: center, random or none is needed"):
        Folder(str(tmp_path), crop="middle")


def test_dequantised_levels_fill_the_cells_of_training_images(root) -> None:
    """(level + u) / 128 - 1 with u from U[0, 1), as Miyato et al.'s code has it."""
    stream = Stream(folder(root, dequantise=True), COUNT, 3)
    torch.manual_seed(0)
    batch = stream.batch(0)
    cells = (batch.real + 1) * 128
    clean = levels(Stream(folder(root), COUNT, 3).batch(0).real)
    assert torch.equal(cells.floor().long(), clean)
    assert (cells - clean).mean().item() == pytest.approx(0.5, abs=0.03)  # standard error .008
    assert torch.equal(batch.real, batch.real)
    assert torch.equal(levels(stream.dataset.real(batch.index)), clean), "as evaluation sees them"


def test_parts_of_a_batch_share_the_noise_of_the_whole(root) -> None:
    dataset = folder(root, dequantise=True)
    torch.manual_seed(0)
    whole = Stream(dataset, COUNT, 3).batch(0).real
    drawn = []
    for place, part in enumerate(Stream(dataset, COUNT, 3).batch(0).parts(2)):
        torch.manual_seed(0)
        with SharedDraws(place, 2, frozenset((COUNT // 2,))):
            drawn.append(part.real)
    torch.testing.assert_close(torch.cat(drawn), whole)
