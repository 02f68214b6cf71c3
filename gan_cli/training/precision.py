"""The number format that networks compute in."""

from __future__ import annotations

import torch

from gan_cli.errors import ConfigError


def reports(name: str) -> bool:
    """Whether torch reports a feature of the CPU; it does so in private functions only."""
    asked = getattr(torch.cpu, f"_is_{name}_supported", None)
    return bool(asked and asked())


def lacks_matrix_units() -> str:
    """Why bf16 is not known to be faster than fp32 on this CPU; empty where it has AMX."""
    if reports("amx_tile"):
        return ""
    if reports("avx512_bf16"):
        return (
            "this CPU has AVX512-BF16 but no AMX, so bf16 is not known to be faster; "
            "runtime.precision=bf16 tries it"
        )
    return "torch reports neither AMX nor AVX512-BF16 on this CPU"


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

    "auto" is bf16 where there are matrix units for it: on CUDA from Ampere on, and on CPUs with
    AMX. AVX512-BF16 alone multiplies vectors; whether that pays is not measured.
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
        lack = lacks_matrix_units()
    else:
        lack = f"bf16 is not known to be faster on {device.type}; runtime.precision=bf16 tries it"
    return ("fp32", lack) if lack else ("bf16", "")
