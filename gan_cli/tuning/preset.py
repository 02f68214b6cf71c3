"""The best trial's settings as a preset that `gan-train experiment=best` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gan_cli import atomic
from gan_cli.config.composing import settings_completed
from gan_cli.config.defaults import completed
from gan_cli.config.reading import from_yaml
from gan_cli.config.schema import Settings
from gan_cli.errors import CheckpointError
from gan_cli.formatting import shell_command
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.resume import differences
from gan_cli.tuning.plan import Plan

NAME = "best"
AROUND = ("run", "resume", "force", "dry_run", "choices")  # of a run, and no choice of settings
NO_GROUP = ("experiment",)


def write(plan: Plan, run: RunFolder, headline: str) -> Path:
    """Write the settings of `run` as a preset into the study's folder; its file.

    Args:
        plan: the study.
        run: of the best trial.
        headline: what it is, for the preset's first line.

    Raises:
        UserError: the run's configuration cannot be read, or the preset not be written.
    """
    text = run.read_config()
    if text is None:
        raise CheckpointError(f"{run.config}: is missing, so there is no {NAME}.yaml")
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
        raise atomic.cannot_write(file, cause) from cause
    atomic.write(file, "\n".join(lines) + "\n" + body)
    return file


def command(plan: Plan) -> str:
    """How to use the preset."""
    file = plan.folder / "experiment" / f"{NAME}.yaml"
    trust = [option for option in plan.options if option.startswith("--trust=")]
    dirs = [o.partition("=")[2] for o in plan.options if o.startswith("--config-dir=")]
    rest = ["experiment=" + NAME, *trust]
    if not dirs:
        return shell_command("gan-train", "--config-dir", plan.folder, *rest)
    # There is one such folder at a time, and the groups are in this one.
    place = Path(dirs[0], "experiment")
    steps = (
        ["mkdir", "-p", place],
        ["cp", file, place],
        ["gan-train", "--config-dir", dirs[0], *rest],
    )
    return " && ".join(shell_command(*words) for words in steps)


def preset_of(settings: Settings, plan: Plan) -> dict[str, Any]:
    """The options of all groups, and what differs from them."""
    groups = {k: v for k, v in settings.choices.items() if k not in NO_GROUP}
    preset: dict[str, Any] = {
        "defaults": [{f"override /{group}": option} for group, option in groups.items()]
    }
    preset["defaults"].append("_self_")
    chosen = [f"{group}={option}" for group, option in groups.items()]
    saved = settings.model_dump()
    plain, wanted = settings_completed(saved, *plan.options, *chosen)
    typed = {override.partition("=")[0] for override in plan.fixed}
    for found in differences(completed(plain.model_dump()), completed(saved)):
        if found.key.partition(".")[0] in AROUND:
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
