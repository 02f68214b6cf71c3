"""Single-process stand-in for `group.Group`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from torch import Tensor, nn

Value = TypeVar("Value")
Gather = Callable[[Sequence[nn.Parameter]], None]
Drawing = Callable[[], AbstractContextManager[object]]


class Ranks:
    """The processes that train a run, as one of them sees them; here it is the only one.

    `group.Group` is the same for several. Methods marked "(together)" must be called by all ranks,
    in the same order.
    """

    rank, count = 0, 1
    echo = 0.0  # seconds within which a second signal repeats the first one

    @property
    def first(self) -> bool:
        """Whether this is the rank that owns files, log, pictures and evaluation."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this rank, where the user wants `name`."""
        return name

    def check(self, batch_size: int, pack: int) -> None:
        """Check that a batch of `batch_size` can be shared, in whole packs of `pack`.

        Raises:
            ConfigError: it cannot.
        """

    def gather(self) -> Gather | None:
        """A function that averages the gradients of parameters over the ranks (together)."""
        return None

    def drawing(self, sizes: frozenset[int]) -> Drawing:
        """A context in which random numbers of samples are this rank's part of the batch's.

        Args:
            sizes: first dimensions of what this rank draws for its samples (see `Model.rows`).
        """
        return nullcontext

    def sharing_errors(self) -> AbstractContextManager[None]:
        """Within it, an error of one rank ends all ranks, with its message (together)."""
        return nullcontext()

    def share(self, value: Value) -> Value:
        """The first rank's value, on every rank (together)."""
        return value

    def agree(self, *numbers: int) -> tuple[int, ...]:
        """The maximum over the ranks of each of the numbers (together)."""
        return numbers

    def add(self, values: Tensor) -> None:
        """Replace a tensor by its sum over the ranks (together)."""

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks (together)."""

    def require_equal(self, values: Sequence[Tensor]) -> None:
        """Check that all ranks hold the same values (together).

        Raises:
            UserError: they do not.
        """

    def on_loss(self, report: Callable[[str], None]) -> None:
        """Have `report` called, from another thread, before a lost rank ends this process."""


ALONE = Ranks()
