"""Resuming an earlier run: its settings, state and files."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gan_cli import foreign
from gan_cli.config import defaults, groups, resume
from gan_cli.config.command_line import Command
from gan_cli.config.instantiate import resolve
from gan_cli.config.schema import Settings
from gan_cli.config.settings import from_yaml, to_yaml
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.exits import one_line
from gan_cli.files import cannot_write
from gan_cli.formatting import assignment, shell_command, show
from gan_cli.runs import checkpoint, folder
from gan_cli.runs.checkpoint import BEST
from gan_cli.runs.folder import RunFolder, branches, forced_changes, is_run, rollbacks
from gan_cli.runs.load import describe_data, of_older_folder, warn_of_edits
from gan_cli.runs.lookup import find
from gan_cli.training.optimizers import with_rates_times
from gan_cli.training.setup import Session

if TYPE_CHECKING:
    from gan_cli.evaluation.evaluate import Best

log = logging.getLogger(__name__)
COMPARED = ("shape", "size", "classes", "class_names", "fingerprint")  # of the data
STEP = re.compile(r"(?<!\d)\d{8,}(?!\d)")  # in the name of a picture or an evaluation
LONGEST = 200  # characters of torch's words about weights that do not fit


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier start of a run left in its folder."""

    run: RunFolder
    state: Mapping[str, Any] | None  # the newest intact checkpoint; None where it saved none
    log_every: int  # of its curves
    file: Path | None = None  # the checkpoint at which a new run branches off
    forced: list[dict[str, Any]] | None = None  # `forced` of status.json; None: as it is there

    def last_point(self, over: bool) -> int:
        """The last point of its curves that stays, when it is `over` or resumes; -1 for none."""
        if self.state is None:
            return -1
        done, looked = self.state["step"], self.state.get("looked")
        if done % self.log_every == 0:
            return done
        # The point of a half-filled window is replaced by that of the whole one. Older versions
        # did not record whether there was one.
        return done - 1 if looked is None or (looked and not over) else done


def find_earlier_run(settings: Settings, line: Command) -> tuple[RunFolder | None, Path | None]:
    """The run to resume, named by `resume` or `run.dir`, and the checkpoint to branch off at.

    The second is None unless `resume` names another checkpoint than the last.

    Raises:
        ConfigError: both are named.
        CheckpointError: there is no such run or checkpoint.
    """
    if settings.resume is not None:
        place = Path(settings.resume)
        if branches(settings.resume):
            return checkpoint.named(place)
        typed = [key for key in line.keys if key in ("run.dir", "run.name", "run.root")]
        if typed:
            raise ConfigError(
                f"resume = {settings.resume}: resumes in that folder, so {typed[0]} cannot be "
                "chosen; remove it"
            )
        return find(place, newest=False), None
    if settings.run.dir is not None and is_run(Path(settings.run.dir)):
        return RunFolder(settings.run.dir), None
    return None, None


def read_earlier_run(
    run: RunFolder, settings: Settings, line: Command, file: Path | None = None
) -> tuple[Settings, EarlierRun]:
    """The settings and state to resume with; a run that had saved nothing starts from step 0.

    Args:
        run: the earlier one.
        settings: of the command line alone.
        line: the command line.
        file: the checkpoint at which a new run branches off; None to resume from the newest.

    Raises:
        ConfigError: settings that change what is learned differ from the run's, without `force`.
        CheckpointError: no checkpoint is intact, or none has the run's settings; or a part of a
            run whose files are to be copied is a link.
    """
    warning = ""
    if file is not None:
        run.refuse_links()  # its pictures and evaluations are copied
        state = checkpoint.load(file)
        text = state["config"]
    elif any(run.checkpoints.glob("*.pt")):
        state, warning = checkpoint.newest_whole(run)
        text = state["config"]
    else:
        state, text = None, run.read_config()
        warning = f"{run.path}: no state was saved, so training starts from step 0"
        if text is None and settings.resume is not None:
            raise CheckpointError(
                f"{run.path}: holds neither a checkpoint nor a config.yaml, so its "
                f"settings are unknown; start it again with its settings and "
                f"{assignment('run.dir', run.path)}"
            )
        text = to_yaml(settings) if text is None else text
    if warning:
        log.warning(warning)
    saved, now = _saved(text, run), yaml.safe_load(to_yaml(settings))
    if state is not None and file is None:
        warn_of_edits(run, text)
    if state is None and branches(saved.get("resume")):
        raise CheckpointError(
            f"{run.path}: ended before the state of {saved['resume']} was copied; remove it and "
            "start it again"
        )
    if settings.resume is not None:
        where = now["run"] if file is not None else saved["run"]
        now = resume.merge(saved, now, line.overrides, groups.names(line.config_dirs))
        now["run"] = where
    elif (lowered := _rolled_back(now["optimizer"], run)) == saved.get("optimizer"):
        now["optimizer"] = lowered
    if now["runtime"].get("oom") == "shrink":  # the run may have been divided already
        now["accumulate"] = max(now.get("accumulate", 1), saved.get("accumulate", 1))
    now["force"] = settings.force  # of this command, never of an earlier one
    if now["runtime"]["precision"] == "auto":
        now["runtime"]["precision"] = saved["runtime"]["precision"]
    done = 0 if state is None else state["step"]
    before, after, otherwise = defaults.comparable(saved, now)
    found = resume.differences(before, after, done=done)
    if not settings.force:
        resume.require_safe(found, run.path, settings.resume is not None)
    for change in otherwise:
        log.warning("resuming with %s", change)
    for difference in found:
        if not difference.safe:
            log.warning("resuming with %s", difference)
    unsafe = [one for one in found if not one.safe] if done else []
    forced = [one for one in forced_changes(run.read_status()) if one["step"] < done]
    if unsafe:
        before = [f"{one.key}={show(one.old)}" for one in unsafe]
        forced.append({"step": done, "before": before})
    earlier = EarlierRun(run, state, saved["log_every"], file, forced)
    return from_yaml(yaml.safe_dump(now, sort_keys=False)), earlier


def repair_links(run: RunFolder, session: Session, earlier: EarlierRun, best: Best | None) -> None:
    """Make the links of the run's checkpoints agree with its state, after a kill.

    A best step whose checkpoint is missing is forgotten.

    Args:
        run: the run's folder, locked.
        session: at the step to resume from.
        earlier: what the earlier start left.
        best: of the resumed run; None where it is over, and its state has the best step.
    """
    if earlier.state is None:
        return
    chosen, step = session.settings.checkpoint, session.trainer.step
    wanted = best_step(earlier.state)
    if best is not None:
        wanted = None if best.value is None else best.step
    there = checkpoint.restore_links(run.checkpoints, step, chosen.every, chosen.keep, wanted)
    if not there and best is not None:
        log.warning(f"the checkpoint of the best step, {best}, is gone; the next best is kept")
        best.forget()


def best_step(state: Mapping[str, Any]) -> int | None:
    """The best step in a checkpoint; None where there is none."""
    evaluated = state.get("evaluation")
    best = evaluated.get("best") if isinstance(evaluated, Mapping) else None
    if not isinstance(best, Mapping) or best.get("value") is None:
        return None
    return best["step"] if isinstance(best.get("step"), int) else None


def _rolled_back(optimizer: Mapping[str, Any], run: RunFolder) -> Mapping[str, Any]:
    """What the run's rollbacks have made of the optimizers of its first command."""
    for one in run.read_status().get("rollbacks") or []:
        factor = one.get("factor") if isinstance(one, Mapping) else None
        optimizer = with_rates_times(optimizer, factor if isinstance(factor, float) else 1.0)
    return optimizer


def _saved(text: str, run: RunFolder) -> dict[str, Any]:
    """The settings of the run."""
    found = foreign.parse_yaml(text, f"{run.path}: its config")
    if not isinstance(found, dict) or not {"run", "log_every"} <= found.keys():
        raise CheckpointError(f"{run.path}: its config is not that of a run")
    try:
        from_yaml(text)
    except ConfigError as error:
        raise CheckpointError(f"{run.path}: {error}") from error
    return found


def branch(earlier: EarlierRun, run: RunFolder, text: str) -> None:
    """Copy what the earlier run had at the checkpoint into a new run's folder.

    Its curves, pictures and evaluations up to there, that state as the last one, and the best one.

    Args:
        earlier: with the checkpoint.
        run: the new run.
        text: its config.

    Raises:
        UserError: the folder cannot be written.
    """
    assert earlier.state is not None, "a branch has a state"
    assert earlier.file is not None, "of a checkpoint"
    state, step = earlier.state, earlier.state["step"]
    checkpoint.save(run.checkpoints, {**state, "config": text}, step, keep_step=False, keep=1)
    back = [one for one in rollbacks(earlier.run.read_status()) if one["to"] <= step]
    more = {"forced": earlier.forced, "rollbacks": back}
    more = {key: value for key, value in more.items() if value}
    run.write_status(folder.RUNNING, step, branched_from=str(earlier.file), **more)
    log.info(f"{run.path}: branches off {earlier.file}, at step {step:,}")
    best = best_step(state)
    try:
        here, there = earlier.run.checkpoints, run.checkpoints
        if best is not None:
            files = (here / BEST, checkpoint.of_step(here, best))
            if found := [path for path in files if checkpoint.is_of(path, best)]:
                shutil.copyfile(found[0], there / BEST)
        copied = [earlier.run.metrics, *earlier.run.path.glob("events.out.tfevents.*")]
        samples, evaluations = earlier.run.samples, earlier.run.evaluations
        dated = (*samples.glob("[!.]*.png"), *samples.glob("[!.]*.gif"))
        dated += (*evaluations.glob("step_*.json"), *evaluations.glob("step_*.png"))
        for path in dated:
            at = STEP.search(path.stem)
            copied += [path] if at and int(at[0]) <= step else []
        for path in copied:
            if path.is_file() and not path.is_symlink():
                target = run.path / path.relative_to(earlier.run.path)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
    except OSError as cause:
        raise cannot_write(run.path, cause) from cause


def set_back(
    run: RunFolder, settings: Settings, state: checkpoint.State | None, **status: object
) -> EarlierRun:
    """Set a run back to one of its states, to go on with other settings.

    They are written to its config and checkpoint, so that whoever resumes it later has them too.

    Args:
        run: its folder, locked.
        settings: to go on with.
        state: a checkpoint of the run; None for step 0.
        status: more for its `status.json`.

    Raises:
        UserError: the folder cannot be written.
    """
    begin, text = 0 if state is None else state["step"], to_yaml(settings)
    checkpoint.remove_after(run.checkpoints, begin)
    if state is not None:
        state = {**state, "config": text}
        checkpoint.save(run.checkpoints, state, begin, keep_step=False, keep=None)
    run.write_config(text)
    forgotten = {} if begin else {"best": None}
    run.write_status(folder.RUNNING, begin, saved=begin or None, **forgotten, **status)
    return EarlierRun(run, state, settings.log_every)


def data_changes(then: Any, session: Session) -> str:
    """How the data differs from a checkpoint's description; empty where it does not.

    The name is not compared: a folder may have moved.
    """
    spec, fingerprint = session.dataset.spec, session.dataset.fingerprint
    now = describe_data(spec, fingerprint)
    if not isinstance(then, Mapping):
        return "the checkpoint does not describe it"
    # Earlier versions recorded less, which is no difference.
    changed = [key for key in COMPARED if then.get(key, now[key]) != now[key]]
    return "; ".join(f"{key} was {then.get(key)}, is {now[key]}" for key in changed)


def require_length(session: Session, earlier: EarlierRun) -> None:
    """Refuse epochs or images that end before the earlier state; steps are compared before.

    Raises:
        ConfigError: they do, without `force`.
    """
    settings = session.settings
    done = 0 if earlier.state is None else earlier.state["step"]
    if settings.force or settings.steps is not None or done <= session.total:
        return
    name = "epochs" if settings.images is None else "images"
    raise ConfigError(
        f"{name} = {show(getattr(settings, name))}: comes to {session.total:,} steps, and {done:,} "
        f"are done already in {earlier.run.path}; set more {name}, or force=true"
    )


def addressed(session: Session, line: Command) -> list[str]:
    """The callbacks of a resumed run that would send it to a place which this command names not.

    The run may be a stranger's. They are left out, with a line in the log.
    """
    found, keys = [], set(line.keys)
    for name, node in session.settings.callbacks.items():
        key = f"callbacks.{name}"
        address = resolve(node["_target_"], session.trust, key).address
        place = node.get(address) if address else None
        if place is not None and keys.isdisjoint(("callbacks", key, f"{key}.{address}")):
            found.append(name)
            allow = shell_command(assignment(f"{key}.{address}", place))
            log.warning(
                f"{key}.{address} = {show(place)}: the run's choice of where to send its curves "
                f"and settings, so {name} is left out; add {allow} to send them there"
            )
    return found


def restore(session: Session, earlier: EarlierRun) -> None:
    """Load the earlier state.

    Raises:
        CheckpointError: the state is of other networks.
        ConfigError: the data is not what it was, without `force`; or the optimizers are others.
    """
    if earlier.state is None:
        return
    if changed := data_changes(earlier.state.get("data"), session):
        if not session.settings.force:
            config = _saved(earlier.state["config"], earlier.run)
            older = of_older_folder(config.get("data")) and changed.startswith("fingerprint ")
            hint = (
                "an older version computed the fingerprints of folders in another way, so the "
                "images may be the same: force=true resumes, and is needed once"
                if older
                else "force=true resumes anyway"
            )
            raise ConfigError(
                f"resume = {earlier.run.path}: the data is not what the run began with: {changed}; "
                f"{hint}"
            )
        log.warning(f"resuming with other data than the run began with: {changed}")
    try:
        session.trainer.load_state_dict(earlier.state)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{earlier.run.path}: its weights do not fit these settings, which force=true "
            f"cannot change: {one_line(error)[:LONGEST]}"
        ) from error
