"""Signatures read from source: those of the imported classes, or nothing that refuses."""

from __future__ import annotations

import inspect

import pytest
import yaml

from gan_cli.config.annotations import argument_kinds
from gan_cli.config.groups import CONF
from gan_cli.config.outline import outlined
from gan_cli.config.trust import Trust, resolve

GROUPS = ("model", "network", "loss", "penalty", "prior", "data", "callbacks")


def targets() -> list[str]:
    found = set()
    for group in GROUPS:
        for file in (CONF / group).glob("*.yaml"):
            node = yaml.safe_load(file.read_text())
            for one in (node, *node.values()) if isinstance(node, dict) else ():
                if isinstance(one, dict) and "_target_" in one:
                    found.add(one["_target_"])
    return sorted(found)


def test_every_class_of_ours_has_the_signature_that_its_source_says() -> None:
    read = 0
    for target in targets():
        outline, true = outlined(target), resolve(target, Trust(), "")
        known, takes = (dict(inspect.signature(one).parameters) for one in (outline, true))
        if known.pop("settings", None) is None:  # as a dataclass, or what cannot be read, has it
            assert list(known) == list(takes), target
        assert set(known) <= set(takes), target
        read += bool(known)
        for name, parameter in known.items():
            given = parameter.default is not parameter.empty
            assert (takes[name].default is not parameter.empty) == given, f"{target}.{name}"
        kinds = argument_kinds(true)
        for name, kind in argument_kinds(outline).items():
            assert kind == kinds[name], f"{target}.{name}"
    assert read > 50


@pytest.mark.parametrize("target", ["my.Own", "torch.optim.Adam", "gan_cli.no.Such"])
def test_a_class_that_is_not_read_takes_anything(target: str) -> None:
    (only,) = inspect.signature(outlined(target)).parameters.values()
    assert only.kind is inspect.Parameter.VAR_KEYWORD
