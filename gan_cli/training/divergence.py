"""Divergence: where the first value that is not finite came from, and the way back from it.

A step is a pure function of the state, the seed and its number, so a run that has diverged is
replayed from its last good state, and every loss, gradient, weight, norm and state of an optimizer
is looked at on the way. The run itself pays nothing for this.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from gan_cli import files
from gan_cli.callbacks.health import DivergenceError
from gan_cli.config.schema import Settings
from gan_cli.exits import RunFailedError, one_line
from gan_cli.model import Batch, Loss, Phase
from gan_cli.runs import checkpoint
from gan_cli.runs.checkpoint import State
from gan_cli.runs.folder import RunFolder
from gan_cli.training.optimizers import with_rates_times
from gan_cli.training.resume import EarlierRun, set_back
from gan_cli.training.setup import Session, assemble, load_weights
from gan_cli.training.trainer import Trainer, are_finite, gradient_norms, weight_norms

log = logging.getLogger(__name__)
NAMED = 3  # names in a message


@dataclass(frozen=True)
class Fault:
    """The first value of a run that is not finite.

    Attributes:
        step: in which it arose, counted from 1.
        phase: the update in which it arose.
        kind: "loss", "gradient", "weight", "norm" or "state".
        names: of the terms of the loss, of the parameters, norms or parts of the state.
        layer: the first module whose output was not finite; empty where all were.
    """

    step: int
    phase: str
    kind: str
    names: list[str]
    layer: str

    def __str__(self) -> str:
        more = f" and {len(self.names) - NAMED} more" if len(self.names) > NAMED else ""
        names = ", ".join(self.names[:NAMED]) + more
        where = f"step {self.step:,}, phase {self.phase}"
        if self.kind == "loss":
            text = f"the loss ({names})"
        elif self.kind == "gradient":
            text = f"the gradient of {names}, while the loss was finite,"
        elif self.kind == "norm":
            text = f"{names}, while the values themselves were finite,"
        elif self.kind == "state":
            text = f"the {names} after the update, while the weights were finite,"
        else:
            text = f"{names} after the update, while the gradients were finite,"
        layer = f"; the first layer with such an output was {self.layer}" if self.layer else ""
        return f"{where}: {text} was the first to be NaN or infinite{layer}"


class FoundError(Exception):
    """Ends a replay at its fault.

    Args:
        fault: the first value that is not finite.
        batch: of that update.
    """

    def __init__(self, fault: Fault, batch: Batch) -> None:
        super().__init__(str(fault))
        self.fault, self.batch = fault, batch


class Examiner:
    """Looks at each update of a trainer, and raises FoundError at the first fault.

    Args:
        trainer: whose updates are looked at.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.model = trainer, trainer.model
        self._layer = ""

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Within it, the outputs of all layers are looked at as well."""
        hooks = [
            module.register_forward_hook(self._hook(name))
            for name, module in self.model.named_modules()
            if next(module.children(), None) is None
        ]
        self.trainer.observer = self
        try:
            yield
        finally:
            self.trainer.observer = None
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str) -> Any:
        def look(module: nn.Module, given: object, output: object) -> None:
            found = output if isinstance(output, tuple | list) else [output]
            tensors = [one for one in found if isinstance(one, Tensor)]
            if not self._layer and not are_finite(tensors):
                self._layer = f"{name} ({type(module).__name__})"

        return look

    def computed(self, phase: Phase, batch: Batch, loss: Loss) -> None:
        """Look at a loss and its gradients.

        Raises:
            FoundError: one is not finite.
        """
        if not are_finite([loss.total]):
            terms = [name for name, value in loss.logs.items() if not are_finite([value])]
            self._raise("loss", terms or ["total"], phase, batch)
        gradients = {n: p.grad for n, p in self._trained(phase) if p.grad is not None}
        if broken := [name for name, value in gradients.items() if not are_finite([value])]:
            self._raise("gradient", broken, phase, batch)
        self._look_at_norms(gradient_norms(self.model, phase), phase, batch)
        self._layer = ""

    def moved(self, phase: Phase, batch: Batch) -> None:
        """Look at the weights after an update, and at the rest of the state.

        Raises:
            FoundError: one is not finite.
        """
        if broken := [name for name, value in self._trained(phase) if not are_finite([value])]:
            self._raise("weight", broken, phase, batch)
        self._look_at_norms(weight_norms(self.model), phase, batch)
        if part := self.trainer.not_finite():
            self._raise("state", [part], phase, batch)

    def _look_at_norms(self, norms: Mapping[str, Tensor], phase: Phase, batch: Batch) -> None:
        if broken := [name for name, value in norms.items() if not are_finite([value])]:
            self._raise("norm", broken, phase, batch)

    def _trained(self, phase: Phase) -> Iterator[tuple[str, nn.Parameter]]:
        trained = {id(p) for module in phase.trains for p in module.parameters()}
        return ((n, p) for n, p in self.model.named_parameters() if id(p) in trained)

    def _raise(self, kind: str, names: list[str], phase: Phase, batch: Batch) -> None:
        layer = self._layer if kind == "loss" else ""
        raise FoundError(Fault(self.trainer.step + 1, phase.name, kind, names, layer), batch)


def replay(session: Session, state: Mapping[str, Any] | None, until: int) -> FoundError | None:
    """The first fault of a run, found by training it once more.

    Args:
        session: that has diverged; it stays as it is.
        state: to begin at; None for step 0.
        until: the step at which the fault was seen.

    Returns:
        The fault and its batch; None where none arose, as rounding may differ.
    """
    plain = session.settings.runtime.model_copy(update={"graphs": False, "compile": False})
    settings = session.settings.model_copy(update={"runtime": plain})
    again = assemble(settings, session.trust, dataset=session.dataset)
    twin = again.trainer
    if state is None:
        load_weights(again)
    else:
        twin.load_state_dict(deepcopy(state))  # optimizers take its tensors as their own
    try:
        with Examiner(twin).looking():
            while twin.step < until:
                twin.advance()
    except FoundError as found:
        return found
    return None


def record(run: RunFolder, found: FoundError) -> None:
    """Write the fault and its batch to the run's `divergence/`.

    `fault.json` has the fields of `Fault`; `batch.npz` the samples' places in the data set
    (`index`), the samples as the networks saw them (`samples`), and `labels` where there are any.

    Raises:
        UserError: the folder cannot be written.
    """
    place, batch, content = run.path / "divergence", found.batch, io.BytesIO()
    arrays = {"index": batch.index, "samples": batch.real, "labels": batch.labels}
    np.savez_compressed(content, **{n: v.cpu().numpy() for n, v in arrays.items() if v is not None})
    try:
        files.refuse_links(place)
        place.mkdir(exist_ok=True)
    except OSError as cause:
        raise files.cannot_write(place, cause) from cause
    files.write(place / "batch.npz", content.getvalue())
    files.write(place / "fault.json", json.dumps(asdict(found.fault), indent=2) + "\n")


def way_back(
    session: Session, run: RunFolder, failed: RunFailedError
) -> tuple[Settings, EarlierRun]:
    """The settings and state from which a diverged run goes on, where its settings ask for that.

    Says where the divergence began. The rates are lowered in the run's config and checkpoint, so
    that whoever resumes it later has them too.

    Args:
        session: that broke off.
        run: its folder, locked.
        failed: why.

    Raises:
        RunFailedError: `failed`, or with the number of attempts, where the run ends here.
    """
    cause, chosen = failed.__cause__, session.settings.health
    if not isinstance(cause, DivergenceError):
        raise failed
    if session.ranks.count > 1:
        if session.ranks.first and chosen.on_nan == "rollback":
            log.error("health.on_nan = rollback: not possible with several ranks")
        raise failed
    seen = session.trainer.step
    state = checkpoint.newest_up_to(
        run.checkpoints, cause.finite if cause.finite is not None else seen - 1
    )
    begin = 0 if state is None else state["step"]
    if chosen.diagnose:
        try:
            diagnose(session, run, state, seen)
        except Exception as error:  # such as too little memory for a second model
            log.warning(f"the first fault was not found: {one_line(error)}")
    if chosen.on_nan == "stop":
        raise failed
    before = run.read_status().get("rollbacks") or []
    lowered = with_lower_rates(session.settings, chosen.factor)
    if len(before) >= chosen.retries or lowered is None:
        why = f"{len(before)} rollbacks did not help" if before else "there is no rate to lower"
        log.error(f"health.on_nan = rollback: {why}")
        raise failed
    rollbacks = [*before, {"from": seen, "to": begin, "factor": chosen.factor}]
    log.warning(
        f"rollback {len(rollbacks)} of {chosen.retries}: from step {seen:,} to step {begin:,}, "
        f"with learning rates times {chosen.factor:g}"
    )
    return lowered, set_back(run, lowered, state, rollbacks=rollbacks)


def diagnose(session: Session, run: RunFolder, state: State | None, seen: int) -> None:
    """Find, log and keep the fault of a run that has diverged."""
    begin = 0 if state is None else state["step"]
    log.info(f"looking for the first fault: replaying steps {begin + 1:,} to {seen:,}")
    found = replay(session, state, seen)
    if found is None:
        log.warning("the replay met no value that was not finite, so that depends on rounding")
        return
    record(run, found)
    log.error(f"{found.fault}; its batch is in {run.path / 'divergence'}")


def with_lower_rates(settings: Settings, factor: float) -> Settings | None:
    """The settings with all learning rates times `factor`; None where they name no rate."""
    optimizer = with_rates_times(settings.optimizer, factor)
    if optimizer == settings.optimizer:
        return None
    return settings.model_copy(update={"optimizer": optimizer})
