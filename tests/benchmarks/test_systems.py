"""The systems of docs/models/: each row a command, results merged, pages written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.published.jobs import TableJob, jobs
from benchmarks.systems.__main__ import chosen, main
from benchmarks.systems.catalogue import load
from benchmarks.systems.page import Values
from gan_cli.config import groups
from gan_cli.config.settings import settings_of
from gan_cli.training.divergence import Fault

CATALOGUE = load()
TABLE = CATALOGUE.table()
FIRST = [job for job in jobs(TABLE, "full") if job.seed == 0]


@pytest.mark.slow
@pytest.mark.parametrize("job", FIRST, ids=lambda job: job.row)
def test_every_row_is_a_command_that_gan_train_takes(job: TableJob) -> None:
    assert settings_of(*job.train).seed == 0


def test_every_model_and_preset_that_the_tables_name_exists() -> None:
    presets = {
        name.strip()
        for system in CATALOGUE.systems
        for name in system.preset.split(",")
        if name.strip()
    }
    assert presets <= set(groups.options("experiment"))


def test_known_runs_are_not_chosen_and_seeds_come_in_turn() -> None:
    found = chosen(TABLE, ["gan_*"], None, ["gan_ring-s0"])
    assert "gan_ring-s0" not in [job.key for job in found]
    assert [job.seed for job in found] == sorted(job.seed for job in found)


def test_results_of_another_machine_are_merged_and_shown(tmp_path: Path) -> None:
    job = next(job for job in FIRST if job.row == "gan_ring")
    run = {
        "train": list(job.train),
        "evaluations": [list(arguments) for arguments in job.evaluations],
        "values": {"modes_captured": 7.0, "high_quality_share": 0.75},
        "floors": {},
        "seconds": {"train": 1.0, "evaluate": 1.0},
        "date": "2026-01-01",
        "hardware": "a machine",
    }
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"runs": {job.key: run, "unknown-s0": run}}), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["--merge", str(other), "--out", str(tmp_path)])
    assert ended.value.code == 0
    page = (tmp_path / "docs" / "models" / "README.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith("| [GAN](games.md#gan)"))
    assert "7.0; 75.0 %" in line
    assert {f"{family.name}.md" for family in CATALOGUE.families} <= {
        path.name for path in (tmp_path / "docs" / "models").iterdir()
    }


def test_diverged_runs_are_counted_beside_the_others() -> None:
    run = {"values": {"modes_captured": 7.0, "high_quality_share": 0.75}}
    fault = str(Fault(7, "generator", "loss", ["loss"], ""))
    failed = {"gan_ring-s1": fault, "gan_ring-s2": "the disk is full"}
    values = Values(TABLE, {"runs": {"gan_ring-s0": run}, "failed": failed})
    assert values.runs("gan_ring") == "1, 1 more diverged"
    assert values.runs("gan_grid") == "0"
