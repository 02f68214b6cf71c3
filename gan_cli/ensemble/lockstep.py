"""Runs that keep their ordinary loops, each in a thread of its own, and make their steps as one.

One thread runs at a time. In each round the members run in turn, each up to its next step or to its
end; then the main thread makes the step of all of them. So signals, which reach the main thread,
arrive within a step or while it waits, and nothing else needs a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from gan_cli.ensemble.ensemble import Ensemble
from gan_cli.exits import FAILED, INTERRUPTED, guarded
from gan_cli.training.setup import Session


class Member(threading.Thread):
    """A run in a thread of its own.

    Args:
        name: of the run; the thread has it too.
        session: what it trains.
        train: trains the session with the given function as its step; returns the exit status.
    """

    def __init__(
        self, name: str, session: Session, train: Callable[[Callable[[bool], None]], int]
    ) -> None:
        super().__init__(name=name, daemon=True)  # one that hangs does not keep the program
        self.session = session
        self.status: int | None = None  # exit status, once it has ended
        self.measure = False  # of its next step
        self.waiting = True  # for its turn, or ended
        self.error: BaseException | None = None  # that its step raises
        self.turn: SimpleQueue[None] = SimpleQueue()
        self.following: SimpleQueue[None] = SimpleQueue()  # the turn of the next
        self._train = train

    def advance(self, measure: bool) -> None:
        """Leave the turn to the others, and return once the step of all is made.

        Raises:
            BaseException: the step failed, or a second signal asks to end at once.
        """
        self.measure = measure
        self._end_turn()
        self.turn.get()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Train, from the first turn on."""
        self.turn.get()
        status = FAILED
        try:
            status = guarded(self._quietly)
        finally:
            self.status = status
            self._end_turn()

    def _quietly(self) -> int:
        try:
            return self._train(self.advance)
        except KeyboardInterrupt:  # reported once for all
            return INTERRUPTED

    def _end_turn(self) -> None:
        self.waiting = True
        self.following.put(None)


def train_in_lockstep(members: Sequence[Member]) -> None:
    """Train members until the last one has ended.

    One that ends leaves the others; a step that fails ends all of them. The last one left makes
    its steps alone.
    """
    turn: SimpleQueue[None] = SimpleQueue()
    for member in members:
        member.start()
    error = take_turns(members, turn, None)
    ensemble: Ensemble | None = None
    while training := [member for member in members if member.status is None]:
        if error is None:
            measure = any(member.measure for member in training)
            try:
                if len(training) == 1:
                    training[0].session.trainer.advance(measure)
                else:
                    if ensemble is None:
                        ensemble = Ensemble([member.session for member in training])
                    ensemble.advance(measure)
            except BaseException as raised:
                error = raised
        error = take_turns(training, turn, error)
        if ensemble is not None and any(member.status is not None for member in training):
            ensemble.dissolve()
            ensemble = None


def take_turns(
    members: Sequence[Member], turn: SimpleQueue[None], error: BaseException | None
) -> BaseException | None:
    """Let each member run in turn, up to its next step or its end.

    Args:
        members: all of them waiting.
        turn: of this thread, after the last of them.
        error: that their last step raises.

    Returns:
        The error that their next step raises already: a second signal has asked to end at once.
    """
    for member, following in zip(members, [*(m.turn for m in members[1:]), turn], strict=True):
        member.following, member.error, member.waiting = following, error, False
    members[0].turn.put(None)
    interrupt: KeyboardInterrupt | None = None
    while not members[-1].waiting:
        try:
            turn.get()
        except KeyboardInterrupt as raised:
            if interrupt is not None:  # a member hangs
                raise
            interrupt = raised
            for member in members:
                member.error = raised
    return interrupt
