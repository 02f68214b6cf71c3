"""A version of torch without the private parts that stacking needs."""

from __future__ import annotations

import importlib

import pytest
from stacking import sessions_of

from gan_cli.config.instantiate import Trust
from gan_cli.ensemble import functorch
from gan_cli.ensemble.ensemble import hindrance


def test_what_torch_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert functorch.missing == ""
    monkeypatch.delattr("torch._C._functorch.get_unwrapped")
    try:
        assert "'get_unwrapped'" in importlib.reload(functorch).missing
    finally:
        monkeypatch.undo()
        importlib.reload(functorch)


def test_seeds_are_then_trained_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functorch, "missing", "no get_unwrapped")
    sessions = sessions_of("model=gan", "data=ring", seeds=(1, 2))
    reason = hindrance([s.settings for s in sessions], Trust(), sessions[0].dataset)
    assert reason == "this version of torch cannot stack them (no get_unwrapped)"
