"""The timekeeper: what becomes due by the clock alone, without anybody's asking.

    schedules   start what is due, each slot once (the decisions are the clockwork's)
    expiry      end runs that haven't begun in time, of whatever queue

Once a second one cheap look tells of both, and when the next slot is; then it wakes at that time.
So a schedule that waits costs nothing. Anybody may do all of this: a slot that another worker was
faster with is found decided, and the next look says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from backroom.engine.futures import rung_within
from backroom.engine.handler import Clockwork
from backroom.engine.office import Office
from backroom.records import limits
from backroom.records.errors import StoreError
from backroom.store.protocol import Reader
from backroom.store.verbs import Expire, Verb

__all__ = ["Timekeeper"]

LOOK_SECONDS = 1.0  # between two looks
CONTEST_SECONDS = 0.05  # until the next one if there was nothing left to decide
SCHEDULES = 20  # schedules that one look decides about


class Timekeeper:
    """Belongs to one loop. `ring`: called when it has made work."""

    def __init__(
        self, office: Office, clockwork: Clockwork | None, ring: Callable[[], None]
    ) -> None:
        self._office = office
        self._clockwork = clockwork
        self._flows = () if clockwork is None else clockwork.flows()
        self._ring = ring
        self._moved = asyncio.Event()

    async def keep_time(self) -> None:
        while True:
            pause = LOOK_SECONDS
            with contextlib.suppress(StoreError):  # a database that fails is asked again
                pause = await self._look()
            if pause > 0:
                self._moved.clear()
                await rung_within(pause, self._moved)

    def clock_moved(self) -> None:
        """The database's clock was moved: look now. For tests."""
        self._moved.set()

    async def _look(self) -> float:
        """Do what is due; how many seconds to wait for the next look."""
        chores = await asyncio.wrap_future(
            self._office.read(lambda reader: reader.chores(self._flows))
        )
        pause = LOOK_SECONDS
        if chores.next_at is not None:
            pause = min(pause, (chores.next_at - chores.now) / 1_000_000)
        if pause <= 0:
            pause = 0 if await self._start_what_is_due() else CONTEST_SECONDS
        if chores.expired:
            await self._office.main.submit(Expire(limits.SWEEP_RUNS))
            self._ring()  # perhaps a run waits for one of them
            pause = 0
        return pause

    async def _start_what_is_due(self) -> bool:
        """Whether there was anything to decide."""
        clockwork = self._clockwork
        assert clockwork is not None

        def decide(reader: Reader) -> list[list[Verb]]:
            due = reader.due_schedules(self._flows, SCHEDULES)
            return clockwork.decide(due, reader.now()) if due else []

        decisions = await asyncio.wrap_future(self._office.read(decide))
        committed = [self._office.main.together(verbs) for verbs in decisions]
        await asyncio.gather(*map(asyncio.wrap_future, committed))
        if decisions:
            self._office.ring()
        return bool(decisions)
