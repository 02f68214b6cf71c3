"""What of this machine a process may use, and what it takes. Torch is imported when it is asked."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU time, and a period
STATUS = Path("/proc/self/status")  # Linux's
CURVES = {"RssAnon": "memory/own_megabytes", "RssFile": "memory/files_megabytes"}


def cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return min(count, container_cores() or count)


def container_cores() -> int | None:
    """How many cores' time the container allows, rounded up; None where there is no limit."""
    try:
        time, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(time) / int(period)))
    except (OSError, ValueError):  # no container, another system, or no limit: "max"
        return None


def cpu_reports(feature: str) -> bool:
    """Whether torch reports a feature of the CPU; it does so in private functions only."""
    import torch

    asked = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return bool(asked and asked())


def processor() -> str:
    """The name of the CPU."""
    import platform

    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # elsewhere than on Linux
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def total_memory() -> int:
    """Bytes of the machine's memory; no bound where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 1 << 62


def resident() -> dict[str, float]:
    """What of this process lies in memory, as points of curves; nothing where it is not known.

    Pages of files, such as mapped images, are counted apart: the system takes them back when it
    needs room.
    """
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        curve: float(fields[field].split()[0]) * 1024 / 1e6
        for field, curve in CURVES.items()
        if field in fields
    }


def choose_device(name: str) -> torch.device:
    """The device that `runtime.device` names; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: this machine, or this build of torch, has no such device.
    """
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    device = torch.device(name)
    missing = {"cuda": not cuda, "mps": not mps}.get(device.type, False)
    if missing or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        have = ", ".join(["cpu"] + ["mps"] * mps)
        have += "".join(f", cuda:{i}" for i in range(torch.cuda.device_count()))
        raise ConfigError(f"runtime.device = {name}: torch sees no such device here; it has {have}")
    return device


def float64_device(device: torch.device) -> torch.device:
    """Where to compute in float64 beside a model on `device`: MPS has none."""
    import torch

    return device if device.type == "cuda" else torch.device("cpu")


def place(model: nn.Module, device: torch.device, channels_last: bool | None = None) -> None:
    """Move a model to its device, its convolutions in the layout that is fastest there.

    Args:
        model: to be moved.
        device: where to.
        channels_last: the layout; None chooses by the device.
    """
    import torch

    model.to(device)
    if channels_last is True or (channels_last is None and device.type in ("cpu", "cuda")):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def describe(device: torch.device) -> str:
    """The device in words."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    if device.type != "cpu":
        return device.type
    return f"cpu, {threads} thread{'s' * (threads != 1)}"
