"""Where and how to compute: device, precision, threads."""

from __future__ import annotations

import torch
from torch import nn

from gan_cli.errors import ConfigError


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


def choose_precision(name: str, device: torch.device) -> str:
    """The precision that `runtime.precision` names; "auto" is tf32 on CUDA and fp32 elsewhere.

    tf32 keeps fp32's range and rounds the factors of matrix products to 10 bits; bf16 computes the
    networks in bfloat16 and keeps weights, losses and penalties in fp32.

    Raises:
        ConfigError: the device cannot do it.
    """
    if name == "auto":
        return "tf32" if device.type == "cuda" else "fp32"
    if name == "tf32" and device.type != "cuda":
        raise ConfigError(
            f"runtime.precision = tf32: only CUDA devices have it, and this run is on "
            f"{device.type}; use fp32 or bf16"
        )
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("runtime.precision = bf16: this GPU has no bf16; use fp32")
    return name


def prepare(device: torch.device, precision: str, threads: int | None) -> None:
    """Set torch up for a run; what stays set is the whole process's."""
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # seeds and memory figures are those of the current device
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True


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
