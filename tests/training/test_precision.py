"""bf16 is for the networks: losses, penalties and their second derivatives are fp32's."""

from __future__ import annotations

import pytest
import torch
from composing import MODELS, little, session_of
from torch import Tensor

from gan_cli.penalties import squared_gradient_norm


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """A discriminator's output; one that is an autoencoder gives its codes beside it."""
    return output if isinstance(output, Tensor) else output[0]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_loss_is_fp32(model: str) -> None:
    session = session_of(*little(model), "runtime.precision=bf16")
    seen = []
    model_evaluator = dict(session.model.named_children()).get("discriminator")
    if model_evaluator is not None:
        model_evaluator.register_forward_hook(lambda *call: seen.append(first(call[2]).dtype))
    batch = session.stream.batch(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = [phase.loss(batch) for phase in session.model.phases()]
    assert {loss.total.dtype for loss in losses} == {torch.float32}
    assert {value.dtype for loss in losses for value in loss.logs.values()} == {torch.float32}
    assert set(seen) <= {torch.float32}  # what the losses are given


@pytest.mark.parametrize("model", ["wgan_gp", "dcgan"])
def test_a_penalty_and_its_gradient_are_those_of_fp32(model: str) -> None:
    """Also after the networks' weights have been rounded for the same step's forward passes."""
    session = session_of(f"model={model}", "network=mlp", "data.split=test")
    critic = session.model.get_submodule("discriminator")
    x = session.stream.batch(0).real

    def slopes(autocast: bool) -> list[Tensor]:
        critic.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            rounded = critic(x)
            norms = squared_gradient_norm(critic, x)
        norms.sum().backward()
        gradients = [p.grad.clone() for p in critic.parameters() if p.grad is not None]
        return [rounded.detach(), norms.detach(), *gradients]

    exact, mixed = slopes(False), slopes(True)
    assert not torch.equal(exact[0], mixed[0])
    assert len(exact) > 4
    for left, right in zip(exact[1:], mixed[1:], strict=True):
        assert left.dtype == torch.float32
        assert torch.equal(left, right)
