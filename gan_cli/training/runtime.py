"""Where and how to compute: decided once, said in a line or two, and kept for the run."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from gan_cli.config.schema import Runtime as Wanted
from gan_cli.errors import ConfigError
from gan_cli.training.precision import choose_precision

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU time, and a period
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True)
class Runtime:
    """What was decided. The reasons say why a part of it is not the fastest that there is."""

    device: torch.device
    precision: str  # "fp32", "tf32" or "bf16"
    channels_last: bool  # how the weights of convolutions lie in memory
    threads: int  # of the CPU
    deterministic: bool  # two runs are equal, bit for bit
    resident: bool = True  # the data lies on the device
    graphs: bool = False  # updates are recorded as CUDA graphs
    reasons: tuple[str, ...] = ()

    def summary(self) -> str:
        """The decision in one line."""
        parts = [describe(self.device), self.precision]
        if self.channels_last:
            parts.append("channels_last")
        if self.device.type != "cpu":
            parts.append("data on the device" if self.resident else "data in host memory")
        if self.device.type == "cuda":
            parts.append(f"CUDA graphs {'on' if self.graphs else 'off'}")
        return ", ".join([*parts, *["deterministic"] * self.deterministic])


def decide(wanted: Wanted) -> Runtime:
    """What `runtime` asks for, and where it leaves the choice, the fastest.

    Data and CUDA graphs are for those to decide who know them.

    Raises:
        ConfigError: this machine cannot do what is asked for.
    """
    device = choose_device(wanted.device)
    deterministic, note = _deterministic(wanted.deterministic, device)
    precision, lack = choose_precision(wanted.precision, device)
    threads, few = choose_threads(wanted.threads)
    reasons = [note, f"{precision}: {lack}" if lack else "", few if device.type == "cpu" else ""]
    return Runtime(
        device,
        precision,
        device.type in ("cpu", "cuda"),
        threads,
        deterministic,
        reasons=tuple(filter(None, reasons)),
    )


def for_points(chosen: Runtime, wanted: Wanted) -> Runtime:
    """The decision where the data are points: bf16, with 8 bits, only if it was asked for.

    It rounds a coordinate near 1 by up to .002 of it: a fifth of the deviation of the ring's modes.
    """
    if wanted.precision != "auto" or chosen.precision != "bf16":
        return chosen
    reason = "fp32: the data are points, whose places bf16 would round"
    return replace(chosen, precision="fp32", reasons=(*chosen.reasons, reason))


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


def choose_threads(wanted: int | None, quota: Path = QUOTA) -> tuple[int, str]:
    """The CPU's threads, and why they are fewer than its cores, where they are.

    Args:
        wanted: `runtime.threads`; null is torch's own choice, but no more than a container may use.
        quota: the container's limit, where there is one.
    """
    own = torch.get_num_threads()
    if wanted is not None:
        return wanted, f"{wanted} threads: runtime.threads = {wanted}" if wanted < own else ""
    try:
        time, period = quota.read_text(encoding="ascii").split()
        allowed = max(1, math.ceil(int(time) / int(period)))
    except (OSError, ValueError):  # no container, another system, or no limit: "max"
        return own, ""
    if allowed >= own:
        return own, ""
    return allowed, f"{allowed} threads: the container has no more CPU time"


def _deterministic(wanted: bool, device: torch.device) -> tuple[bool, str]:
    """Whether torch is told to be deterministic, and what is to be said of that."""
    if not wanted:
        return False, ""
    if device.type == "mps":
        raise ConfigError(
            "runtime.deterministic = true: torch has no deterministic mode on mps; use "
            "runtime.device=cpu or runtime.deterministic=false"
        )
    if device.type == "cpu":
        return False, "runtime.deterministic = true changes nothing on the CPU, which is exact"
    if WORKSPACE not in os.environ and torch.cuda.is_initialized():
        raise ConfigError(
            "runtime.deterministic = true: cuBLAS reads its settings when CUDA is first used, "
            f"which this process has done; set {WORKSPACE}=:4096:8 in the environment"
        )
    os.environ.setdefault(WORKSPACE, ":4096:8")  # Nvidia: "Results reproducibility" of cuBLAS
    return True, ""


def prepare(runtime: Runtime) -> None:
    """Set torch up for a run; what stays set is the whole process's."""
    torch.set_num_threads(runtime.threads)
    if runtime.device.type == "cuda":
        torch.cuda.set_device(runtime.device)  # seeds and memory are those of the current device
        tf32 = runtime.precision == "tf32"
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = not runtime.deterministic
        torch.use_deterministic_algorithms(runtime.deterministic)


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
