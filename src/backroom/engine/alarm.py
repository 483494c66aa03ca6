"""The alarm: when a worker looks for work.

A doorbell says "now"; the answer to the last claim says when the next timer is due; on SQLite a
cheap look at the file's change counter catches writers that ring no bell; and a plain claim every
`poll` seconds catches everything else. With every doorbell cut off all works, slower.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backroom.engine.futures import rung_within
from backroom.engine.office import Office
from backroom.engine.settings import WorkerSettings
from backroom.records.errors import StoreError
from backroom.store.protocol import Bell, Reader

__all__ = ["Alarm"]

QUIET_POLL_SECONDS = 1.0  # between two claims of an idle worker that sees the file change


class Alarm:
    """Belongs to one loop, all of it but `open` and `close`."""

    def __init__(self, office: Office, settings: WorkerSettings, heard: Callable[[], None]) -> None:
        self._office = office
        self._settings = settings
        self._heard = heard
        self._rung = asyncio.Event()
        self._bell: Bell | None = None
        self._pulse: Reader | None = None
        self.poll_seconds = settings.poll
        if self._sees_changes():  # then hardly anything can have been missed
            self.poll_seconds = max(settings.poll, QUIET_POLL_SECONDS)

    @property
    def address(self) -> str:
        """Where our doorbell hangs, for other processes."""
        return "" if self._bell is None else self._bell.address

    def open(self) -> None:
        """Hang up the doorbell. Blocks."""
        if self._settings.doorbells:
            self._bell = self._office.store.bell()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._bell is not None:
            loop.add_reader(self._bell.fileno(), self._hear)

    def deafen(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._bell is not None:
            loop.remove_reader(self._bell.fileno())

    def close(self) -> None:
        if self._bell is not None:
            self._bell.close()

    def _hear(self) -> None:
        assert self._bell is not None
        self._bell.drain()
        self._heard()

    def ring(self) -> None:
        self._rung.set()

    def hush(self) -> None:
        """What comes from here on is news."""
        self._rung.clear()

    async def until_it_rings(self, seconds: float) -> None:
        """Or until the time is over. Ringing since the last `hush` counts."""
        await rung_within(seconds, self._rung)

    async def until_there_may_be_work(self, seconds: float) -> None:
        """Until somebody rings, the file has changed, or the time is over."""
        loop = asyncio.get_running_loop()
        world = self._office.world
        deadline = world.monotonic() + seconds
        pulse = self._settings.pulse if self._sees_changes() else seconds
        while not self._rung.is_set():
            left = deadline - world.monotonic()
            if left <= 0:
                return
            timer = loop.call_later(min(left, pulse), self._rung.set)
            await self._rung.wait()
            if timer.when() > loop.time():
                timer.cancel()
                return
            if self._file_changed() or world.monotonic() >= deadline:
                return
            self._rung.clear()

    def _sees_changes(self) -> bool:
        return self._office.store.dialect == "sqlite" and self._settings.doorbells

    def _file_changed(self) -> bool:
        if not self._sees_changes():
            return False
        try:
            if self._pulse is None:
                self._pulse = self._office.store.reader()
            return bool(self._pulse.changed())
        except StoreError:
            return True  # the claim will say what is wrong
