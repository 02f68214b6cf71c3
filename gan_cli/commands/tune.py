"""`gan-tune`: search for good settings."""

from __future__ import annotations

import sys

HELP = """\
Usage: gan-tune [group=option ...] [key=value ...] key=RANGE ... tune.metric=NAME [tune.key=...]

Trains one run after the other with values that a search picks from the ranges, stops early those
that fall behind, and writes the best settings as a preset. The same command resumes a study.

Ranges, for any setting or group of gan-train:
  key=a,b,c                               one of these; key=choice(a,b,c) is the same
  key=interval(0,1)                       a number between these
  key=int(interval(1,64))                 a whole number between these
  key=tag(log,interval(1e-5,1e-2))        the same, small values as likely as large ones
  key=range(1,6)                          1, 2, 3, 4 or 5; range(0,1,.1) goes by tenths
  group=glob(f_*)                         the options of a group with such names

Settings of the study:
  tune.metric      what is judged, as metrics.jsonl names it: metrics/fid_classifier, metrics/kid
  tune.direction   auto, minimize or maximize; auto knows what evaluations report
  tune.value       best (default) or last point of a run's curve
  tune.trials      50: of the whole study, over all commands and machines
  tune.max_time    90s, 10m, 2h: of this command
  tune.seeds       0, or 1,2,3 or 1..3: a trial is judged by the mean over these
  tune.workers     1: trials at once, each its own process; tune.gpus=N shares out N GPUs
  tune.sampler     tpe or random; tune.seed is the search's own
  tune.pruner      hyperband, asha, median or none
  tune.space       ranges as a mapping: 'tune.space={optimizer.lr: "tag(log,interval(1e-5,1e-2))"}'
  tune.dir         the study's folder (default: run.root/tune-<model>-<data>-<hash>)
  tune.storage     a database's URL, for machines without a common disk; else a file in the folder

Example:
  gan-tune model=wgan data=mnist steps=2000 'optimizer.lr=tag(log,interval(1e-5,1e-2))' \\
      model.d_steps='range(1,6)' tune.metric=metrics/fid_classifier tune.trials=30 tune.workers=2
  gan-train --config-dir runs/tune-wgan-mnist-... experiment=best

Exit status: 0 done, 1 no trial has a value, 2 wrong input, 130 by a signal, with the state saved.
"""


def main() -> None:
    """Search; exits with a status."""
    from gan_cli.exits import program

    program(lambda: tune(sys.argv[1:]))


def tune(arguments: list[str]) -> int:
    """Do what was asked for; the exit status."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    if "--version" in arguments:
        import gan_cli

        print(f"gan-tune {gan_cli.__version__}")
        return 0
    from gan_cli.signals import interrupt_program
    from gan_cli.tuning import command

    interrupt_program()
    return command.run(arguments)


if __name__ == "__main__":
    main()
