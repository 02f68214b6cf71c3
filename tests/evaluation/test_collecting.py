"""The settings under which extractors compute."""

from __future__ import annotations

import torch

from gan_cli.evaluation.features import exactly


def settings() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    flags = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    return (*flags, torch.get_float32_matmul_precision())


def test_exactly_computes_in_fp32_with_cudnn_and_leaves_no_trace() -> None:
    before = settings()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        chosen = settings()
        with exactly():
            assert settings() == (True, False, True, False, "highest")
        assert settings() == chosen
    finally:
        torch.set_float32_matmul_precision(str(before[-1]))
        torch.backends.cudnn.benchmark = bool(before[1])
