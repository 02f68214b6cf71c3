"""Sweeps of stand-ins for trainings."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from composing import settings_of

from gan_cli.config.command_line import prepare
from gan_cli.config.schema import Settings
from gan_cli.errors import ConfigError
from gan_cli.jobs.processes import SpawnStarter
from gan_cli.sweeps import launch
from gan_cli.sweeps.launch import Backend, Request
from gan_cli.sweeps.slots import Slots

TESTS = Path(__file__).parents[1]


@dataclass
class Sweep:
    """`run` is what a launcher does, with stand-ins that do what `act` says."""

    settings: Settings
    place: Path
    at_once: int = 2
    wrong: dict[str, str] = field(default_factory=dict)  # faults by override

    def settings_of(self, overrides: Sequence[str]) -> Settings:
        faults = [self.wrong[text] for text in overrides if text in self.wrong]
        if faults:
            raise ConfigError("\n".join(faults))
        return self.settings

    def run(self, *acts: str, **more: Any) -> None:
        jobs = [[f"act={act}", f"seed={seed}"] for seed, act in enumerate(acts)]
        request = Request(self.settings_of, jobs, [], ["act", "seed"], Path(), self.place)
        slots = Slots(self.at_once, [], 1, 2)
        backend = Backend(SpawnStarter("standin"), lambda _: slots, grace=300)
        launch.run(replace(request, **more), backend)

    @property
    def index(self) -> dict[str, Any]:
        return json.loads((self.place / "sweep.json").read_text(encoding="utf-8"))

    @property
    def states(self) -> list[str]:
        return [job["state"] for job in self.index["jobs"]]


@pytest.fixture(scope="session")
def settings() -> Settings:
    return settings_of("model=gan", "data=ring")


@pytest.fixture
def sweep(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    monkeypatch.setenv("PYTHONPATH", f"{TESTS.parent}:{TESTS}")
    token = launch.command.set(prepare(["-m", "seed=1,2"]))
    before = logging.getLogger().handlers[:]
    yield Sweep(settings, tmp_path / "sweep")
    logging.getLogger().handlers[:] = before
    launch.command.reset(token)
