"""What a worker does beside its runs, each a loop that goes round for ever.

    heed cancels       see who of ours is asked to stop
    rescue             release the runs of dead workers
    look for suspects  see whether runs wait that nobody may perform beside others
    prune              remove runs that ended long ago

Anybody may do all but the first, for everybody's runs, and it takes nothing to find none. A
database that fails is asked again on the next round.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from backroom.engine.hands import Hands
from backroom.engine.office import Office
from backroom.engine.seat import Seat
from backroom.engine.settings import WorkerSettings
from backroom.records import limits
from backroom.records.errors import StoreError
from backroom.records.outcome import Cancelled
from backroom.records.queues import Pruned
from backroom.store.verbs import Prune, Rescue

__all__ = ["Duties"]

log = logging.getLogger("backroom.worker")

CANCELS_SECONDS = 0.25  # between two looks for cancels while runs are performed
SUSPECTS_SECONDS = 1.0  # between two looks for suspects
SUSPECTS = 100  # how many are told of; no supervisor has so many processes for them
PRUNE_SECONDS = 600.0  # between two walks through the runs that ended long ago
BITE = 100  # runs that are looked at, and removed if old enough, in one transaction
BITE_SECONDS = 0.25  # between two bites of a walk


class Duties:
    """`ring`: called when one of them has made work. `found`: called with the number of suspects
    that wait."""

    def __init__(
        self,
        office: Office,
        settings: WorkerSettings,
        seat: Seat,
        hands: Hands,
        *,
        ring: Callable[[], None],
        found: Callable[[int], None],
    ) -> None:
        self._office = office
        self._settings = settings
        self._seat = seat
        self._hands = hands
        self._ring = ring
        self._found = found

    async def heed_cancels(self) -> None:
        attempts = self._hands.attempts
        while True:
            await asyncio.sleep(CANCELS_SECONDS if attempts else 1.0)
            if not attempts:
                continue
            try:
                asked = await asyncio.wrap_future(
                    self._office.read(lambda reader: reader.cancelled(self._seat.id))
                )
            except StoreError:
                continue
            for run_id, reason in asked:
                attempt = attempts.get(run_id)
                if attempt is not None:
                    attempt.interrupt(Cancelled(reason))

    async def rescue(self) -> None:
        while True:
            released: Sequence[str] = ()
            if self._seat.holds():
                with contextlib.suppress(StoreError):
                    released = await self._office.main.submit(Rescue(limits.STARTS))
            if released:
                log.warning("released %d runs of workers that died", len(released))
                self._ring()
            await asyncio.sleep(self._seat.term.pause_seconds)

    async def look_for_suspects(self) -> None:
        seat = self._seat
        while not self._settings.only_suspects:
            found = 0
            with contextlib.suppress(StoreError):
                found = await asyncio.wrap_future(
                    self._office.read(
                        lambda reader: reader.suspects(seat.queues, seat.flows, SUSPECTS)
                    )
                )
            if found:
                self._found(found)
            await asyncio.sleep(min(self._seat.term.pause_seconds, SUSPECTS_SECONDS))

    async def prune(self) -> None:
        """In small bites and on the lane that no checkpoint waits for. Every worker does, each at
        times of its own; those who meet pass each other by."""
        if not self._settings.keep or self._settings.only_suspects:
            return
        older_than_us = int(self._settings.keep * 1_000_000)
        while True:
            await asyncio.sleep(PRUNE_SECONDS * (0.1 + 0.9 * self._office.world.chance()))
            after, removed = None, 0
            with contextlib.suppress(StoreError):  # later, then
                while True:
                    bite = Prune(older_than_us, after, BITE)
                    pruned: Pruned = await self._office.doors.submit(bite)
                    after, removed = pruned.after, removed + pruned.count
                    if after is None:
                        break
                    await asyncio.sleep(BITE_SECONDS)
            if removed:
                log.info("removed %d runs that ended long ago", removed)
