"""What only a CUDA device can show."""

from __future__ import annotations

import copy
import math
import os
import warnings
from typing import Any

# cuBLAS reads it when CUDA is first used; deterministic mode needs it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import pytest
import torch
from composing import MODELS, SMALL, STEPWISE, little
from evaluating import quick_metrics
from torch import Tensor

from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.training.setup import Session, assemble

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


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_evaluated_beside_data_on_the_cpu(model: str) -> None:
    session = session_of(*little(model))
    for _ in range(2):
        session.trainer.advance()
    assert quick_metrics(session)


def test_the_data_lives_on_the_device_and_batches_are_the_cpus() -> None:
    cuda, cpu = session_of(), assemble(settings_of(*SMALL), Trust())
    assert cuda.dataset.values.device.type == "cuda"
    for k in (0, 1, 8000):
        left, right = cuda.stream.batch(k), cpu.stream.batch(k)
        assert torch.equal(left.index.cpu(), right.index)
        torch.testing.assert_close(left.real.cpu(), right.real, rtol=0, atol=1e-6)  # of 1/127.5


def test_auto_chooses_cuda_bf16_and_graphs() -> None:
    session = assemble(settings_of("network.width=8"), Trust())
    assert session.device.type == "cuda"
    assert session.precision == ("bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp32")
    assert session.runtime.resident
    assert session.runtime.graphs
    assert "CUDA graphs on" in session.runtime.summary()


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


@pytest.mark.parametrize("graphs", ["true", "false"])
def test_a_step_reads_nothing_from_the_device(graphs: str) -> None:
    session = session_of("model=dcgan", f"runtime.graphs={graphs}")
    for _ in range(5):  # in which graphs are recorded
        session.trainer.advance()
    torch.cuda.synchronize()
    try:
        with warnings.catch_warnings():  # torch calls this mode a prototype
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode("error")
        for _ in range(3):
            session.trainer.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def advance(session: Session, steps: int) -> None:
    for _ in range(steps):
        session.trainer.advance(measure=session.trainer.step % 2 == 1)


def check_close(left: Session, right: Session) -> None:
    """Two runs of one seed; rates in fp32 and atomics leave them apart by rounding alone.

    A tensor's norm is compared, as RMSprop's first steps are the signs of gradients near zero.
    """
    ours, theirs = left.model.state_dict(), right.model.state_dict()
    for name in ours:
        apart = (ours[name] - theirs[name]).float().norm().item()
        assert apart <= 2e-2 * theirs[name].float().norm().item() + 1e-3, (name, apart)
    scalars = right.trainer.read()
    assert left.trainer.read() == pytest.approx(scalars, rel=2e-2, abs=2e-3)


EXACT = ["runtime.precision=fp32", "runtime.deterministic=true"]


@pytest.mark.parametrize("model", MODELS)
def test_recorded_steps_are_the_eager_ones(model: str) -> None:
    eager = session_of(f"model={model}", "runtime.graphs=false", *EXACT)
    recorded = session_of(f"model={model}", "runtime.graphs=true", *EXACT)
    advance(eager, 12)
    advance(recorded, 12)
    graphs = recorded.trainer.graphs
    assert graphs is not None
    assert set(graphs.reasons) == STEPWISE.get(model, set())
    if graphs.reasons:
        return
    # Of 12 steps, half measured, each unit is made eagerly thrice in either kind.
    assert graphs.replays >= 6
    check_close(eager, recorded)


@pytest.mark.parametrize(
    "settings",
    [
        ("model=wgan", "model.d_burst=7"),
        ("model=dcgan", "penalty=r1", "penalty.every=2", "network=dcgan_gp"),
        ("model=dcgan", "optimizer.schedule=cosine", "steps=20", "optimizer.clip_norm=1"),
        ("model=gan", "optimizer=sgd", "optimizer.schedule=linear", "steps=20"),
        ("model=gan", "optimizer=adamw", "model.historical_averaging=1"),
        ("model=dcgan", "model.augment=[color,translation,cutout]", "model.packing=2"),
        ("model=gan", "model.schedule=simultaneous", "model.share_fakes=true"),
        ("model=dcgan", "model.share_fakes=false", "model.ada_target=.6", "model.lecam=.3"),
    ],
)
def test_schedules_are_kept_by_recorded_steps(settings: tuple[str, ...]) -> None:
    exact = "runtime.precision=fp32"
    eager = session_of(*settings, "runtime.graphs=false", exact)
    recorded = session_of(*settings, "runtime.graphs=true", exact)
    advance(eager, 12)
    advance(recorded, 12)
    graphs = recorded.trainer.graphs
    assert graphs is not None
    assert graphs.reasons == {}
    assert graphs.replays > 0
    check_close(eager, recorded)


@pytest.mark.parametrize("model", ["dcgan", "wgan"])
@pytest.mark.parametrize("order", [("true", "false"), ("false", "true"), ("true", "true")])
def test_states_are_exchanged_between_eager_and_recorded(
    model: str, order: tuple[str, str]
) -> None:
    straight = session_of(f"model={model}", "runtime.graphs=false", *EXACT)
    advance(straight, 16)
    first = session_of(f"model={model}", f"runtime.graphs={order[0]}", *EXACT)
    advance(first, 8)
    second = session_of(f"model={model}", f"runtime.graphs={order[1]}", *EXACT)
    second.trainer.load_state_dict(copy.deepcopy(first.trainer.state_dict()))
    advance(second, 8)
    check_close(straight, second)


@pytest.mark.parametrize("graphs", ["true", "false"])
@pytest.mark.parametrize("model", ["dcgan", "infogan", "wgan", "wgan_gp"])
def test_deterministic_runs_are_equal(model: str, graphs: str) -> None:
    states = []
    for _ in range(2):
        session = session_of(
            f"model={model}", f"runtime.graphs={graphs}", "runtime.deterministic=true"
        )
        advance(session, 10)
        states.append(everything(session.trainer.state_dict()))
    assert all(torch.equal(left, right) for left, right in zip(*states, strict=True))
    assert torch.are_deterministic_algorithms_enabled()


def test_what_cannot_be_recorded_leaves_the_random_stream_whole() -> None:
    """A value that is read breaks the capture of the generator's updates, and nothing else."""
    eager = session_of("model=gan", "runtime.graphs=false", *EXACT)
    recorded = session_of("model=gan", "runtime.graphs=true", *EXACT)
    generator = recorded.model.get_submodule("generator")

    def read(module: Any, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            output.sum().item()

    generator.register_forward_hook(read)
    advance(eager, 14)
    advance(recorded, 14)
    graphs = recorded.trainer.graphs
    assert graphs is not None
    assert list(graphs.reasons) == ["generator"]
    assert "cannot be recorded" in graphs.reasons["generator"]
    assert graphs.replays > 0
    check_close(eager, recorded)


def test_random_numbers_of_the_cpu_are_not_recorded() -> None:
    session = session_of("model=gan")
    session.model.get_submodule("generator").register_forward_hook(
        lambda *_: torch.rand(1) and None
    )
    advance(session, 8)
    graphs = session.trainer.graphs
    assert graphs is not None
    assert set(graphs.reasons.values()) == {"which draws random numbers on the CPU"}
    assert graphs.replays == 0
