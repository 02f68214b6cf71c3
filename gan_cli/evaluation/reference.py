"""The real side of every comparison: the data set's parts, and extractors' features of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gan_cli.config.build import Trust, build, resolve
from gan_cli.data.dataset import Dataset
from gan_cli.data.progress import progress_bar
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation import keeping
from gan_cli.evaluation.collecting import Collector, merged, quantised
from gan_cli.evaluation.measure import Extractor, Features
from gan_cli.seeding import mix

HALVES = 0x4A17  # the random stream that cuts real data in two; the same for everybody
READ = 1024  # real samples that are read at once
WHOLE = "all"


def nothing() -> None:
    """The `pause` of who cannot be interrupted."""


class Real:
    """Real data as a run's settings describe it, read once and shared by all measures.

    Args:
        node: the settings' `data`.
        split: of the figures.
        trust: whose classes may be built.
        known: the part that is in memory already, where one is: the one to train on.
        pause: called now and then; may raise to break off.
        outputs: folders that the run's command wrote to, which are no data.

    Raises:
        ConfigError: the data does not come in parts, and `split` is one.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        split: str = "train",
        trust: Trust | None = None,
        known: Dataset | None = None,
        pause: Callable[[], None] = nothing,
        outputs: Sequence[str] = (),
    ) -> None:
        self.outputs = tuple(outputs)
        self.node, self.split, self.trust, self.pause = node, split, trust or Trust(), pause
        target = resolve(node.get("_target_"), self.trust, "data")
        takes = inspect.signature(target).parameters
        self.comes_in_parts = target.comes_in_parts({**node, "outputs": self.outputs})
        if split == "test" and not self.comes_in_parts:
            raise ConfigError(
                f"split = test: {target.__name__} has no part for testing; use split=train, which "
                "compares with the whole data"
            )
        self.trained_on = WHOLE
        if self.comes_in_parts:
            self.trained_on = node.get("split") or takes["split"].default or "train"
        self._sets = {} if known is None else {self.trained_on: known}
        self._halves: dict[str, keeping.Halves] = {}

    @property
    def has_test(self) -> bool:
        """Whether there is a part that training never sees."""
        return self.comes_in_parts and self.trained_on == "train"

    def part(self, split: str) -> Dataset:
        """The data of a part; the whole where it does not come in parts.

        Raises:
            DataError: it is "test", and there is none; or the data cannot be had.
        """
        if not self.comes_in_parts:
            if split == "test":
                raise DataError("split = test: this data has no part for testing")
            split = WHOLE
        if split not in self._sets:
            node = {**self.node, "split": split} if self.comes_in_parts else self.node
            found: Dataset = build(node, "data", self.trust, outputs=list(self.outputs))
            for other, known in self._sets.items():
                _check_alike(split, found, other, known)
            self._sets[split] = found
        return self._sets[split]

    def described(self) -> str:
        """What figures compare with, in words."""
        return self.split if self.comes_in_parts else "all (the data has no parts)"

    def reference(self, extractor: Extractor) -> Features:
        """Of the whole split; what is kept is a random choice."""
        return merged(*self.halves(extractor))

    def halves(self, extractor: Extractor) -> keeping.Halves:
        """Of two disjoint random halves of the split, from memory, from the cache, or computed.

        Raises:
            DataError: there are too few samples.
        """
        data = self.part(self.split)
        path = keeping.place(data.fingerprint, extractor)
        if path.name not in self._halves:
            found = keeping.load(path)
            if found is None:
                found = self._computed(data, extractor)
                keeping.save(path, found)
            self._halves[path.name] = found
        return self._halves[path.name]

    def _computed(self, data: Dataset, extractor: Extractor) -> keeping.Halves:
        size = data.spec.size
        if size < 4:
            raise DataError(f"{data.spec.name}: {size} samples are too few to evaluate with")
        generator = torch.Generator().manual_seed(mix(HALVES))
        order = torch.randperm(size, generator=generator)
        what = f"{data.spec.name} through {extractor.name}"
        with progress_bar(what, size) as advance:
            first, second = (
                self._one(data, extractor, places, advance) for places in order.tensor_split(2)
            )
        return first, second

    def _one(
        self,
        data: Dataset,
        extractor: Extractor,
        places: torch.Tensor,
        advance: Callable[[int], None],
    ) -> Features:
        collector = Collector(extractor)
        for some in places.split(READ):
            self.pause()
            index = some.to(data.device)
            labels = data.labels(index)
            images = quantised(data.real(index))
            collector.add(images, None if labels is None else labels.cpu())
            advance(len(some))
        return collector.features()


def _check_alike(split: str, data: Dataset, other: str, known: Dataset) -> None:
    """Refuse parts of one data set that cannot be compared, as parts of a folder may be.

    Raises:
        DataError: their shapes or classes differ.
    """
    for what, here, there in (
        ("shape", list(data.spec.shape), list(known.spec.shape)),
        ("classes", data.spec.class_names, known.spec.class_names),
    ):
        if here != there:
            raise DataError(
                f"{data.spec.name}: the {what} of its {split} samples, {_few(here)}, and of its "
                f"{other} samples, {_few(there)}, differ; they have to be the same"
            )


def _few(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:10])) + (" ..." if len(values) > 10 else "")
