"""What the runtime decides, and the reasons that it gives."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from composing import session_of

from gan_cli import device
from gan_cli.config.schema import Runtime as Wanted
from gan_cli.errors import ConfigError
from gan_cli.formatting import counted
from gan_cli.training import runtime
from gan_cli.training import runtime as runtime_module

CPU = torch.device("cpu")


def wanted(**settings: object) -> Wanted:
    given = {"device": "cpu", "precision": "auto", "threads": None, "compile": False}
    return Wanted.model_validate(given | settings)


@pytest.mark.parametrize("instructions", ["amx_tile", "avx512_bf16"])
def test_bf16_is_a_candidate_where_the_cpu_has_instructions_for_it(
    instructions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_reports", instructions.__eq__)
    assert runtime_module.choose_precision("auto", CPU) == ("bf16", "")


def test_a_torch_without_the_private_functions_counts_as_a_cpu_without_bf16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.delattr(torch.cpu, f"_is_{name}_supported")
    reason = "torch reports neither AMX nor AVX512-BF16 on this CPU"
    assert runtime_module.choose_precision("auto", CPU) == ("fp32", reason)


def test_points_are_bf16_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cpu_reports", lambda _: True)
    toy = session_of("model=gan", "data=ring", "runtime.precision=auto")
    assert toy.precision == "fp32"
    assert "fp32: the data are points, whose places bf16 would round" in toy.runtime.reasons
    assert session_of("model=gan", "data=ring", "runtime.precision=bf16").precision == "bf16"
    text = session_of("model=seqgan", "data.length=6", "runtime.precision=auto")
    assert text.precision == "fp32"
    assert "fp32: bf16 is taken for images alone" in text.runtime.reasons


def test_what_is_asked_for_is_taken_or_refused() -> None:
    assert runtime_module.choose_precision("bf16", CPU) == ("bf16", "")
    assert runtime_module.choose_precision("fp32", CPU) == ("fp32", "runtime.precision = fp32")
    with pytest.raises(ConfigError, match="precision = tf32: only CUDA devices have it"):
        runtime_module.choose_precision("tf32", CPU)


def test_a_device_without_bf16_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(*_: object, **__: object) -> None:
        raise TypeError("BFloat16 is not supported on MPS")

    monkeypatch.setattr(runtime_module.torch, "ones", ones)
    with pytest.raises(ConfigError) as error:
        runtime_module.choose_precision("bf16", torch.device("mps"))
    assert str(error.value) == "runtime.precision = bf16: mps here has no bf16; use fp32"


@pytest.mark.parametrize(
    ("line", "allowed"),
    [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("6400000 100000", 8)],
)
def test_a_container_s_limit_bounds_the_threads(
    line: str, allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(device, "QUOTA", tmp_path / "cpu.max")
    assert runtime.choose_threads(None) == (8, "")
    device.QUOTA.write_text(line + "\n")
    why = (
        "" if allowed == 8 else f"{counted(allowed, 'thread')}: the container has no more CPU time"
    )
    assert runtime.choose_threads(None) == (allowed, why)
    assert runtime.choose_threads(1) == (1, "1 thread: runtime.threads = 1")
    assert runtime.choose_threads(3) == (3, "3 threads: runtime.threads = 3")
    assert runtime.choose_threads(16) == (16, "")


def test_the_decision_is_said_with_its_reasons() -> None:
    chosen = runtime.decide(wanted(precision="fp32", deterministic=True))
    assert re.fullmatch(r"cpu, \d+ threads?, fp32, channels_last", chosen.summary())
    assert chosen.reasons[:2] == (
        "runtime.deterministic = true changes nothing on the CPU, which is exact",
        "fp32: runtime.precision = fp32",
    )
    assert not chosen.deterministic


def test_a_gpu_s_decision_names_data_and_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    cuda = torch.device("cuda")
    on = runtime.Runtime(cuda, "bf16", True, 8, True, resident=True, graphs=True)
    assert on.summary() == (
        "NVIDIA H200, bf16, channels_last, data on the device, CUDA graphs on, deterministic"
    )
    off = runtime.Runtime(cuda, "fp32", True, 8, False, resident=False)
    assert off.summary() == "NVIDIA H200, fp32, channels_last, data in host memory, CUDA graphs off"


def test_deterministic_is_refused_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="torch has no deterministic mode on mps"):
        runtime._deterministic(True, torch.device("mps"))
    cuda = torch.device("cuda")
    monkeypatch.delenv(runtime.WORKSPACE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(ConfigError, match="set CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment"):
        runtime._deterministic(True, cuda)
    monkeypatch.setenv(runtime.WORKSPACE, ":4096:8")
    assert runtime._deterministic(True, cuda) == (True, "")


def test_a_session_keeps_what_was_decided() -> None:
    session = session_of("runtime.precision=bf16")
    assert (session.device, session.precision) == (CPU, "bf16")
    assert session.trainer.graphs is None
    assert session.runtime.reasons == ()


MEMORY = """
import resource
import torch
from gan_cli.config.schema import Runtime
from gan_cli.training.runtime import decide, prepare

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def take():
    torch.ones(1 << 24)  # 64 MB: 16,384 pages

if {kept}:
    prepare(decide(Runtime(device="cpu", precision="fp32", threads=1, compile=False)))
for _ in range(6):
    take()
before = faults()
for _ in range(3):
    take()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
@pytest.mark.parametrize("kept", [True, False])
def test_a_run_on_the_cpu_keeps_its_freed_memory(kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(kept=kept)],
        env={k: v for k, v in os.environ.items() if "MALLOC" not in k and k != "GLIBC_TUNABLES"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(done.stdout) < 1000) is kept, done.stdout
