"""Claiming: asks for as many runs as a worker has room for, and begins what it is given.

Before it claims it turns changes of the application's rows into runs, if its application declares
triggers on tables.

A claim goes to the lane together with what the last runs have ended with, so both are one
transaction.

Suspects (`rules/suspicion.py`) are performed with no company. A worker that has a supervisor leaves
them to a process of their own; another one takes them when it has nothing else to do.
"""

from __future__ import annotations

import asyncio
import logging

from backroom.engine.alarm import Alarm
from backroom.engine.hands import Hands
from backroom.engine.office import Office
from backroom.engine.seat import Seat
from backroom.records.errors import StoreError
from backroom.records.runs import Claims
from backroom.records.triggers import Fired
from backroom.store.verbs import Claim, Fire, Reconcile

__all__ = ["Claiming"]

log = logging.getLogger("backroom.worker")

BUSY_SECONDS = 0.005  # until it looks again at a queue whose lock another worker had


class Claiming:
    def __init__(
        self,
        office: Office,
        seat: Seat,
        hands: Hands,
        alarm: Alarm,
        concurrency: int,
        *,
        watches: bool = False,
    ) -> None:
        self._office = office
        self._seat = seat
        self._hands = hands
        self._alarm = alarm
        self._concurrency = concurrency
        self._watches = watches  # changes of the application's rows start some of our flows
        self.stopping = False
        self.suspects = False  # some wait, and it falls to us to perform them
        self._alone = ""  # the suspect that is performed and must have no company
        self._floors: dict[tuple[str, int], int] = {}
        self._full_look_at = 0.0
        self._ruled = False  # some of our queues have rules, as the last claim has told
        self._failures = 0

    async def until_stopped(self) -> None:
        """Claim whenever there may be work and there is room."""
        while not self.stopping:
            attempts = self._hands.attempts
            room = 0 if self._alone in attempts else self._concurrency - len(attempts)
            self._alarm.hush()
            next_look = self._alarm.poll_seconds
            if room > 0 and self._seat.holds():
                if self._watches and await self._fire():
                    self._alarm.ring()  # there are more
                claims = await self._claim(room)
                if claims is None:
                    next_look = min(0.05 * 2**self._failures, 5.0)
                else:
                    for run in claims.runs:
                        self._hands.begin(run)
                    learnt = claims.ruled and not self._ruled
                    self._ruled = claims.ruled
                    if len(claims.runs) == room or learnt or await self._take_suspect():
                        continue
                    if claims.busy:
                        next_look = min(next_look, BUSY_SECONDS * (1 + self._office.world.chance()))
                    if claims.next_due_at is not None:
                        next_look = min(
                            next_look, max(0, claims.next_due_at - claims.now) / 1_000_000
                        )
            await self._alarm.until_there_may_be_work(next_look)

    async def suspects_only(self) -> None:
        """Suspects one after another, until there are none."""
        while not self.stopping:
            self._alarm.hush()
            if not self._hands.attempts and self._seat.holds():
                self.suspects = True
                if not await self._take_suspect() and not self._failures:
                    return
            await self._alarm.until_there_may_be_work(self._alarm.poll_seconds)

    async def _fire(self) -> bool:
        """Turn changes of rows into runs, if there are any. Whether there are more."""
        office = self._office
        try:
            if not await asyncio.wrap_future(office.read(lambda reader: reader.any_changes())):
                return False
            fired: Fired = await office.doors.submit(Fire())
        except StoreError as error:
            log.warning("Can't look for changes of rows right now: %s", error)
            return False
        return fired.more

    async def _take_suspect(self) -> bool:
        """With nothing else to do, perform a suspect, and nothing beside it. Whether there was
        one."""
        if self._hands.attempts or not self.suspects:
            return False
        claims = await self._claim(1, suspects=True)
        self.suspects = claims is not None and bool(claims.runs)
        for run in claims.runs if claims is not None else ():
            self._alone = run.id
            self._hands.begin(run)
        return self.suspects

    async def _claim(self, room: int, *, suspects: bool = False) -> Claims | None:
        """Ask for up to `room` runs. None: the database failed, look again later."""
        main = self._office.main
        seat = self._seat
        try:
            if self._hands.doubtful:
                # What we were given may differ from what we know of: give the difference back.
                self._hands.doubtful = False  # first: what fails meanwhile is a new doubt
                await main.submit(Reconcile(seat.id, self._hands.held()))
            floors = {} if suspects else self._floors_now()
            claims: Claims = await main.submit(
                Claim(
                    seat.id,
                    seat.queues,
                    seat.flows,
                    room,
                    floors,
                    suspects=suspects,
                    ruled=self._ruled,
                )
            )
        except StoreError as error:
            self._hands.doubtful = True
            self._failures = min(self._failures + 1, 8)
            log.warning("Can't look for work right now: %s", error)
            return None
        self._failures = 0
        for run in claims.runs:
            place = (run.queue, run.priority)
            self._floors[place] = max(self._floors.get(place, 0), run.due_at - 1_000_000)
        return claims

    def _floors_now(self) -> dict[tuple[str, int], int]:
        """Where to start the scan. Once a second nowhere: a caller's long transaction may bring in
        runs that have been due for a while, and clocks may be set back."""
        now = self._office.world.monotonic()
        if now - self._full_look_at >= 1.0:
            self._full_look_at = now
            return {}
        return dict(self._floors)
