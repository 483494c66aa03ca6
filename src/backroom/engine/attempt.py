"""One attempt: from a claimed run to the verb that ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from backroom.engine.handler import Performance
from backroom.engine.office import Office
from backroom.records.outcome import (
    Cancelled,
    Failed,
    HandedBack,
    Lost,
    NeedsAttention,
    Outcome,
    Parked,
    Succeeded,
    TryAgain,
)
from backroom.records.runs import Claimed
from backroom.records.states import State
from backroom.store.limit import Limit
from backroom.store.protocol import Reader
from backroom.store.verbs import (
    Again,
    Attention,
    Fenced,
    HandBack,
    Park,
    SaveStep,
    Settle,
    Verb,
)

__all__ = ["Attempt", "ending_verb"]

T = TypeVar("T")


class Watches(Protocol):
    """Where an attempt with waits in memory is put down for news."""

    def watch(self, attempt: Attempt) -> None: ...


class Attempt:
    """A claimed run while this process performs it; also the desk its performance works at."""

    __slots__ = ("_lane", "_office", "_watches", "claimed", "performance", "task", "world")

    def __init__(self, claimed: Claimed, office: Office, watches: Watches) -> None:
        self.claimed = claimed
        self.world = office.world
        self._lane = office.main
        self._office = office
        self._watches = watches
        self.performance: Performance | None = None
        self.task: asyncio.Task[None] | None = None

    def submit(self, verb: Verb) -> asyncio.Future[Any]:
        return self._lane.submit(verb)

    def call(self, verb: Verb) -> Any:
        return self._lane.call(verb)

    def post(self, verb: Verb) -> None:
        self._lane.post(verb)

    def transact(self, body: Callable[[Any], SaveStep], limit: Limit | None = None) -> None:
        self._office.store.transact(body, limit, cause=self.claimed.id)

    def mark(self, connection: Any, cause: str) -> None:
        self._office.store.mark(connection, cause)

    def read(self, look: Callable[[Reader], T]) -> Future[T]:
        return self._office.read(look)

    def watch(self) -> None:
        self._watches.watch(self)

    def let_go(self) -> None:
        """It has ended. What performed it refers to us: left as they are, the circle would wait for
        the garbage collector, which costs as much as a run."""
        self.performance = None
        self.task = None

    def interrupt(self, outcome: Outcome) -> None:
        if self.performance is not None:
            self.performance.interrupt(outcome)


def ending_verb(run: Claimed, outcome: Outcome) -> Fenced | None:
    """What has to be written for an outcome; None: nothing, the run is no longer ours."""
    match outcome:
        case Succeeded(result):
            return Settle(run.id, run.attempt, State.SUCCEEDED, result=result)
        case Failed(error):
            return Settle(run.id, run.attempt, State.FAILED, error=error)
        case Cancelled(reason):
            error = json.dumps({"kind": "Cancelled", "message": reason}, ensure_ascii=False)
            return Settle(run.id, run.attempt, State.CANCELLED, error=error)
        case Parked(waits, steps, backwards, timeless):
            return Park(run.id, run.attempt, waits, steps, backwards, timeless)
        case TryAgain(delay_us, error):
            return Again(run.id, run.attempt, delay_us, error)
        case NeedsAttention(error):
            return Attention(run.id, run.attempt, error)
        case HandedBack():
            return HandBack(run.id, run.attempt)
        case Lost():
            return None
