"""samples/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contexts import context
from PIL import Image

from gan_cli.callbacks.samples import Samples
from gan_cli.errors import UserError


def test_pictures_are_files_by_name_and_step(tmp_path: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    color = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    samples = Samples(context(tmp_path / "run"))
    samples.start(0)
    samples.drawn(0, {"real": color})
    samples.drawn(500, {"samples/fixed": grey, "codes/first/low": color})
    files = {path.name: path for path in (tmp_path / "run" / "samples").iterdir()}
    assert set(files) == {
        "real-00000000.png",
        "fixed-00000500.png",
        "codes-first-low-00000500.png",
    }
    np.testing.assert_array_equal(np.asarray(Image.open(files["fixed-00000500.png"])), grey[..., 0])
    np.testing.assert_array_equal(np.asarray(Image.open(files["real-00000000.png"])), color)


def test_a_resumed_run_replaces_the_pictures_that_it_draws_again(tmp_path: Path) -> None:
    for level in (0, 255):
        samples = Samples(context(tmp_path))
        samples.start(0)
        samples.drawn(10, {"fixed": np.full((2, 2, 1), level, dtype=np.uint8)})
    (file,) = (tmp_path / "samples").iterdir()
    assert np.asarray(Image.open(file)).min() == 255


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("a file")
    with pytest.raises(UserError, match="samples: cannot be written: File exists"):
        Samples(context(tmp_path)).start(0)


def test_a_folder_that_vanishes_is_a_message(tmp_path: Path) -> None:
    samples = Samples(context(tmp_path))
    samples.start(0)
    (tmp_path / "samples").rmdir()
    with pytest.raises(UserError, match=r"fixed-00000010\.png: cannot be written"):
        samples.drawn(10, {"fixed": np.zeros((2, 2, 1), dtype=np.uint8)})
