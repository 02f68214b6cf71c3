"""Which jobs of a sweep share a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from composing import settings_of

from gan_cli.config.schema import Settings
from gan_cli.sweeps.plan import LARGEST, SweepJob, groups


@pytest.fixture(scope="module")
def points() -> Settings:
    return settings_of("model=gan", "data=ring")


@pytest.fixture(scope="module")
def images() -> Settings:
    return settings_of("model=dcgan")


def jobs(folder: Path, settings: Settings, seeds: Sequence[int], name: str = "") -> list[SweepJob]:
    found = []
    for seed in seeds:
        run = folder / f"{name}{seed}"
        own = settings.model_copy(update={"seed": seed})
        found.append(SweepJob(run.name, [], run, [f"seed={seed}"], own))
    return found


def names(found: list[list[SweepJob]]) -> list[list[str]]:
    return [[job.name for job in group] for group in found]


def test_seeds_of_points_are_divided_among_the_slots(points: Settings, tmp_path: Path) -> None:
    four = jobs(tmp_path, points, range(4))
    assert names(groups(four, 1)) == [["0", "1", "2", "3"]]
    assert names(groups(four, 2)) == [["0", "2"], ["1", "3"]]
    assert len(groups(four, 8)) == 4
    many = groups(jobs(tmp_path, points, range(LARGEST + 1)), 1)
    assert [len(group) for group in many] == [33, 32]


def test_jobs_that_differ_in_more_than_the_seed_are_apart(points: Settings, tmp_path: Path) -> None:
    other = points.model_copy(update={"batch_size": 16})
    mixed = [*jobs(tmp_path, points, [1, 2, 2]), *jobs(tmp_path, other, [1, 2], "other")]
    assert names(groups(mixed, 2)) == [["1", "2"], ["2"], ["other1", "other2"]]


def test_images_are_together_where_asked(
    images: Settings, points: Settings, tmp_path: Path
) -> None:
    two = jobs(tmp_path, images, [1, 2])
    assert len(groups(two, 1)) == 2
    asked = images.model_copy(
        update={"runtime": images.runtime.model_copy(update={"together": True})}
    )
    for slots in (1, 2):
        assert len(groups(jobs(tmp_path, asked, [1, 2]), slots)) == 1
    never = points.model_copy(
        update={"runtime": points.runtime.model_copy(update={"together": False})}
    )
    assert len(groups(jobs(tmp_path, never, [1, 2]), 1)) == 2


def test_a_limit_of_time_is_each_one_s_own(points: Settings, tmp_path: Path) -> None:
    limited = points.model_copy(update={"max_time": 60.0})
    assert len(groups(jobs(tmp_path, limited, [1, 2]), 1)) == 2


def test_a_started_job_resumes_by_itself(points: Settings, tmp_path: Path) -> None:
    three = jobs(tmp_path, points, [1, 2, 3])
    three[1].run.mkdir()
    (three[1].run / "status.json").write_text("{}")
    assert names(groups(three, 1)) == [["1", "3"], ["2"]]
