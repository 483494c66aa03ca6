"""Looks for the ends of runs that somebody in this process waits for: one query for all of them.

It looks at once when this process has ended something itself, and when the store's bell of ends
rings (`Store.bell_of_ends`), which workers elsewhere ring. In between it looks at a pace that slows
down while nothing happens, the slower the dearer a look is; and not at all while nobody waits.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from backroom.engine.world import World
from backroom.records.errors import RunNotFound, StoreError
from backroom.records.runs import RunRow
from backroom.records.states import FINAL
from backroom.store.protocol import Bell, Reader, Store

__all__ = ["ResultWatch"]

log = logging.getLogger("backroom")


class Pace(NamedTuple):
    """Seconds between two looks: at first, how much longer each time, at most."""

    first: float
    growth: float
    last: float


CHEAP = Pace(0.0005, 1.1, 0.05)  # the store tells for next to nothing whether anything has changed
DEAR = Pace(0.005, 1.3, 0.1)
RUNG = Pace(0.02, 1.3, 0.25)  # a bell tells; to look as well is for a bell that has been missed


class ResultWatch:
    def __init__(self, store: Store, world: World | None = None, *, doorbells: bool = True) -> None:
        self._store = store
        self._world = world or World()
        self._reader: Reader | None = None  # in a simulated world, where there is no thread
        self._doorbells = doorbells
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Future[RunRow]]] = {}
        self._fresh: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._bell: Bell | None = None

    def add(self, run_id: str) -> Future[RunRow]:
        future: Future[RunRow] = self._world.future()
        with self._lock:
            self._waiting.setdefault(run_id, []).append(future)
            self._fresh.add(run_id)
            if self._thread is None and not self._world.simulated:
                self._thread = self._world.thread(self._work, "backroom-results")
                if self._doorbells:
                    self._world.thread(self._open_bell, "backroom-ends")
        self._awake()
        return future

    def hint(self) -> None:
        """Something has ended."""
        if self._waiting:
            self._awake()

    def _awake(self) -> None:
        if not self._world.simulated:
            self._poke()
            return
        self._reader = self._reader or self._store.reader()
        with self._lock:
            ids = list(self._waiting)
            fresh, self._fresh = self._fresh, set()
        self._look(self._reader, ids, fresh)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        self._poke()
        if self._reader is not None:
            self._reader.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._near.close()
        self._far.close()

    def _poke(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody waits
            self._far.send(b"\0")

    def _open_bell(self) -> None:
        """In a thread of its own, since that may take seconds; the looks begin without."""
        bell = self._store.bell_of_ends()
        with self._lock:
            if not self._closed:
                self._bell, bell = bell, None
        if bell is not None:
            bell.close()
        self._poke()

    # --- the thread

    def _work(self) -> None:
        reader = self._store.reader()
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._near, selectors.EVENT_READ)
                self._look_again_and_again(reader, selector)
        finally:
            reader.close()
            with self._lock:
                bell, self._bell = self._bell, None
            if bell is not None:
                bell.close()

    def _look_again_and_again(self, reader: Reader, selector: selectors.BaseSelector) -> None:
        pause: float | None = None  # without end
        pace = DEAR
        listening = False
        while not self._closed:
            rung = bool(selector.select(pause))
            if rung:
                self._drain(listening=listening)
                listening = listening or self._listen(selector)
            with self._lock:
                ids = list(self._waiting)
                fresh, self._fresh = self._fresh, set()
            if not ids:
                pause = None
                continue
            try:
                changed = reader.changed()
                pace = RUNG if listening else DEAR if changed is None else CHEAP
                pause = pace.first if rung or pause is None else min(pause * pace.growth, pace.last)
                if not rung and not fresh and changed is False:
                    continue
                self._look(reader, ids, fresh)
            except StoreError as error:
                log.warning("Can't look for results right now: %s", error)
                self._world.sleep(0.2)
                with self._lock:
                    self._fresh |= fresh or set(ids)

    def _look(self, reader: Reader, ids: Sequence[str], fresh: set[str]) -> None:
        rows = reader.ended(ids)
        self._tell(rows, [run_id for run_id in fresh if reader.run(run_id) is None])

    def _listen(self, selector: selectors.BaseSelector) -> bool:
        """Whether there is a bell now to listen to."""
        with self._lock:
            bell = self._bell
        if bell is not None:
            selector.register(bell.fileno(), selectors.EVENT_READ)
        return bell is not None

    def _drain(self, *, listening: bool) -> None:
        with contextlib.suppress(OSError):
            while self._near.recv(4096):
                pass
        if listening and self._bell is not None:
            self._bell.drain()

    def _tell(self, rows: Sequence[RunRow], missing: Sequence[str]) -> None:
        with self._lock:
            done = [
                (future, row)
                for row in rows
                if row.state in FINAL
                for future in self._waiting.pop(row.id, ())
            ]
            gone = [
                (future, run_id) for run_id in missing for future in self._waiting.pop(run_id, ())
            ]
        for future, row in done:
            future.set_result(row)
        for future, run_id in gone:
            future.set_exception(RunNotFound(run_id))
