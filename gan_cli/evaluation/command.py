"""What `gan-eval` does: loads runs, measures them, shows and keeps what it found."""

from __future__ import annotations

import argparse
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from gan_cli import files
from gan_cli.config.instantiate import Trust, resolve
from gan_cli.config.trust import open_path
from gan_cli.console import PIPED_WIDTH, clean_console, setup_logging
from gan_cli.device import choose_device
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation import registry
from gan_cli.evaluation.evaluate import evaluate, missed
from gan_cli.evaluation.metric import Metric, Options
from gan_cli.evaluation.registry import choose, extractors, known, parse
from gan_cli.evaluation.report import Json, Report, dumped, show, write
from gan_cli.evaluation.trained_model import Real, TrainedModel
from gan_cli.exits import DONE, FAILED, INTERRUPTED, guarded
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import Loaded, load_model, of_older_folder, wanted

log = logging.getLogger(__name__)
SAMPLES = 10_000


def run(options: argparse.Namespace) -> int:
    """Evaluate every run that is given; the exit status is that of the worst.

    Raises:
        UserError: nothing was evaluated, and the message says why.
    """
    setup_logging(None)
    screen = clean_console(PIPED_WIDTH, stderr=options.json == "-")
    if options.metrics == "list":
        listed(screen)
        return DONE
    if options.self_check is not None:
        return check_itself(options, screen)
    known(parse(options.metrics))
    check_place(options.json)
    if not options.run:
        newest = runs.latest()
        which = f"the newest is {newest.path}" if newest else "runs/ holds none"
        raise ConfigError(f"RUN is required: a run folder; {which}")
    places = [
        wanted(path, options.checkpoint) for path in options.run
    ]  # all of them, before any work is done
    if options.trust:
        open_path(Path.cwd())  # where a console script would not look
    told: list[Json] = []
    if len(places) == 1:
        statuses = [_one(options, *places[0], screen, told)]
        _give(options.json, told[0])
        return statuses[0]
    statuses = []
    for place in places:
        statuses.append(guarded(lambda p=place: _one(options, *p, screen, told)))
        if statuses[-1] == INTERRUPTED:
            break
    _give(options.json, told)
    return max(statuses)


def check_place(place: str | None) -> None:
    """Check, before any work is done, that JSON can go there.

    Raises:
        ConfigError: it is a folder, such as a run behind --json, or lies in none.
    """
    if place in (None, "-"):
        return
    path = Path(place).expanduser()
    if path.is_dir():
        raise ConfigError(f"--json {place}: is a folder; name a file, or put RUN before --json")
    if not path.parent.is_dir():
        raise ConfigError(f"--json {place}: there is no folder {path.parent}; make it first")


def _give(place: str | None, content: object) -> None:
    """Write JSON to where the user wants it."""
    if place == "-":
        print(dumped(content), end="")
    elif place is not None:
        files.write(Path(place).expanduser(), dumped(content))


def check_itself(options: argparse.Namespace, screen: Console) -> int:
    """What `--self-check` does; the exit status."""
    from gan_cli.evaluation.inception import load, self_check

    extractor = load(options.inception, choose_device(options.device))
    report = Report("self-check", 0, "", self_check(options.self_check, options.samples, extractor))
    show(screen, report)
    _give(options.json, report.to_json())
    return DONE


def _one(
    options: argparse.Namespace,
    folder: RunFolder,
    which: str | Path,
    screen: Console,
    told: list[Json],
) -> int:
    """Evaluate one run; its report goes to the screen, into its folder, and behind `told`."""
    folder.refuse_links()  # where the report would be refused, after all the work
    trust = Trust(tuple(options.trust), refused=(folder.path.absolute(),))
    loaded = load_model(folder, which, options.weights, trust, options.device)
    if options.weights == "ema" and loaded.weights == "raw" and loaded.model.averaged():
        log.warning("the run has no averaged weights (ema.decay=0); these are the raw ones")
    subject = subject_of(loaded, options, trust)
    choice = choose(parse(options.metrics), subject)
    report = evaluate(
        subject, choice, str(folder.path), lambda name: log.debug("measuring %s", name)
    )
    path = write(report, folder)
    told.append(report.to_json())
    if options.json != "-":
        show(screen, report, choice.named)
        screen.print(f"  full protocols: {path}", style="dim", highlight=False, soft_wrap=True)
    return FAILED if missed(report, choice) or not report.figures else DONE


def subject_of(loaded: Loaded, options: argparse.Namespace, trust: Trust) -> TrainedModel:
    """A loaded model beside its data.

    Raises:
        UserError: the data cannot be had, or is not of the shape that the model makes.
    """
    chosen = Options(
        options.samples or SAMPLES,
        options.seed,
        options.split,
        options.batch_size,
        options.inception,
    )
    node = moved(loaded.settings.data, options.data_root, trust)
    real = Real(node, chosen.split, trust, outputs=loaded.settings.outputs)
    spec, made = real.part(chosen.split).spec, loaded.model.data
    if spec.shape != made.shape or spec.classes != made.classes:
        raise DataError(
            f"{spec.name}: its samples of shape {list(spec.shape)} in {spec.classes} classes are "
            f"not those that the run was trained on, {list(made.shape)} in {made.classes}"
        )
    if loaded.fingerprint and real.part(real.trained_on).fingerprint != loaded.fingerprint:
        older = of_older_folder(loaded.settings.data)
        perhaps = ", or was told apart in another way by the older version" if older else ""
        log.warning(f"{spec.name}: the data has changed since training{perhaps}")
    device = loaded.model.device
    return TrainedModel(
        loaded.model,
        loaded.step,
        loaded.weights,
        chosen,
        real,
        extractors(real, device, chosen.inception),
    )


def moved(node: Mapping[str, Any], root: str | None, trust: Trust) -> Mapping[str, Any]:
    """The settings of data that lies somewhere else now.

    Raises:
        ConfigError: this data lies nowhere.
    """
    if root is None:
        return node
    target = resolve(node.get("_target_"), trust, "data")
    if "root" not in inspect.signature(target).parameters:
        raise ConfigError(f"--data-root {root}: {target.__name__} is read from no folder")
    return {**node, "root": str(Path(root).expanduser().absolute())}


def auto(measure: Metric) -> str:
    """When "auto" takes a measure."""
    if measure.dear:
        return ""
    return "on a GPU" if measure.dear_on_cpu else "where it fits"


def listed(screen: Console) -> None:
    """Print the measures' names and what they are."""
    from rich.table import Table

    shown = Table()
    shown.add_column("name", no_wrap=True)
    shown.add_column("what", ratio=1)
    shown.add_column("in auto", no_wrap=True)
    for measure in registry.measures():
        first = (inspect.getdoc(type(measure)) or "").partition("\n")[0]
        shown.add_row(measure.name, first, auto(measure))
    screen.print(shown)
