"""The data set's own classifier: trained once on its real labels, then kept."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import files, formatting
from gan_cli.console import on_terminal, progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.data.published import cache_folder
from gan_cli.errors import DataError, UserError
from gan_cli.evaluation.classifier_training import (
    AT_ONCE,
    RESIZE,
    WIDTH,
    ClassifierNetwork,
    Recipe,
    State,
    accuracy,
    trained,
    unfit,
)
from gan_cli.evaluation.features import exactly, read
from gan_cli.evaluation.metric import Extractor
from gan_cli.evaluation.trained_model import Real
from gan_cli.files import locked
from gan_cli.formatting import percent

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "assets"  # made by benchmarks/classifiers.py --ship
ESTIMATE_AFTER = 2.0  # seconds of training
LINE_EVERY = 30.0  # seconds between lines of progress where there is no bar
FORMAT = 1  # of the file, and of everything about the recipe and network that `Recipe` leaves open


class Classifier(Extractor):
    """Penultimate features [n, 128] and logits of a network that knows the data's own classes.

    Args:
        network: in eval mode.
        test_accuracy: its share of hits on real images that it never saw; None where there are
            none.
    """

    name = "classifier"
    width = WIDTH
    resize = RESIZE

    def __init__(self, network: ClassifierNetwork, test_accuracy: float | None = None) -> None:
        self.network, self.test_accuracy = network, test_accuracy
        self.classes = network.last.out_features
        self.identity = _hash(network)

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, 128] and logits [n, classes] of uint8 [n, C, H, W], on the CPU.

        Raises:
            DataError: the images are not of the form that the classifier has learned from.
        """
        channels, device = len(self.network.mean), self.network.mean.device
        if images.dim() != 4 or images.shape[1] != channels or images.dtype != torch.uint8:
            raise DataError(
                f"{list(images.shape)}: the classifier takes images of {channels} channels alone"
            )
        found = [torch.empty(0, self.width)]
        logits = [torch.empty(0, self.classes)]
        with exactly(), torch.autocast(device.type, enabled=False):
            for some in images.split(AT_ONCE):
                x = self.network.features(some.to(device).float() / 127.5 - 1)
                found.append(x.cpu())
                logits.append(self.network.last(x).cpu())
        return torch.cat(found), torch.cat(logits)


def load(
    real: Real, device: torch.device | str = "cpu", recipe: Recipe | None = None
) -> Classifier:
    """The classifier of a run's data: trained on the train part, tested on the test part.

    Where the data does not come in parts it learns from the whole, and is tested on nothing.

    Raises:
        DataError: the data has no labels, or is no images.
    """
    test = real.part("test") if real.comes_in_parts else None
    return trained_classifier(
        real.part("train"), test, device, lambda count: real.pause(), recipe=recipe
    )


def trained_classifier(
    train: Dataset,
    test: Dataset | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
    recipe: Recipe | None = None,
) -> Classifier:
    """The classifier for `train`: shipped with the program, from the cache, or trained for it.

    Only one process trains it; others that want it wait. A training that was interrupted is
    continued by the next one that wants it.

    Args:
        train: images with labels.
        test: others, for the accuracy.
        device: where it computes.
        progress: called after each step of training with the number of its images, beside the
            bar that is shown; may raise to break off.
        recipe: how it learns.

    Raises:
        DataError: the data has no labels, or is no images.
    """
    if reason := unfit(train):
        raise DataError(f"{train.spec.name}: {reason}")
    recipe, device = recipe or Recipe(), torch.device(device)
    path = place(train, recipe)
    if (SHIPPED / path.name).exists():
        return _kept_or_trained(path, train, test, device, progress, recipe)
    with ExitStack() as stack:
        try:
            doing = f"trains the classifier of {train.spec.name}"
            stack.enter_context(locked(path.with_suffix(".lock"), doing))
        except OSError as error:
            log.warning(f"{error}; others may train the same classifier")
        return _kept_or_trained(path, train, test, device, progress, recipe)


def place(train: Dataset, recipe: Recipe) -> Path:
    """The file in the cache for the classifier of `train`."""
    key = hashlib.sha256(f"{FORMAT} {recipe} {train.fingerprint}".encode()).hexdigest()[:32]
    return cache_folder() / "classifiers" / f"{train.spec.name}-{key}.pt"


def _kept_or_trained(
    path: Path,
    train: Dataset,
    test: Dataset | None,
    device: torch.device,
    progress: Callable[[int], None] | None,
    recipe: Recipe,
) -> Classifier:
    found = _read(SHIPPED / path.name, train, device) or _read(path, train, device)
    network, told = found or (_train(path, train, device, progress, recipe), {})
    known = None if test is None else told.get(test.fingerprint)
    if test is not None and known is None:
        known = told[test.fingerprint] = accuracy(network, test)
        if not found:
            log.info(f"classifier of {train.spec.name} trained: {percent(known, 2)} test accuracy")
    elif found:
        return Classifier(network, known)
    _write(path, network, told)
    return Classifier(network, known)


def _train(
    path: Path,
    train: Dataset,
    device: torch.device,
    progress: Callable[[int], None] | None,
    recipe: Recipe,
) -> ClassifierNetwork:
    partial = path.with_suffix(".partial")
    begun = _read_state(partial)
    name, done = (
        train.spec.name,
        0 if begun is None else begun["step"] * min(recipe.batch, train.spec.size),
    )
    where = f" from {done / recipe.images:.0%} on, where it was interrupted" if done else ""
    log.info(f"training the classifier of {name}{where}, once; later runs find it in the cache")
    with progress_bar(f"classifier of {name}", recipe.images) as advance:
        advance(done)
        pace = _Pace(name, recipe.images, done)

        def all_of_them(count: int) -> None:
            advance(count)
            pace.advance(count)
            if progress is not None:
                progress(count)

        keep = _StateFile(partial)
        network = trained(train, recipe, device, all_of_them, begun, keep)
    with suppress(OSError):  # a read-only cache
        partial.unlink(missing_ok=True)
    return network


class _Pace:
    """Says once how long a training takes, and where there is no bar also how far it is."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.done = name, total, done
        self.first: int | None = None  # done at `begun`
        self.begun = self.said = 0.0
        self.estimated = False

    def advance(self, count: int) -> None:
        """So many images more are done."""
        self.done += count
        now = time.monotonic()
        if self.first is None:  # what the first step takes says nothing of the others
            self.first, self.begun, self.said = self.done, now, now
            return
        due = LINE_EVERY if self.estimated else ESTIMATE_AFTER
        if now - self.said < due or (self.estimated and on_terminal()):
            return
        each = (now - self.begun) / (self.done - self.first)
        left = formatting.show_duration(each * max(0, self.total - self.done))
        if self.estimated:
            log.info(f"classifier of {self.name}: {self.done / self.total:.0%}, {left} left")
        else:
            log.info(
                f"the classifier of {self.name} takes about {left}; an interruption loses "
                "a few seconds of it"
            )
        self.estimated, self.said = True, now


class _StateFile:
    """Keeps the state of an unfinished training, until that fails."""

    def __init__(self, path: Path) -> None:
        self.path, self.works = path, True

    def __call__(self, state: State) -> None:
        if not self.works:
            return
        try:
            with files.replacing(self.path) as file:
                torch.save(state, file)
        except (OSError, RuntimeError, UserError) as error:  # torch hides a full disk in the second
            log.warning(f"{error}; an interruption loses what the classifier has learned")
            self.works = False


def _read_state(path: Path) -> State | None:
    """What `_StateFile` kept; None where there is nothing that can be read."""
    if not path.is_file():
        return None
    try:
        state = read(path)
        if not {"step", "network", "optimizer"} <= state.keys():
            raise ValueError("another format")
    except Exception as error:  # damaged bytes can fail in any way
        log.warning(f"{path}: damaged ({type(error).__name__}), so the training starts again")
        return None
    return state


def _read(
    path: Path, train: Dataset, device: torch.device
) -> tuple[ClassifierNetwork, dict[str, float]] | None:
    """The network that is kept there, and its accuracies by their test data's fingerprints."""
    if not path.is_file():
        return None
    channels, height, width = train.spec.shape
    network = ClassifierNetwork((channels, height, width), train.spec.classes)
    try:
        state: dict[str, Any] = read(path)
        network.load_state_dict(state["network"])
        told = {str(data): float(share) for data, share in state["accuracies"].items()}
        if not all(bool(x.isfinite().all()) for x in network.state_dict().values()):
            raise ValueError("not finite")
    except Exception as error:  # damaged bytes can fail in any way
        log.warning(f"{path}: damaged ({type(error).__name__}), so the classifier is trained again")
        return None
    return network.placed(device).eval().requires_grad_(False), told


def _write(path: Path, network: ClassifierNetwork, accuracies: dict[str, float]) -> None:
    """Keep it for all who come later; a cache that cannot be written is only a pity."""
    weights = {name: x.detach().cpu().contiguous() for name, x in network.state_dict().items()}
    try:
        with files.replacing(path) as file:
            torch.save({"network": weights, "accuracies": accuracies}, file)
    except (OSError, RuntimeError, UserError) as error:  # torch hides a full disk in the second
        log.warning(f"{error}; the classifier is not kept")


def _hash(network: ClassifierNetwork) -> str:
    """A sha256 of all weights and statistics."""
    digest = hashlib.sha256()
    for name, x in sorted(network.state_dict().items()):
        digest.update(f"{name} {list(x.shape)}".encode())
        digest.update(x.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
