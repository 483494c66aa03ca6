"""A worker's seat among the others: its id and its lease, and coming back after it lost them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from backroom.engine.lease import Keeper, LeaseTerm
from backroom.engine.office import Office
from backroom.engine.settings import WorkerSettings
from backroom.records.errors import StoreError
from backroom.records.runs import WorkerRow

__all__ = ["Seat"]

log = logging.getLogger("backroom.worker")


class Seat:
    """`lost`: called from the keeper's thread when others have declared us dead."""

    def __init__(
        self,
        office: Office,
        settings: WorkerSettings,
        lost: Callable[[], None],
        *,
        queues: tuple[str, ...],
        flows: tuple[str, ...],
    ) -> None:
        self.id = settings.worker_id or office.world.new_id()
        self.queues = queues
        self.flows = flows
        self.term = LeaseTerm(settings.lease)
        self._office = office
        self._settings = settings
        self._lost = lost
        self._keeper: Keeper | None = None

    def take(self, bell: str) -> None:
        """Enter this worker; returns once its lease is on disk. Blocks; raises StoreError."""
        row = WorkerRow(
            self.id, self._settings.name,
            concurrency=self._settings.concurrency,
            bell=bell, queues=self.queues, flows=self.flows,
        )  # fmt: skip
        self._keeper = Keeper(
            self._office.store, row, self.term, self._lost,
            renew=self._settings.renew, monotonic=self._office.world.monotonic,
        )  # fmt: skip
        self._keeper.start()

    def leave(self) -> None:
        """Give the lease back. Blocks."""
        if self._keeper is not None:
            self._keeper.stop()

    def holds(self) -> bool:
        """Whether its worker may claim and rescue: one that was stopped or starved for a whole term
        can't know yet what has become of its runs."""
        return self._keeper is not None and self._keeper.holds()

    def renewed(self, asked: float) -> bool:
        """The supervisor has renewed the lease; it asked at this `time.monotonic()`. Whether it had
        lapsed."""
        if self._keeper is None:
            return False
        lapsed = not self._keeper.holds()
        self._keeper.renewed(asked)
        return lapsed

    def orphaned(self) -> None:
        """Keep the lease from here: the supervisor that did is gone."""
        if self._keeper is not None:
            self._keeper.take_over()

    async def take_another(self, bell: str, stopping: Callable[[], bool]) -> bool:
        """Come back under a new id, however often it takes. Whether we did before we were to
        stop."""
        while not stopping():
            try:
                await asyncio.to_thread(self.take, bell)
            except StoreError as error:
                log.warning("Can't come back right now, trying again: %s", error)
                await asyncio.sleep(self.term.pause_seconds)
            else:
                return True
        return False

    def change_id(self) -> None:
        """What goes out from here on is not the old one's."""
        self.id = self._office.world.new_id()
