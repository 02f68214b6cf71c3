"""All losses and penalties of the package, so that a new one is in the tests of all."""

from __future__ import annotations

import inspect
from abc import ABC

import gan_cli.losses
import gan_cli.penalties
from gan_cli.losses import AdversarialLoss
from gan_cli.penalties import Penalty


def _concrete(room: object, base: type) -> list[type]:
    found = [kind for _, kind in inspect.getmembers(room, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, base) and ABC not in kind.__bases__]


LOSSES: list[type[AdversarialLoss]] = _concrete(gan_cli.losses, AdversarialLoss)
PENALTIES: list[type[Penalty]] = _concrete(gan_cli.penalties, Penalty)
