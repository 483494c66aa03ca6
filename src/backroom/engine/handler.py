"""The seam between the engine and the author's code.

The engine moves runs; a handler knows what a run does. This file is all that the engine knows of
user code, and all that a handler knows of the engine. `flows/performer.py` implements `Handler`,
`engine/attempt.py` implements `Desk`, and `app` plugs the two together. `Clockwork` is the same for
schedules: a worker knows when to ask, and nothing of calendars.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from backroom.engine.world import World
from backroom.records.outcome import Outcome
from backroom.records.runs import Claimed, Mail, RunRow
from backroom.records.schedules import DueSchedule
from backroom.store.limit import Limit
from backroom.store.protocol import Reader
from backroom.store.verbs import SaveStep, Verb

__all__ = ["Clockwork", "Desk", "Handler", "Performance"]

T = TypeVar("T")


class Desk(Protocol):
    """What one attempt may ask of the engine."""

    world: World

    def submit(self, verb: Verb) -> asyncio.Future[Any]:
        """Commit a verb with the next group; the future has its answer after the commit."""
        ...

    def call(self, verb: Verb) -> Any:
        """The same for a thread that can wait; refusals are raised."""
        ...

    def post(self, verb: Verb) -> None:
        """The same for a verb whose answer nobody needs."""
        ...

    def transact(self, body: Callable[[Any], SaveStep], limit: Limit | None = None) -> None:
        """Perform an author's SQL and keep its checkpoint in one transaction, from a thread that
        can wait; as `Store.transact` says."""
        ...

    def mark(self, connection: Any, cause: str) -> None:
        """Say whose work the caller's open transaction is; as `Store.mark` says."""
        ...

    def read(self, look: Callable[[Reader], T]) -> Future[T]:
        """Run a look at the database in the reading thread."""
        ...

    def watch(self) -> None:
        """This attempt has a wait in memory (another branch is busy): bring it the news."""
        ...


class Performance(Protocol):
    """One attempt of one run, from the handler's side."""

    async def perform(self) -> Outcome:
        """Run the author's function to its outcome. Never raises."""
        ...

    def interrupt(self, outcome: Outcome) -> None:
        """Stop as soon as possible and end with this outcome (cancel, hand-back, lost lease)."""
        ...

    def children(self) -> Sequence[str]:
        """The ids of the runs that its waits in memory wait for."""
        ...

    def windows(self) -> Sequence[str]:
        """The windows of children that its waits in memory wait for."""
        ...

    def waits_for_locks(self) -> bool:
        """Whether some of its waits in memory are for locks."""
        ...

    def news(
        self,
        now: int,
        mail: Sequence[Mail],
        ended: Sequence[RunRow],
        over: Sequence[str],
        held: Sequence[str],
    ) -> None:
        """What has happened to the run's waits in memory: its new mail, runs that have ended,
        windows that are over, addresses at which it has its locks. `now` is the database's
        clock."""
        ...


class Handler(Protocol):
    """What turns claimed runs into performances."""

    def flows(self) -> tuple[str, ...]:
        """The flows this process knows; others are not claimed."""
        ...

    def queues(self) -> tuple[str, ...]:
        """The queues that its flows are started on by default, and those that are declared."""
        ...

    def watches(self) -> bool:
        """Whether changes of the application's rows start its flows."""
        ...

    def open(self, claimed: Claimed, desk: Desk) -> Performance: ...

    def close(self) -> None:
        """The worker has stopped: let go of what its performances had in common. May block."""
        ...


class Clockwork(Protocol):
    """What knows when schedules are due and what their runs look like; `schedules/scheduler.py`."""

    def flows(self) -> tuple[str, ...]:
        """The flows whose schedules it can decide about."""
        ...

    def decide(self, due: Sequence[DueSchedule], now: int) -> list[list[Verb]]:
        """What to do about schedules that are due: for each the verbs of one transaction. In
        the reading thread."""
        ...
