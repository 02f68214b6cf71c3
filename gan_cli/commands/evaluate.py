"""`gan-eval RUN`, `gan-eval REAL FAKE`: metrics of runs and of images, with their protocol."""

from __future__ import annotations

import argparse
import inspect
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.exits import command
from gan_cli.formatting import user_path
from gan_cli.options import Parser, add_model_options, check_output, whole, write_output

if TYPE_CHECKING:
    from rich.console import Console

    from gan_cli.evaluation.report import Report
    from gan_cli.runs.folder import RunFolder

log = logging.getLogger(__name__)
SAMPLES = 10_000

EXAMPLES = """\
examples:
  gan-eval latest                                 all that fits and is quick
  gan-eval RUN --metrics fid,kid --inception weights.pth
  gan-eval RUN --metrics all --samples 50000 --split test
  gan-eval runs/*/* --json -                      for programs: a list of runs
  gan-eval photos samples --inception weights.pth
  gan-eval --metrics list                         all names

REAL and FAKE are folders of images or NPZ files of them (arr_0, uint8
[N, H, W, C]); REAL may be a file of --save-statistics or of pytorch-fid.

Values, protocols and pictures are also kept in the run's evaluations/. They
depend on the checkpoint, the data, the seed and the number of samples: not on
--batch-size.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-eval", "Evaluate runs.", EXAMPLES)
    add = made.add_argument
    add("run", nargs="*", metavar="RUN", help="runs, or images: REAL FAKE")
    add("--metrics", default="auto", metavar="LIST", help="names, auto (default), all, or list")
    add("--config-dir", metavar="DIR", help="metrics of your own: DIR/metric/mine.yaml is mine")
    add("--samples", type=whole(2), metavar="N", help="how many to draw (default: 10000)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the samples (default: 0)")
    add(
        "--split",
        choices=("train", "test"),
        default="train",
        help="the real data to compare with (default: train, as most papers do)",
    )
    add(
        "--json",
        nargs="?",
        const="-",
        metavar="PATH",
        help="write the values as JSON, to the screen (-, then without a table) or a file",
    )
    text = "file of Inception's weights, pt_inception-2015-12-05-6726825d.pth"
    add("--inception", metavar="PATH", help=text)
    text = "of images for Inception: bilinear (default), as pytorch-fid; clean, as clean-fid"
    add("--resize", choices=("bilinear", "clean"), default="bilinear", help=text)
    text = "a network of yours in Inception's place, my_module.MyNet (with --trust my_module)"
    add("--extractor", metavar="CLASS", help=text)
    text = "write the statistics of REAL's images, to use as REAL later"
    add("--save-statistics", metavar="FILE.npz", help=text)
    add("--data-root", metavar="DIR", help="where the data is now, if it has moved")
    add(
        "--self-check",
        metavar="DIR",
        help="instead of runs: FID of CIFAR-10's train against its test images, near 3.15",
    )
    add_model_options(made)
    return made


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate every run that is given; the exit status is that of the worst.

    Raises:
        UserError: nothing was evaluated, and the message says why.
    """
    from gan_cli.console import PIPED_WIDTH, clean_console, setup_logging
    from gan_cli.evaluation.image_sets import is_image_set
    from gan_cli.evaluation.registry import parse, require_known
    from gan_cli.exits import DONE, INTERRUPTED, guarded
    from gan_cli.runs.load import wanted

    setup_logging(None)
    screen = clean_console(PIPED_WIDTH, stderr=options.json == "-")
    folders = trust_folder(options)
    if options.metrics == "list":
        print_metrics(screen, folders, options.trust)
        return DONE
    if options.self_check is not None:
        return check_itself(options, screen)
    require_known(parse(options.metrics), folders=folders)
    if options.json is not None:
        check_output("--json", options.json)
    if options.save_statistics is not None or any(map(is_image_set, options.run[:2])):
        return evaluate_images(options, screen, folders)
    # All of them, before any work is done.
    places = [wanted(path, options.checkpoint) for path in options.run or [None]]
    reports: list[Report] = []
    if len(places) == 1:
        status = evaluate_run(options, *places[0], screen, reports, folders)
        write_json(options, reports[0].to_json())
        return status
    statuses = []
    for place in places:
        statuses.append(
            guarded(lambda p=place: evaluate_run(options, *p, screen, reports, folders))
        )
        if statuses[-1] == INTERRUPTED:
            break
    write_json(options, [report.to_json() for report in reports])
    return max(statuses)


def trust_folder(options: argparse.Namespace) -> list[Path]:
    """The folder of --config-dir, if any; adds the modules that its YAML files name to --trust.

    Raises:
        ConfigError: there is no such folder.
    """
    from gan_cli.config.trust import open_path
    from gan_cli.config.validation import modules_named_in
    from gan_cli.errors import ConfigError

    if options.config_dir is None:
        return []
    folder = user_path(options.config_dir).absolute()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir = {folder}: no such folder")
    options.trust += modules_named_in([folder])
    open_path(Path.cwd(), folder)
    return [folder]


def evaluate_run(
    options: argparse.Namespace,
    folder: RunFolder,
    which: str | Path,
    screen: Console,
    reports: list[Report],
    folders: Sequence[Path],
) -> int:
    """Evaluate one run; its report goes to the screen, into its folder, and into `reports`."""
    from gan_cli.console import progress_bar
    from gan_cli.errors import UserError
    from gan_cli.evaluation.evaluate import evaluate, missed
    from gan_cli.evaluation.metric import Options
    from gan_cli.evaluation.registry import choose, parse
    from gan_cli.evaluation.report import show, write
    from gan_cli.evaluation.run_data import with_data
    from gan_cli.exits import DONE, FAILED
    from gan_cli.runs.load import load_for

    folder.refuse_links()  # where the report would be refused, after all the work
    loaded = load_for(options, folder, which)
    chosen = Options(
        options.samples or SAMPLES,
        options.seed,
        options.split,
        options.batch_size,
        options.inception,
        options.resize,
        options.extractor,
    )
    model = with_data(loaded, chosen, options.data_root)
    choice = choose(parse(options.metrics), model, folders=folders, trust=loaded.trust)
    with progress_bar(f"metrics of {folder.path.name}", len(choice.taken)) as advance:
        report = evaluate(model, choice, str(folder.path), lambda _: advance(1))
    reports.append(report)
    if options.json != "-":
        show(screen, report, choice.named)
    status = FAILED if missed(report, choice) or not report.values else DONE
    try:
        path = write(report, folder)
    except UserError as error:
        if options.json is None:
            log.warning(f"{error}; --json FILE writes the values elsewhere")
            return FAILED
        log.warning(error)
        return status
    if options.json != "-":
        screen.print(f"  full protocols: {path}", style="dim", highlight=False, soft_wrap=True)
    return status


def evaluate_images(options: argparse.Namespace, screen: Console, folders: Sequence[Path]) -> int:
    """Compare two sets of images, or save the statistics of one; the exit status.

    Raises:
        UserError: the images cannot be read or compared, or there are no weights of Inception.
    """
    from gan_cli.config.trust import Trust, open_path
    from gan_cli.console import print_path
    from gan_cli.device import choose_device
    from gan_cli.evaluation import image_sets
    from gan_cli.evaluation.evaluate import evaluate, missed
    from gan_cli.evaluation.metric import Options
    from gan_cli.evaluation.registry import choose, parse
    from gan_cli.evaluation.report import show
    from gan_cli.exits import DONE, FAILED

    image_sets.check_places(options.run, options.save_statistics)
    if options.save_statistics is not None:
        check_output("--save-statistics", options.save_statistics, "REAL")
    if options.trust:
        open_path(Path.cwd())
    device = choose_device(options.device)
    real, *fakes = options.run
    truth = image_sets.open_real(real)
    trust = Trust(tuple(options.trust))
    about = Options(inception=options.inception, resize=options.resize, extractor=options.extractor)
    networks = image_sets.extractors(truth, device, about, trust)
    if options.save_statistics is not None:
        target = user_path(options.save_statistics)
        image_sets.save_statistics(target, truth, networks.inception)
        print_path(target)
    if not fakes:
        return DONE
    made = image_sets.open_images(fakes[0])
    samples = options.samples or made.spec.size
    chosen = replace(
        about, samples=samples, seed=options.seed, split="all", batch_size=options.batch_size
    )
    subject = image_sets.ImageSets(truth, made, chosen, device, networks)
    names = image_sets.metrics_for(truth, parse(options.metrics), networks, options.inception)
    choice = choose(names, subject, folders=folders, trust=trust)
    image_sets.check_weights(subject, choice)
    report = evaluate(subject, choice, f"{fakes[0]} against {real}")
    if options.json != "-":
        show(screen, report, choice.named)
    write_json(options, report.to_json())
    return FAILED if missed(report, choice) or not report.values else DONE


def check_itself(options: argparse.Namespace, screen: Console) -> int:
    """What `--self-check` does; the exit status."""
    from gan_cli.device import choose_device
    from gan_cli.evaluation.inception import load, self_check
    from gan_cli.evaluation.report import Report, show
    from gan_cli.exits import DONE

    extractor = load(options.inception, choose_device(options.device), options.resize)
    report = Report("self-check", 0, "", self_check(options.self_check, options.samples, extractor))
    show(screen, report)
    write_json(options, report.to_json())
    return DONE


def write_json(options: argparse.Namespace, content: object) -> None:
    """Write where --json says."""
    from gan_cli.evaluation.report import dumped

    if options.json is not None:
        write_output(options.json, dumped(content))


def print_metrics(screen: Console, folders: Sequence[Path], trust: Sequence[str]) -> None:
    """Print the names that --metrics takes, and what each computes."""
    from rich.table import Table

    from gan_cli.config.trust import Trust
    from gan_cli.evaluation import registry

    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("what", ratio=1)
    table.add_column("in auto", no_wrap=True)
    for metric in registry.metrics(folders=folders, trust=Trust(tuple(trust))):
        first = (inspect.getdoc(type(metric)) or "").partition("\n")[0]
        cheap = "on a GPU" if metric.dear_on_cpu else "where it fits"
        table.add_row(metric.name, first, "" if metric.dear else cheap)
    screen.print(table)


main = command(parser, evaluate)

if __name__ == "__main__":
    main()
