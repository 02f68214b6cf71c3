"""One process by itself, which is what every part of a run sees unless torchrun started several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from torch import Tensor, nn

Result = TypeVar("Result")
Gather = Callable[[Sequence[nn.Parameter]], None]
Drawing = Callable[[], AbstractContextManager[object]]


class Ranks:
    """The processes of a run, as one of them sees them; here there is no other.

    `group.Group` is the same for several. Methods that work together say so: all ranks must call
    them, in the same order.
    """

    rank, count = 0, 1
    echo = 0.0  # seconds within which a second signal is the first one heard again

    @property
    def first(self) -> bool:
        """Whether this is the rank that owns files, log, pictures and evaluation."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The own device of this rank, where the user wants `name`."""
        return name

    def check(self, batch_size: int, pack: int) -> None:
        """See that a batch of `batch_size` can be shared, in whole packs of `pack`.

        Raises:
            ConfigError: it cannot.
        """

    def gather(self) -> Gather | None:
        """What makes the gradients of some parameters their means over the ranks (together)."""
        return None

    def drawing(self, batch_size: int, pack: int) -> Drawing:
        """A context in which what is drawn for the samples is this rank's part of all of it."""
        return nullcontext

    def lead(self, work: Callable[[], Result]) -> Result | None:
        """Do `work` on the first rank; None on others. All fail where it fails (together)."""
        return work()

    def share(self, work: Callable[[], Result]) -> Result:
        """Do `work` on the first rank, and give its result to all (together)."""
        return work()

    def each(self, work: Callable[[], Result]) -> Result:
        """Do `work` on every rank; all fail where one does (together)."""
        return work()

    def agree(self, *numbers: int) -> tuple[int, ...]:
        """The largest that any rank has of each of the numbers (together)."""
        return numbers

    def add(self, values: Tensor) -> None:
        """Replace a tensor by its sum over the ranks (together)."""

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks (together)."""

    def require_equal(self, values: Sequence[Tensor]) -> None:
        """See that all ranks hold the same (together).

        Raises:
            UserError: they do not.
        """

    def on_loss(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called, from another thread, before a lost rank ends this process."""


ALONE = Ranks()
