"""The number format that networks compute in."""

from __future__ import annotations

import torch

from gan_cli.errors import ConfigError


def has_tiles() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware (AMX); torch says so in private only."""
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(asked and asked())


def lacks_bf16(device: torch.device) -> str:
    """Why bf16 cannot be computed on a device; empty where it can, be it slowly."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return ""
        return f"{torch.cuda.get_device_name(device)} has no bf16"
    try:
        one = torch.ones(1, 1, dtype=torch.bfloat16, device=device)
        (one @ one).sum()
    except (RuntimeError, TypeError):
        return f"{device.type} here has no bf16"
    return ""


def choose_precision(name: str, device: torch.device) -> tuple[str, str]:
    """The precision that `runtime.precision` names, and why it is not the fastest, where it is not.

    "auto" is bf16 where there is hardware for it: on CUDA from Ampere on, and on CPUs with AMX.
    bf16 computes the networks in bfloat16 and keeps weights, losses and penalties in fp32; tf32
    keeps fp32's range and rounds the factors of matrix products to 10 bits.

    Raises:
        ConfigError: the device cannot do it.
    """
    if name == "tf32" and device.type != "cuda":
        raise ConfigError(
            f"runtime.precision = tf32: only CUDA devices have it, and this run is on "
            f"{device.type}; use fp32 or bf16"
        )
    if name == "bf16" and (lack := lacks_bf16(device)):
        raise ConfigError(f"runtime.precision = bf16: {lack}; use fp32")
    if name != "auto":
        return name, "" if name == "bf16" else f"runtime.precision = {name}"
    if device.type == "cuda":
        lack = lacks_bf16(device)
    elif device.type == "cpu":
        lack = "" if has_tiles() else "this CPU has no bf16 units (AMX)"
    else:
        lack = f"bf16 is not known to be faster on {device.type}; runtime.precision=bf16 tries it"
    return ("fp32", lack) if lack else ("bf16", "")
