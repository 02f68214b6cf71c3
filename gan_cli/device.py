"""How much memory there is, and how much this process takes."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from gan_cli.errors import ConfigError

STATUS = Path("/proc/self/status")  # Linux's
CURVES = {"RssAnon": "memory/own_megabytes", "RssFile": "memory/files_megabytes"}


def total_memory() -> int:
    """Bytes of the machine's memory; no bound where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 1 << 62


def resident() -> dict[str, float]:
    """What of this process lies in memory, as points of curves; nothing where it is not told.

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


def place(model: nn.Module, device: torch.device) -> None:
    """Move a model to its device, its convolutions in the layout that is fastest there."""
    model.to(device)
    if device.type in ("cpu", "cuda"):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} threads" if device.type == "cpu" else device.type
