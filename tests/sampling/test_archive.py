"""Many samples as files: what is in them, and what an interruption leaves."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_samples import Toy

from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.evaluation.image_files import ImageArray
from gan_cli.images import to_uint8
from gan_cli.runs.load import Loaded
from gan_cli.sampling import archive as module
from gan_cli.sampling.archive import Archive
from gan_cli.sampling.samples import SampleRequest, draw


@pytest.fixture
def archive() -> Archive:
    torch.manual_seed(0)
    settings: Any = None
    loaded = Loaded(Toy(conditional=True).eval(), settings, 30, "ema")
    return Archive(loaded, SampleRequest(), 150)


def pictures(archive: Archive) -> np.ndarray:
    found = draw(archive.loaded.model, archive.number, archive.request)
    return to_uint8(torch.cat(list(found)))


def interrupted(archive: Archive, path: Path, monkeypatch) -> None:
    """The command, stopped when 128 samples are drawn."""

    def some(*args: Any):
        batches = draw(*args)
        yield next(batches)
        yield next(batches)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.sampling, "draw", some)
        with pytest.raises(KeyboardInterrupt):
            archive.write(path)


def test_an_npz_file_is_what_evaluation_reads(archive, tmp_path):
    path = archive.write(tmp_path / "new" / "x.npz")
    assert [one.name for one in path.parent.iterdir()] == ["x.npz"]
    with np.load(path) as kept:
        assert np.array_equal(kept["arr_0"], pictures(archive))
        assert kept["arr_1"].tolist() == [i % 3 for i in range(150)]
    data = ImageArray(path)
    assert data.spec.size == 150
    assert data.spec.shape == (1, 5, 5)


def test_a_zip_file_holds_the_numbered_images(archive, tmp_path):
    archive.write(tmp_path / "x.zip")
    assert [one.name for one in tmp_path.iterdir()] == ["x.zip"]
    archive.write(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "x.zip") as kept:
        assert kept.testzip() is None
        assert kept.namelist()[:3] == ["samples.json", "a/000000.png", "b/000001.png"]
        for name in kept.namelist():
            assert kept.read(name) == (tmp_path / "folder" / name).read_bytes()
    assert len(list((tmp_path / "folder").rglob("*.png"))) == 150


@pytest.mark.parametrize(("name", "first"), [("folder", 64), ("x.zip", 64), ("x.npz", 128)])
def test_an_interrupted_command_continues(archive, tmp_path, monkeypatch, name, first, caplog):
    whole = archive.write(tmp_path / "whole" / name)
    path = tmp_path / name
    caplog.set_level("INFO")
    interrupted(archive, path, monkeypatch)
    # Of images, some are still being encoded.
    assert re.search("1[012][0-9] of 150 samples are written; the same command", caplog.text)
    assert not path.is_file()
    begun = path if name == "folder" else tmp_path / f"{name}.partial"
    assert (begun / "samples.json").exists()
    other = replace(archive, request=SampleRequest(seed=1))
    with pytest.raises(ConfigError, match=r"seed 0 instead of 1\), which would stay"):
        other.write(path)
    if name != "x.npz":  # how many images were encoded in time depends on the threads
        there = {int(one.stem) for one in begun.rglob("*.png")}
        first = min(set(range(151)) - there) // 64 * 64  # of the batch of the first missing one
        assert first in (64, 128)
    drawn = []
    monkeypatch.setattr(module.sampling, "draw", lambda *args: drawn.append(args[4]) or draw(*args))
    archive.write(path)
    assert drawn == [first]
    assert f"{first} of 150 samples are there already" in caplog.text
    if name == "folder":
        for one in whole.rglob("*.*"):
            assert one.read_bytes() == (path / one.relative_to(whole)).read_bytes()
    else:
        assert path.read_bytes() == whole.read_bytes()
        assert not begun.exists()


def test_more_samples_of_the_same_request_are_added(archive, tmp_path):
    archive.write(tmp_path / "a")
    first = (tmp_path / "a" / "a" / "000000.png").stat().st_mtime_ns
    replace(archive, number=200).write(tmp_path / "a")
    assert len(list((tmp_path / "a").rglob("*.png"))) == 200
    assert (tmp_path / "a" / "a" / "000000.png").stat().st_mtime_ns == first
    with Image.open(tmp_path / "a" / "b" / "000199.png") as last:
        assert np.array_equal(
            np.asarray(last), pictures(replace(archive, number=200))[199, :, :, 0]
        )
    with pytest.raises(ConfigError, match="holds other numbered images such as"):
        replace(archive, number=100).write(tmp_path / "a")


def test_a_missing_image_is_drawn_again(archive, tmp_path):
    archive.write(tmp_path / "a")
    lost = tmp_path / "a" / "c" / "000071.png"
    before = lost.read_bytes()
    lost.unlink()
    archive.write(tmp_path / "a")
    assert lost.read_bytes() == before


def test_a_damaged_description_is_one_line(archive, tmp_path):
    archive.write(tmp_path / "a")
    (tmp_path / "a/samples.json").write_text("{")
    with pytest.raises(ConfigError, match=r"samples\.json.*remove it to start again"):
        archive.write(tmp_path / "a")


def test_the_description_names_the_weights(archive):
    told = archive.about()
    assert json.loads(json.dumps(told)) == told
    with torch.no_grad():
        next(archive.loaded.model.parameters()).add_(1)
    assert archive.about()["weights_sha256"] != told["weights_sha256"]


@pytest.mark.parametrize("name", ["x.npz", "x.zip"])
def test_a_link_in_the_way_is_not_followed(archive, tmp_path, name):
    other = tmp_path / "other"
    other.mkdir()
    (other / "arr_0.raw").write_bytes(b"precious")
    (tmp_path / f"{name}.partial").symlink_to(other)
    with pytest.raises(CheckpointError, match=r"partial: is a link"):
        archive.write(tmp_path / name)
    assert [path.name for path in other.iterdir()] == ["arr_0.raw"]
    assert (other / "arr_0.raw").read_bytes() == b"precious"


def test_a_class_s_folder_is_no_link(archive, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / module.class_folders(archive.loaded.model.data)[0]).symlink_to(
        tmp_path / "other"
    )
    with pytest.raises(CheckpointError, match=r"is a link"):
        archive.write(tmp_path / "new")
    assert not [*(tmp_path / "other").iterdir()]
