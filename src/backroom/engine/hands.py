"""What a worker has in hand: attempts, from the claimed run to the verb that ends it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from functools import partial

from backroom.engine.attempt import Attempt, Watches, ending_verb
from backroom.engine.futures import rung_within
from backroom.engine.handler import Handler
from backroom.engine.office import Office
from backroom.records.errors import BackroomError, StoreError
from backroom.records.outcome import (
    Failed,
    HandedBack,
    Lost,
    NeedsAttention,
    Outcome,
    TryAgain,
)
from backroom.records.runs import Claimed
from backroom.store.verbs import HandBack

__all__ = ["Hands"]

log = logging.getLogger("backroom.worker")


class Hands:
    """The attempts of one worker. `freed`: called when one has ended."""

    def __init__(
        self, office: Office, handler: Handler, watches: Watches, freed: Callable[[], None]
    ) -> None:
        self._office = office
        self._handler = handler
        self._watches = watches
        self._freed = freed
        self.attempts: dict[str, Attempt] = {}
        self._ending: set[tuple[str, int]] = set()  # ended here, not yet in the database
        self.doubtful = False  # the database may think that we hold more than we do
        self._idle = asyncio.Event()
        self._kept = asyncio.Event()

    def held(self) -> frozenset[tuple[str, int]]:
        """(run id, attempt) of all that the database may rightly think we hold."""
        attempts = {(run_id, a.claimed.attempt) for run_id, a in self.attempts.items()}
        return frozenset(attempts | self._ending)

    def begin(self, run: Claimed) -> None:
        attempt = Attempt(run, self._office, self._watches)
        self.attempts[run.id] = attempt
        self._idle.clear()
        attempt.task = asyncio.get_running_loop().create_task(self._perform(attempt))

    async def _perform(self, attempt: Attempt) -> None:
        run = attempt.claimed
        try:
            attempt.performance = self._handler.open(run, attempt)
            outcome = await attempt.performance.perform()
        except (
            Exception
        ) as error:  # a fault of ours: the run must not be held for ever because of it
            log.exception("run %s of %s could not be performed", run.id, run.flow)
            outcome = NeedsAttention(
                json.dumps({"kind": type(error).__name__, "message": str(error)})
            )
        if self.attempts.get(run.id) is attempt:
            self._end(attempt, outcome)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        run = attempt.claimed
        del self.attempts[run.id]
        attempt.let_go()
        self._freed()  # before the end is told: so the next claim goes to the lane with it
        verb = ending_verb(run, outcome)
        note(run, outcome)
        if verb is not None:
            try:
                self._office.main.tell(verb, partial(self._ended, (run.id, run.attempt)))
            except BackroomError:  # the lane is full or closed
                self.doubtful = True
            else:
                self._ending.add((run.id, run.attempt))
        if not self.attempts:
            self._idle.set()

    def _ended(self, attempt: tuple[str, int], answer: object) -> None:
        self._ending.discard(attempt)
        if isinstance(answer, StoreError):
            self.doubtful = True  # it may still be ours in the database
        if not self._ending:
            self._kept.set()

    def interrupt(self, outcome: Outcome) -> None:
        """Have all attempts end with this."""
        for attempt in list(self.attempts.values()):
            attempt.interrupt(outcome)

    def drop(self) -> None:
        """Others have our runs."""
        self.interrupt(Lost())

    async def hand_back(self) -> None:
        """Have none left, and every end in the database."""
        self.interrupt(HandedBack())
        if self.attempts:
            await rung_within(1.0, self._idle)
        main = self._office.main
        # What still goes on is in threads that can't be stopped; its late writes will be refused.
        stuck = [
            main.submit(HandBack(a.claimed.id, a.claimed.attempt)) for a in self.attempts.values()
        ]
        self.attempts.clear()
        await asyncio.gather(*stuck, return_exceptions=True)
        while self._ending:
            self._kept.clear()
            await self._kept.wait()


def note(run: Claimed, outcome: Outcome) -> None:
    """A line in the log for what a person may want to know of; its traceback is kept with the
    run."""
    match outcome:
        case Failed(error):
            what, level = "failed", logging.ERROR
        case NeedsAttention(error):
            what, level = "needs attention", logging.ERROR
        case TryAgain(_, error):
            what, level = "failed and will be tried again", logging.WARNING
        case _:
            return
    fields = {"run_id": run.id, "flow": run.flow, "attempt": run.attempt}
    log.log(level, "run %s of %s %s: %s", run.id, run.flow, what, in_short(error), extra=fields)


def in_short(error: str) -> str:
    try:
        told = json.loads(error)
        text = f"{told['kind']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        text = error
    return text if len(text) <= 300 else f"{text[:300]}…"
