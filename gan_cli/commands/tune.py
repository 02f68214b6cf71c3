"""`gan-tune`: search for good settings."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_cli.tuning.plan import StudyPlan
    from gan_cli.tuning.study import Study

log = logging.getLogger(__name__)

HELP = """\
Usage: gan-tune [group=option ...] [key=value ...] key=RANGE ...
                tune.metric=NAME [tune.key=...]

Trains one run after the other with values that a search picks from the ranges,
stops early those that fall behind, and writes the best settings as a preset.
The same command resumes a study.

Ranges, for any setting or group of gan-train:
  key=a,b,c                         one of these; or key=choice(a,b,c)
  key=interval(0,1)                 a number between these
  key=int(interval(1,64))           a whole number between these
  key=tag(log,interval(1e-5,1e-2))  uniform in the logarithm
  key=range(1,6)                    1, 2, 3, 4 or 5; range(0,1,.1): by tenths
  group=glob(f_*)                   the options of a group with such names

Settings of the study:
  tune.metric      what to optimise, as metrics.jsonl names it:
                   metrics/fid_classifier, metrics/psnr
  tune.direction   auto (right for metrics of evaluations), minimize, maximize
  tune.value       best (default) or last point of a run's curve
  tune.trials      50: of the whole study, over all commands and machines
  tune.max_time    90s, 10m, 2h: of this command
  tune.seeds       0, or 1,2,3 or 1..3: a trial's value is the mean over these
  tune.workers     1: trials at once, each its own process
  tune.gpus        N: shares out N GPUs
  tune.sampler     tpe or random; tune.seed is the search's own
  tune.pruner      hyperband, asha, median or none
  tune.space       ranges as a mapping:
                   'tune.space={optimizer.lr: "tag(log,interval(1e-5,1e-2))"}'
  tune.dir         the study's folder
                   (default: run.root/tune-<model>-<data>-<hash>)
  tune.storage     a database's URL, for machines without a common disk;
                   default: a file in the folder

Example:
  gan-tune model=wgan data=mnist steps=2000 model.d_steps='range(1,6)' \\
      'optimizer.lr=tag(log,interval(1e-5,1e-2))' \\
      tune.metric=metrics/fid_classifier tune.trials=30 tune.workers=2
  gan-train --config-dir runs/tune-wgan-mnist-... experiment=best

Exit status: 0 done, 1 no trial has a value, 2 wrong input, 130 stopped by a
signal, with the state saved.
"""


def main() -> None:
    """Search; exits with a status."""
    from gan_cli.exits import program

    program(lambda: tune(sys.argv[1:]))


def tune(arguments: list[str]) -> int:
    """Do what was asked for; the exit status.

    Raises:
        UserError: nothing can be searched, and the message says why.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    if "--version" in arguments:
        import gan_cli

        print(f"gan-tune {gan_cli.__version__}")
        return 0
    from gan_cli.console import setup_logging
    from gan_cli.exits import DONE, FAILED, INTERRUPTED
    from gan_cli.jobs.processes import Supervisor
    from gan_cli.signals import interrupt_program
    from gan_cli.tuning.plan import plan_of, prepare_folder
    from gan_cli.tuning.search import search
    from gan_cli.tuning.study import need_optuna, open_study

    interrupt_program()
    setup_logging(None)
    need_optuna()
    plan = prepare_folder(plan_of(arguments))
    study = open_study(plan)
    space = "; ".join(f"{d.key}: {d}" for d in plan.dimensions)
    log.info(f"{plan.folder}: {plan.direction} {plan.tune.metric} over {space}")
    supervisor = Supervisor()
    interrupted = False
    try:
        search(plan, supervisor)
    except KeyboardInterrupt:
        interrupted = True
    complete = publish(study, plan)
    if interrupted:
        saved = "are saved" if supervisor.all_saved else "are those of their last checkpoints"
        log.info(f"interrupted; the trials' states {saved}, and the same command resumes")
        return INTERRUPTED
    return DONE if complete else FAILED


def publish(study: Study, plan: StudyPlan) -> bool:
    """Show and write the results; whether there is a best trial and its preset was written.

    Raises:
        UserError: a file cannot be written.
    """
    from gan_cli.console import PIPED_WIDTH, clean_console
    from gan_cli.errors import UserError
    from gan_cli.formatting import counted, number
    from gan_cli.runs.folder import RunFolder
    from gan_cli.tuning import page, results
    from gan_cli.tuning.trial import BROKEN, COMPLETE, PRUNED

    found = results.rows(study)
    best = results.ranked(found, plan)
    states = ", ".join(
        f"{count} {state}"
        for state in (COMPLETE, PRUNED, BROKEN, results.RUNNING)
        if (count := sum(row.state == state for row in found))
    )
    screen = clean_console(PIPED_WIDTH)
    if best:
        screen.print(results.table(best, plan))
    log.info(f"{counted(len(found), 'trial')}: {states or 'none'}")
    written = page.write(study, plan, found)
    if not best:
        log.info("no trial is complete, so none is the best")
        return False
    run = RunFolder(plan.run_folder(best[0].number, plan.tune.seeds[0]))
    headline = f"{plan.tune.metric} {number(best[0].value or 0.0)}, the best of {len(found)} trials"
    log.info(f"  page      {written}")
    try:
        results.write(plan, run, headline)
    except UserError as error:
        log.error(f"{results.NAME}.yaml was not written: {error}")
        return False
    log.info(f"  best      {results.command(plan)}")
    return True


if __name__ == "__main__":
    main()
