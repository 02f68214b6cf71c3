"""What a user reads when the machine could not do it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_cli.exits import guarded, one_line


def test_a_full_gpu_says_what_to_lower() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has")
    assert one_line(error) == (
        "the GPU's memory is full; accumulate=2, a smaller batch_size, network.width or data.size, "
        "runtime.precision=bf16 or runtime.graphs=false need less, and dry_run=true estimates it "
        "(CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has)"
    )


def test_a_full_host_says_what_to_lower() -> None:
    assert one_line(MemoryError()).startswith(
        "not enough memory; accumulate=2, a smaller batch_size"
    )


def test_what_cannot_be_deterministic_is_named_with_its_setting() -> None:
    error = RuntimeError(
        "cumsum_cuda_kernel does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'."
    )
    assert one_line(error) == (
        "runtime.deterministic = true: cumsum_cuda_kernel cannot be computed so on this device; "
        "set runtime.deterministic=false, or choose a network or penalty without it"
    )


def test_a_path_that_is_too_long_is_wrong_input(capsys: pytest.CaptureFixture[str]) -> None:
    name = "d" * 300
    assert guarded(lambda: int(Path(name).is_file())) == 2
    assert capsys.readouterr().err == f"error: {name}: File name too long\n"
