"""One command gives one set of weights, whoever reads the data and however it was started."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from inprocess import call
from PIL import Image

from gan_cli.runs import checkpoint

pytestmark = pytest.mark.slow
RUN = (
    *("model=gan", "data=folder", "data.root=images", "data.size=8", "network=mlp", "steps=6"),
    *("network.width=8", "batch_size=4", "seed=3", "runtime.device=cpu", "runtime.threads=1"),
    *("runtime.precision=fp32", "callbacks=none"),
)


def trained(folder: Path, name: str, *words: str) -> dict[str, torch.Tensor]:
    """Train a run of its own; its weights."""
    done = call(*RUN, *words, f"run.dir={name}", cwd=folder, GAN_CLI_CACHE=str(folder / f"c{name}"))
    assert done.returncode == 0, done.stderr
    return checkpoint.load(folder / name / "checkpoints" / "last.pt")["model"]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_do_not_depend_on_data_workers_or_on_how_the_process_began(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for side in range(4, 13):
        Image.linear_gradient("L").resize((side, side)).save(tmp_path / "images" / f"{side}.png")
    first = trained(tmp_path, "a", "data.workers=1")
    assert equal(first, trained(tmp_path, "b", "data.workers=1"))
    assert equal(first, trained(tmp_path, "c", "data.workers=4"))
    with get_context("spawn").Pool(1) as pool:
        assert equal(first, pool.apply(trained, (tmp_path, "d", "data.workers=2")))
    assert not equal(first, trained(tmp_path, "e", "seed=4"))
