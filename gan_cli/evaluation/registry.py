"""Which measures there are, and which of them are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gan_cli.errors import ConfigError, UserError
from gan_cli.evaluation.metric import Extractor, Metric, Subject
from gan_cli.evaluation.trained_model import Extractors, Real
from gan_cli.formatting import hint

AUTO, ALL = "auto", "all"
DEAR = "takes minutes, so it must be asked for by name"  # why "auto" leaves a measure out
ASIDE = "says nothing of how good samples are, so it must be asked for by name"


def measures() -> list[Metric]:
    """One of each, in the order in which figures are shown."""
    from gan_cli.evaluation.measures.classifier import ClassifierFigures
    from gan_cli.evaluation.measures.conditional import Conditional
    from gan_cli.evaluation.measures.diversity import Diversity
    from gan_cli.evaluation.measures.fid_kid_prdc import FID, KID, PRDC
    from gan_cli.evaluation.measures.gan_train import GANTrain
    from gan_cli.evaluation.measures.infogan import InfoGANFigures
    from gan_cli.evaluation.measures.interpolation import Interpolation
    from gan_cli.evaluation.measures.likelihood import Likelihood
    from gan_cli.evaluation.measures.memorisation import Memorisation
    from gan_cli.evaluation.measures.modes import Modes, StackedModes
    from gan_cli.evaluation.measures.reconstruction import Reconstruction
    from gan_cli.evaluation.measures.toy import Density, Points

    return [
        ClassifierFigures(),
        FID(),
        KID(),
        PRDC(),
        Conditional(),
        GANTrain(),
        InfoGANFigures(),
        Modes(),
        StackedModes(),
        Points(),
        Likelihood(),
        Likelihood("likelihood_5000", 5000, samples=None, dear=True),
        Density(),
        Reconstruction(),
        Memorisation(),
        Diversity(),
        Interpolation(),
    ]


@dataclass(frozen=True)
class Choice:
    """What is to be measured.

    Attributes:
        taken: these, in this order.
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


def known(names: Sequence[str] | str, key: str = "--metrics") -> None:
    """Check that there are measures of these names.

    Raises:
        ConfigError: there are not; `key` is where the user wrote them.
    """
    have = [measure.name for measure in measures()]
    if not names:
        raise ConfigError(f"{key}: must be auto, all or some of {', '.join(have)}")
    for name in [] if isinstance(names, str) and names in (AUTO, ALL) else names:
        if name in (AUTO, ALL):
            raise ConfigError(f"{key} = {name}: stands alone; leave the other names away")
        if name not in have:
            near = hint(name, have)
            raise ConfigError(f"{key} = {name}: unknown metric{near}; available: {', '.join(have)}")


def choose(names: Sequence[str] | str, subject: Subject, key: str = "--metrics") -> Choice:
    """The measures that `names` ask for, as far as they say something of `subject`.

    "auto" takes all that fit, judge samples and do not take minutes, "all" all that fit.

    Raises:
        ConfigError: there is no measure of some name.
    """
    known(names, key)
    by_name = [] if isinstance(names, str) else list(dict.fromkeys(names))
    unfit: dict[str, str] = {}
    taken: list[Metric] = []
    for measure in measures():
        if by_name and measure.name not in by_name:
            continue
        try:
            reason = measure.unfit(subject)
        except UserError as error:  # such as data that is not there to be looked at
            reason = str(error)
        if reason:
            unfit[measure.name] = reason
        elif names == AUTO and measure.takes_minutes(subject.device):
            unfit[measure.name] = DEAR
        elif names == AUTO and measure.aside:
            unfit[measure.name] = ASIDE
        else:
            taken.append(measure)
    return Choice(taken, by_name, unfit)


def extractors(real: Real, device: torch.device, inception: str | None) -> Extractors:
    """Both, for real data and a device; made when they are first asked for.

    Args:
        real: on which the classifier is trained, where no earlier one is in the cache.
        device: where to compute.
        inception: the file of Inception's weights; None for the package or the download.
    """

    def make_inception() -> Extractor:
        from gan_cli.evaluation.inception import load

        return load(inception, device)

    def make_classifier() -> Extractor:
        from gan_cli.evaluation.classifier import load

        return load(real, device)

    return Extractors(make_inception, make_classifier)
