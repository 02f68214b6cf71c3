"""What only a CUDA device can show."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from composing import SMALL
from torch import Tensor

from gan_cli.config.build import Trust
from gan_cli.config.composing import settings_of
from gan_cli.config.overrides import CONF
from gan_cli.training.session import Session, assemble

MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
pytestmark = pytest.mark.gpu


def session_of(*overrides: str) -> Session:
    small = [text for text in SMALL if not text.startswith("runtime.")]
    return assemble(settings_of(*small, "runtime.device=cuda", *overrides), Trust())


def everything(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in everything(item)]
    return []


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_every_model_trains_at_every_precision(model: str, precision: str) -> None:
    session = session_of(f"model={model}", f"runtime.precision={precision}")
    for _ in range(3):
        session.trainer.advance(measure=True)
    scalars = session.trainer.read()
    assert all(math.isfinite(value) for value in scalars.values()), scalars
    assert all(p.device.type == "cuda" for p in session.model.parameters())
    assert all(p.dtype == torch.float32 for p in session.model.parameters())


def test_the_data_lives_on_the_device_and_batches_are_the_cpus() -> None:
    cuda, cpu = session_of(), assemble(settings_of(*SMALL), Trust())
    assert cuda.dataset.values.device.type == "cuda"
    for k in (0, 1, 8000):
        left, right = cuda.stream.batch(k), cpu.stream.batch(k)
        assert torch.equal(left.index.cpu(), right.index)
        assert torch.equal(left.real.cpu(), right.real)


def test_auto_chooses_cuda_and_tf32() -> None:
    session = assemble(settings_of("network.width=8"), Trust())
    assert session.device.type == "cuda"
    assert session.precision == "tf32"


@pytest.mark.parametrize("model", ["dcgan", "wgan_gp", "infogan"])
def test_resuming_restores_everything(model: str) -> None:
    first = session_of(f"model={model}")
    for _ in range(5):
        first.trainer.advance()
    state = copy.deepcopy(first.trainer.state_dict())
    second = session_of(f"model={model}")
    second.trainer.load_state_dict(state)
    for left, right in zip(
        everything(first.trainer.state_dict()), everything(second.trainer.state_dict()), strict=True
    ):
        assert torch.equal(left.cpu(), right.cpu())
    for session in (first, second):
        session.trainer.advance()
    left, right = first.model.state_dict(), second.model.state_dict()
    for name in left:  # convolutions may sum in another order
        torch.testing.assert_close(left[name], right[name], rtol=1e-2, atol=1e-3)


def test_a_step_reads_nothing_from_the_device() -> None:
    session = session_of("model=dcgan")
    for _ in range(3):
        session.trainer.advance()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            session.trainer.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")
