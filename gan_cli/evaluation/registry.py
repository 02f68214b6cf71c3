"""The metrics in the config files of the group `metric`, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_cli.config import groups
from gan_cli.config.instantiate import Trust, build, check
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.evaluation.metric import Extractor, Metric, Options, Subject, direction
from gan_cli.evaluation.trained_model import Extractors, Real
from gan_cli.foreign import parse_yaml
from gan_cli.formatting import hint
from gan_cli.model import DataSpec

AUTO, ALL = "auto", "all"
DEAR = "takes minutes, so it is computed only if named"  # why "auto" skips a metric
ASIDE = "does not measure the quality of samples, so it is computed only if named"


def available(folders: Sequence[Path] = ()) -> list[str]:
    """The names of all metrics: the files of conf/metric/, and of metric/ in `folders`."""
    return list(groups.options(groups.METRIC, folders))


def metrics(
    names: Sequence[str] | None = None,
    folders: Sequence[Path] = (),
    trust: Trust = Trust(),  # noqa: B008 - frozen
) -> list[Metric]:
    """Build metrics, in the order in which their values are shown.

    Args:
        names: of these files, which exist; None for all.
        folders: of --config-dir.
        trust: the modules whose classes may be built.

    Raises:
        ConfigError: lists every fault of the files.
    """
    nodes, faults = {}, []
    for name, file in groups.options(groups.METRIC, folders).items():
        if names is not None and name not in names:
            continue
        try:
            nodes[name] = parse_yaml(file.read_text(encoding="utf-8", errors="replace"), file)
        except (CheckpointError, OSError) as error:
            faults.append(f"{error}")
            continue
        faults += check(nodes[name], f"metric/{name}", trust, kind=Metric)
    if faults:
        raise ConfigError("\n".join(faults))
    built = []
    for name, node in nodes.items():
        metric: Metric = build(node, f"metric/{name}", trust)
        metric.name = name
        built.append(metric)
    return sorted(built, key=lambda metric: (metric.order, metric.name))


def direction_of(value: str, known: Sequence[Metric]) -> str:
    """LOWER, HIGHER or NEITHER for a value's name, without computing it.

    The names of a metric with one direction for all begin with its own; a pattern that fits every
    name decides nothing.
    """
    patterns: dict[str, bool | None] = {}
    for metric in known:
        patterns |= metric.patterns(f"{metric.name}*")
    patterns.pop("*", None)
    return direction(patterns, value)


@dataclass(frozen=True)
class Choice:
    """The metrics to compute.

    Attributes:
        taken: in this order.
        named: the names that were asked for one by one; none for "auto" and "all".
        unfit: why others are not, by name.
    """

    taken: Sequence[Metric]
    named: Sequence[str]
    unfit: dict[str, str]


def parse(text: str) -> list[str] | str:
    """`auto`, `all`, or a list of names with commas between them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return names[0] if len(names) == 1 and names[0] in (AUTO, ALL) else names


def require_known(
    names: Sequence[str] | str, key: str = "--metrics", folders: Sequence[Path] = ()
) -> None:
    """Check the names of metrics.

    Args:
        names: as `parse` returns them.
        key: where the user wrote them.
        folders: of --config-dir.

    Raises:
        ConfigError: there is no metric of some name.
    """
    have = available(folders)
    if not names:
        raise ConfigError(f"{key}: must be auto, all or names that gan-eval --metrics list shows")
    for name in [] if isinstance(names, str) and names in (AUTO, ALL) else names:
        if name in (AUTO, ALL):
            raise ConfigError(f"{key} = {name}: stands alone; remove the other names")
        if name not in have:
            near = hint(name, have)
            raise ConfigError(
                f"{key} = {name}: unknown metric{near}; gan-eval --metrics list shows all"
            )


def choose(
    names: Sequence[str] | str,
    subject: Subject,
    key: str = "--metrics",
    folders: Sequence[Path] = (),
    trust: Trust = Trust(),  # noqa: B008 - frozen
) -> Choice:
    """The metrics among `names` that apply to `subject`.

    "auto" chooses all that apply, evaluate samples and do not take minutes, "all" all that apply.

    Args:
        names: as `parse` returns them.
        subject: what will be evaluated.
        key: where the user wrote the names.
        folders: of --config-dir.
        trust: the modules whose classes may be built.

    Raises:
        ConfigError: there is no metric of some name, or one cannot be built.
    """
    require_known(names, key, folders)
    by_name = [] if isinstance(names, str) else list(dict.fromkeys(names))
    unfit: dict[str, str] = {}
    taken: list[Metric] = []
    for metric in metrics(by_name or None, folders, trust):
        try:
            reason = metric.unfit(subject)
        except UserError as error:  # such as missing data
            reason = str(error)
        if reason:
            unfit[metric.name] = reason
        elif names == AUTO and metric.takes_minutes(subject.device):
            unfit[metric.name] = DEAR
        elif names == AUTO and metric.aside:
            unfit[metric.name] = ASIDE
        else:
            taken.append(metric)
    return Choice(taken, by_name, unfit)


def inception_of(data: DataSpec, device: torch.device, chosen: Options, trust: Trust) -> Extractor:
    """Inception, or the user's network in its place.

    Raises:
        UserError: it cannot be had.
    """
    from gan_cli.evaluation.inception import load
    from gan_cli.evaluation.own_extractor import own_extractor

    if chosen.extractor is not None:
        return own_extractor(chosen.extractor, data, device, trust)
    return load(chosen.inception, device, chosen.resize)


def extractors(
    real: Real, data: DataSpec, device: torch.device, chosen: Options, trust: Trust
) -> Extractors:
    """Both, for real data and a device; made when they are first asked for.

    Args:
        real: on which the classifier is trained, where no earlier one is in the cache.
        data: the description of the images.
        device: where to compute.
        chosen: the file of Inception's weights, how images are resized, or a network in its place.
        trust: the modules whose classes may be built.
    """

    def make_inception() -> Extractor:
        return inception_of(data, device, chosen, trust)

    def make_classifier() -> Extractor:
        from gan_cli.evaluation.classifier import load

        return load(real, device)

    return Extractors(make_inception, make_classifier)
