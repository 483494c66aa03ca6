"""News for attempts under way: what has come for their waits in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from backroom.engine.attempt import Attempt
from backroom.engine.futures import rung_within
from backroom.engine.office import Office
from backroom.records.errors import StoreError
from backroom.records.runs import Mail, RunRow
from backroom.store.protocol import Reader

__all__ = ["News"]

log = logging.getLogger("backroom.worker")

Found = tuple[int, list[Mail], list[RunRow], list[str], list[tuple[str, str]]]
"""The time, new mail, runs that have ended, windows that are over, requests that have their
locks."""


class News:
    """Belongs to one loop, all of it but `watch`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._watching: dict[str, Attempt] = {}
        self._rung = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, attempt: Attempt) -> None:
        """An attempt has a wait in memory. From its flow's loop or thread."""
        self._watching[attempt.claimed.id] = attempt
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._rung.set)

    def ring(self) -> None:
        """There may be some."""
        if self._watching:
            self._rung.set()

    async def bring(self) -> None:
        """Tell attempts with waits in memory what has come for them, for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            if not self._watching:
                await self._rung.wait()
            self._rung.clear()
            watched = self._watched()
            if watched:
                await self._look(watched)
            await rung_within(0.05, self._rung)

    def _watched(self) -> list[Attempt]:
        """Those that haven't ended meanwhile; a flow's thread may come here after its attempt."""
        for run_id, attempt in self._watching.copy().items():
            if attempt.performance is None:
                self._watching.pop(run_id, None)
        return list(self._watching.copy().values())

    async def _look(self, watched: Sequence[Attempt]) -> None:
        ids = [attempt.claimed.id for attempt in watched]
        asked = [a.performance for a in watched if a.performance]
        children = [child for performance in asked for child in performance.children()]
        windows = [name for performance in asked for name in performance.windows()]
        in_line = [
            a.claimed.id for a in watched if a.performance and a.performance.waits_for_locks()
        ]

        def look(reader: Reader) -> Found:
            return (
                reader.now(),
                reader.mail(ids),
                reader.ended(children) if children else [],
                reader.windows_over(windows) if windows else [],
                reader.locks_held(in_line) if in_line else [],
            )

        try:
            now, mail, ended, over, held = await asyncio.wrap_future(self._office.read(look))
        except StoreError as error:
            log.warning("Can't look for news right now: %s", error)
            return
        for attempt in watched:
            if attempt.performance is not None:
                run_id = attempt.claimed.id
                mine = [letter for letter in mail if letter.run_id == run_id]
                locks = [address for holder, address in held if holder == run_id]
                attempt.performance.news(now, mine, ended, over, locks)
