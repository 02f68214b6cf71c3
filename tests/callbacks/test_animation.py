"""The animation of a run's pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from contexts import context
from PIL import Image, ImageSequence

from gan_cli.callbacks.samples import FRAMES, Animation
from gan_cli.images import write_png


def pictures(run: Path, name: str, levels: dict[int, int], side: int = 8) -> None:
    (run / "samples").mkdir(exist_ok=True)
    for step, level in levels.items():
        picture = np.full((side, side, 3), level, np.uint8)
        write_png(run / "samples" / f"{name}-{step:08d}.png", picture)


def frames_of(path: Path) -> list[int]:
    """The level of each frame; GIF joins equal ones in a row."""
    with Image.open(path) as animation:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]
    return [int(frame[0, 0, 0]) for frame in frames]


def test_pictures_in_the_order_of_their_steps(tmp_path: Path) -> None:
    pictures(tmp_path, "points", {0: 0, 100: 250, 20: 100})
    pictures(tmp_path, "fixed", {0: 0, 20: 100, 100: 250})
    Animation(context(tmp_path)).end(100, "finished")
    assert [path.name for path in (tmp_path / "samples").glob("*.gif")] == ["points.gif"]
    assert frames_of(tmp_path / "samples" / "points.gif") == pytest.approx([0, 100, 250], abs=3)


def test_what_an_earlier_start_drew_later_is_left_out(tmp_path: Path) -> None:
    pictures(tmp_path, "points", {0: 0, 10: 50, 20: 100, 30: 200})
    Animation(context(tmp_path)).end(20, "interrupted")
    assert frames_of(tmp_path / "samples" / "points.gif") == pytest.approx([0, 50, 100], abs=3)


def test_a_long_run_has_an_animation_of_bounded_length(tmp_path: Path) -> None:
    pictures(tmp_path, "points", {step: step % 256 for step in range(255)}, side=2)
    Animation(context(tmp_path)).end(254, "finished")
    levels = frames_of(tmp_path / "samples" / "points.gif")
    assert len(levels) == FRAMES
    assert levels[-1] == pytest.approx(254, abs=3)


@pytest.mark.parametrize(("steps", "status"), [(2, "finished"), (5, "failed")])
def test_no_animation_of_next_to_nothing_or_of_a_failure(
    tmp_path: Path, steps: int, status: str
) -> None:
    pictures(tmp_path, "points", dict.fromkeys(range(steps), 9))
    Animation(context(tmp_path)).end(steps, status)
    assert not list((tmp_path / "samples").glob("*.gif"))


def test_only_pictures_that_are_regular_files_are_shown(tmp_path: Path, caplog) -> None:
    pictures(tmp_path, "points", {0: 0, 10: 100, 20: 200})
    os.mkfifo(tmp_path / "samples" / "points-00000005.png")
    pictures(tmp_path, "other", {0: 255})
    (tmp_path / "samples" / "points-00000015.png").symlink_to(
        tmp_path / "samples" / "other-00000000.png"
    )
    Animation(context(tmp_path)).end(20, "finished")
    assert frames_of(tmp_path / "samples" / "points.gif") == pytest.approx([0, 100, 200], abs=3)
    reason = "cannot be read (is not a regular file), so the animation skips it"
    assert f"points-00000005.png: {reason}" in caplog.text
    assert "points-00000015.png: cannot be read (is a link)" in caplog.text


def test_no_folder_is_no_fault(tmp_path: Path) -> None:
    Animation(context(tmp_path / "none")).end(3, "finished")
