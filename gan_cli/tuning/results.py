"""The results of a study: its trials, a table of the best, and their settings as a preset."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gan_cli import files
from gan_cli.config.defaults import completed
from gan_cli.config.resume import differences
from gan_cli.config.schema import Settings
from gan_cli.config.settings import from_yaml, settings_completed
from gan_cli.errors import CheckpointError
from gan_cli.formatting import rounded, shell_command, show, show_duration
from gan_cli.reporting.configurations import short as short_keys
from gan_cli.runs.folder import RunFolder
from gan_cli.tuning.plan import MINIMIZE, StudyPlan
from gan_cli.tuning.trial import BROKEN, COMPLETE, PRUNED

if TYPE_CHECKING:
    from optuna import Study

NAME = "best"
NOT_IN_PRESET = ("run", "resume", "force", "dry_run", "choices")
NO_GROUP = ("experiment",)
GROUP = re.compile(r"\w[\w/@.-]*")  # neither an option, such as --trust, nor a sign


def write(plan: StudyPlan, run: RunFolder, headline: str) -> Path:
    """Write the settings of `run` as a preset into the study's folder; its file.

    Args:
        plan: of the study.
        run: of the best trial.
        headline: the preset's first line.

    Raises:
        UserError: the run's settings cannot be read, or the preset cannot be written.
    """
    text = run.read_config()
    if text is None:
        raise CheckpointError(f"{run.config}: is missing, so {NAME}.yaml cannot be made")
    settings = from_yaml(text)
    preset = preset_of(settings, plan)
    lines = [
        "# @package _global_",
        f"# {headline}",
        f"# {command(plan)}",
        f"# from {shell_command(run.path)}",
    ]
    if settings.runtime.threads is not None and "runtime" not in preset:
        lines.append(f"# bit for bit the same with runtime.threads={settings.runtime.threads}")
    body = yaml.safe_dump(preset, sort_keys=False, allow_unicode=True, width=100)
    file = plan.folder / "experiment" / f"{NAME}.yaml"
    try:
        file.parent.mkdir(exist_ok=True)
    except OSError as cause:
        raise files.cannot_write(file, cause) from cause
    files.write(file, "\n".join(lines) + "\n" + body)
    return file


def command(plan: StudyPlan) -> str:
    """The command that trains with the preset."""
    file = plan.folder / "experiment" / f"{NAME}.yaml"
    trust = [option for option in plan.options if option.startswith("--trust=")]
    dirs = [o.partition("=")[2] for o in plan.options if o.startswith("--config-dir=")]
    rest = ["experiment=" + NAME, *trust]
    if not dirs:
        return shell_command("gan-train", "--config-dir", plan.folder, *rest)
    # gan-train takes one such folder, and this one has the groups.
    place = Path(dirs[0], "experiment")
    steps = (
        ["mkdir", "-p", place],
        ["cp", file, place],
        ["gan-train", "--config-dir", dirs[0], *rest],
    )
    return " && ".join(shell_command(*words) for words in steps)


def preset_of(settings: Settings, plan: StudyPlan) -> dict[str, Any]:
    """The preset: the options of all groups, and the settings that differ from theirs.

    Raises:
        CheckpointError: the run's config names a group that would be read as something else.
    """
    groups = {k: v for k, v in settings.choices.items() if k not in NO_GROUP}
    if odd := [group for group in groups if not GROUP.fullmatch(group)]:
        raise CheckpointError(f"the run's config: choices: {show(odd[0])} is not a group")
    preset: dict[str, Any] = {
        "defaults": [{f"override /{group}": option} for group, option in groups.items()]
    }
    preset["defaults"].append("_self_")
    chosen = [f"{group}={option}" for group, option in groups.items()]
    saved = settings.model_dump()
    plain, wanted = settings_completed(saved, *plan.options, *chosen)
    typed = {override.partition("=")[0] for override in plan.fixed}
    for found in differences(completed(plain.model_dump()), completed(saved)):
        if found.key.partition(".")[0] in NOT_IN_PRESET:
            continue
        if found.key != "runtime.threads" or found.key in typed:
            wanted[found.key] = found.new
    for key, value in wanted.items():
        *above, last = key.split(".")
        node = preset
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    return preset


log = logging.getLogger(__name__)
SHOWN = 10  # trials in the table
RUNNING = "running"


@dataclass(frozen=True)
class TrialRow:
    """One trial, for tables and charts."""

    number: int
    state: str
    value: float | None  # of a pruned trial the last one reported
    spread: float | None  # standard deviation over seeds
    params: Mapping[str, Any]
    curve: Mapping[int, float]
    seconds: float | None
    why: str


def rows(study: Study) -> list[TrialRow]:
    """The trials of a study, oldest first."""
    names = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": BROKEN}
    return [
        TrialRow(
            trial.number,
            names.get(trial.state.name, RUNNING),
            trial.value,
            stdev(values) if len(values := trial.user_attrs.get("values", [])) > 1 else None,
            trial.params,
            trial.intermediate_values,
            trial.user_attrs.get("seconds"),
            trial.user_attrs.get("why", ""),
        )
        for trial in study.get_trials(deepcopy=False)
    ]


def ranked(found: Sequence[TrialRow], plan: StudyPlan) -> list[TrialRow]:
    """The complete trials, best first; of equal ones the earlier first."""
    sign = 1 if plan.direction == MINIMIZE else -1
    complete = [row for row in found if row.state == COMPLETE and row.value is not None]
    return sorted(complete, key=lambda row: (sign * (row.value or 0.0), row.number))


def heads(plan: StudyPlan) -> list[str]:
    """Short names of the metric and of the settings."""
    keys = [dimension.key for dimension in plan.dimensions]
    return [plan.tune.metric.rpartition("/")[2], *short_keys(keys)]


def table(best: Sequence[TrialRow], plan: StudyPlan) -> Table:
    """The best trials with their settings."""
    made = Table(
        title=f"{plan.tune.metric}, {plan.direction}d; runs in {plan.folder}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in ("trial", *heads(plan), "time"):
        made.add_column(Text(head), justify="right")
    for row in best[:SHOWN]:
        seconds = "" if row.seconds is None else show_duration(row.seconds)
        words = [str(row.number), *cells(row, plan), seconds]
        made.add_row(*map(Text, words), style="bold" if row is best[0] else None)
    return made


def cells(row: TrialRow, plan: StudyPlan) -> list[str]:
    """The value of a trial, rounded by its deviation over seeds, and its settings."""
    settings = [short(row.params.get(dimension.key, "")) for dimension in plan.dimensions]
    if row.value is None:
        return ["", *settings]
    values = [row.value] if row.spread is None else [row.value, row.spread]
    return [" ± ".join(rounded(row.spread, *values)), *settings]


def short(value: object) -> str:
    """A setting's value in few characters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
