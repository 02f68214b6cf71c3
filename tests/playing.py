"""What every game is held to, for tests that play some steps."""

from __future__ import annotations

import copy

import torch
from composing import session_of
from torch import Tensor

from gan_cli.training.setup import Session


def advance(session: Session, steps: int) -> None:
    for _ in range(steps):
        session.trainer.advance()


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return a == b


def check_that_phases_move_only_what_they_train_or_share(session: Session) -> None:
    trainer = session.trainer
    trainer.advance()
    batch = session.stream.batch(5)
    for phase, focus in zip(trainer._phases, trainer._focus, strict=True):
        before = snapshot(session.model)
        focus.apply()
        trainer._update(phase, batch, measure=False)
        names = {id(child): name for name, child in session.model.named_children()}
        trained = tuple(f"{names[id(module)]}." for module in phase.trains)
        shared = tuple(f"{names[id(module)]}." for module in phase.shares)
        for name, value in snapshot(session.model).items():
            if name.startswith(trained):
                continue
            if name.startswith(shared) and ("running_" in name or "num_batches" in name):
                continue  # it was run as for its own update
            assert torch.equal(value, before[name]), f"{phase.name} moved {name}"
        moved = [n for n, v in snapshot(session.model).items() if not torch.equal(v, before[n])]
        assert any(name.startswith(trained) for name in moved)


def check_that_resuming_is_exact(steps: int, *overrides: str) -> None:
    """`steps` steps after a stop are those without one, bit for bit."""
    straight = session_of(*overrides)
    advance(straight, steps)
    state = copy.deepcopy(straight.trainer.state_dict())
    advance(straight, steps)
    torch.rand(7)  # another process has another random state
    resumed = session_of(*overrides)
    resumed.trainer.load_state_dict(state)
    advance(resumed, steps)
    assert same(straight.trainer.state_dict(), resumed.trainer.state_dict())
    assert straight.trainer.window.means() == resumed.trainer.window.means()
