"""Places for jobs on one machine: how many at once, with which GPU and how many threads each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli.device import cores
from gan_cli.errors import ConfigError

GIB = 2**30
ROOM = 1.0 * GIB  # of memory that a job is expected to take where there is no GPU


def memory() -> float:
    """Free memory in bytes; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = dict(line.split(":") for line in lines)["MemAvailable"]
        return float(free.split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return float("inf")


def gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        listed = environment["CUDA_VISIBLE_DEVICES"].split(",")
        return [name.strip() for name in listed if name.strip() not in ("", "-1", "NoDevFiles")]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def at_once(asked: int | None, jobs: int, devices: Sequence[str], each: int) -> int:
    """How many jobs run at the same time.

    Args:
        asked: by the user.
        jobs: how many there are.
        devices: GPUs to share out, if the jobs use any.
        each: GPUs, or processes, of a job.
    """
    if asked is not None:
        return max(1, min(asked, jobs))
    room = len(devices) // each if devices else min(cores() // each, int(memory() / ROOM / each))
    return max(1, min(room, jobs))


@dataclass(frozen=True)
class Slot:
    """A place for a job: the GPUs that it sees, by name."""

    devices: tuple[str, ...]


class Slots:
    """Hands out places.

    Args:
        count: jobs at once.
        devices: GPUs to share out; none where the jobs use none, or one that the user chose.
        each: GPUs of a job.
        threads: of the CPU, that all jobs share.
    """

    def __init__(self, count: int, devices: Sequence[str], each: int, threads: int) -> None:
        self.count, self.each = count, min(each, len(devices))
        self.threads = max(1, threads // count)
        self._used = dict.fromkeys(devices, 0)
        self._taken = 0

    def take(self) -> Slot | None:
        """A place with the GPUs that are used least, None while all are taken."""
        if self._taken == self.count:
            return None
        self._taken += 1
        devices = sorted(self._used, key=self._used.__getitem__)[: self.each]
        for name in devices:
            self._used[name] += 1
        return Slot(tuple(devices))

    def give(self, slot: Slot) -> None:
        """The job there has ended."""
        self._taken -= 1
        for name in slot.devices:
            self._used[name] -= 1

    def environment(self, slot: Slot, before: Mapping[str, str], own: bool) -> dict[str, str]:
        """Of a job's process, which may have chosen its number of threads itself (`own`)."""
        found = dict(before)
        if not own:
            found.setdefault("OMP_NUM_THREADS", str(self.threads))
        if slot.devices:
            found["CUDA_VISIBLE_DEVICES"] = ",".join(slot.devices)
        return found


def elsewhere(jobs: int, asked: int | None, threads: int) -> Slots:
    """Places on other machines, which share out their GPUs themselves; `threads` of each job.

    Raises:
        ConfigError: there cannot be so few.
    """
    if asked is not None and asked < 1:
        raise ConfigError(f"hydra.launcher.n_jobs = {asked}: must be 1 or more")
    count = max(1, min(jobs, asked or jobs))
    return Slots(count, [], 0, count * max(1, threads))
