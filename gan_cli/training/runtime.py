"""Device, precision, memory layout and threads of a run."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from dataclasses import dataclass, replace

import torch
from torch import nn

from gan_cli.config.schema import Runtime as Wanted
from gan_cli.config.schema import Settings
from gan_cli.device import choose_device, container_cores, cpu_reports, describe
from gan_cli.distributed.ranks import Ranks
from gan_cli.errors import ConfigError
from gan_cli.formatting import counted
from gan_cli.model import Model


def lacks_fast_bf16() -> str:
    """Why bf16 cannot be faster than fp32 on this CPU; empty where it has instructions for it."""
    if cpu_reports("amx_tile") or cpu_reports("avx512_bf16"):
        return ""
    return "torch reports neither AMX nor AVX512-BF16 on this CPU"


def lacks_bf16(device: torch.device) -> str:
    """Why a device cannot compute bf16; empty where it can, even if slowly."""
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
    """The precision of `runtime.precision`, and the reason if it is not the fastest.

    "auto" is bf16 on devices with instructions for it: CUDA from Ampere on, and CPUs with AMX or
    AVX512-BF16, where a trial of the model's updates then decides (`gan_cli.training.trial`).
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
        lack = lacks_fast_bf16()
    else:
        lack = f"bf16 is not known to be faster on {device.type}; runtime.precision=bf16 tries it"
    return ("fp32", lack) if lack else ("bf16", "")


WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True)
class Runtime:
    """The decisions, and reasons for those that are not the fastest."""

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
    """The settings of `runtime`, with the fastest choice for "auto".

    Residence of the data and CUDA graphs are decided later, in `setup`.

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
        # torch 2.11 compiles no convolution's gradient of a single channel in this layout on CUDA.
        device.type == "cpu" or (device.type == "cuda" and not wanted.compile),
        threads,
        deterministic,
        reasons=tuple(filter(None, reasons)),
    )


def without_images(chosen: Runtime, wanted: Wanted, text: bool) -> Runtime:
    """The decision for points and sentences: bf16, with 8 bits, only where it is set.

    It rounds a coordinate near 1 by up to .002: a fifth of the deviation of the ring's modes.
    """
    if wanted.precision != "auto" or chosen.precision != "bf16":
        return chosen
    reason = "fp32: bf16 is taken for images alone"
    if not text:
        reason = "fp32: the data are points, whose places bf16 would round"
    return replace(chosen, precision="fp32", reasons=(*chosen.reasons, reason))


def choose_threads(wanted: int | None) -> tuple[int, str]:
    """The number of CPU threads, and the reason if they are fewer than the cores.

    Args:
        wanted: `runtime.threads`; null is torch's own choice, but no more than a container may use.
    """
    own = torch.get_num_threads()
    if wanted is not None:
        reason = f"{counted(wanted, 'thread')}: runtime.threads = {wanted}"
        return wanted, reason if wanted < own else ""
    allowed = container_cores()
    if allowed is None or allowed >= own:
        return own, ""
    return allowed, f"{counted(allowed, 'thread')}: the container has no more CPU time"


def to_try(chosen: Runtime, wanted: Wanted) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The precisions and numbers of threads among which a trial of the updates decides.

    Several only on a CPU, where its instructions may help and the user has not said: neither by
    `runtime` nor, of threads, by OMP_NUM_THREADS.
    """
    precisions, threads = (chosen.precision,), (chosen.threads,)
    if chosen.device.type != "cpu":
        return precisions, threads
    if wanted.precision == "auto" and chosen.precision == "bf16":
        precisions = ("fp32", "bf16")
    if wanted.threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = tuple(sorted({1, (chosen.threads + 1) // 2, chosen.threads}))
    return precisions, threads


def _deterministic(wanted: bool, device: torch.device) -> tuple[bool, str]:
    """Whether to make torch deterministic, and a note for the user."""
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


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


def keep_memory() -> None:
    """Keep freed memory in this process from now on, where its allocator is glibc's.

    By default each of a step's larger tensors is returned to the system and asked for anew, and its
    pages come one by one, zeroed: 3 to 16 % of a step (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)  # never shrink the heap
        mallopt(M_MMAP_MAX, 0)  # take all blocks from it


def prepare(runtime: Runtime) -> None:
    """Configure torch for a run; this holds for the whole process."""
    torch.set_num_threads(runtime.threads)
    if runtime.device.type == "cpu":
        keep_memory()
    if runtime.device.type == "cuda":
        # Seeds and memory are those of the current device.
        torch.cuda.set_device(runtime.device.index or 0)
        tf32 = runtime.precision == "tf32"
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = not runtime.deterministic
    if runtime.deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(runtime.deterministic)  # imports torch's compiler: 1.4 s


log = logging.getLogger(__name__)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def prepare_for_ranks(model: Model, settings: Settings, ranks: Ranks) -> list[str]:
    """Prepare `model` for several ranks, before it moves to the device; the warnings it logged.

    Raises:
        ConfigError: several ranks cannot train it with these settings.
    """
    if ranks.count == 1:
        return []
    ranks.check(settings.batch_size, model.pack)
    if model.indivisible:
        name = type(model).__name__
        raise ConfigError(
            f"model: {name} cannot be trained by {ranks.count} ranks, which share a batch, since "
            f"{model.indivisible}; start it without torchrun"
        )
    if settings.runtime.compile:
        raise ConfigError(
            f"runtime.compile = true: {ranks.count} ranks share what their steps draw, which "
            "compiled networks do not see; set runtime.compile=false"
        )
    apart = list(model.whole_batch)
    if settings.runtime.sync_batch_norm:
        from gan_cli.distributed.collectives import synchronise

        synchronise(model, ranks)
    elif any(isinstance(module, BATCH_NORMS) for module in model.modules()):
        apart.insert(0, "batch norm (unless runtime.sync_batch_norm=true)")
    if not apart:
        return []
    line = (
        f"{', '.join(apart)}: of the {settings.batch_size // ranks.count} samples of each rank, "
        f"not of all {settings.batch_size}, so results differ slightly from "
        "a single process"
    )
    log.warning(line)
    return [line]
