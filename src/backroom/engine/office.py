"""A process's line to the database: its lanes, its readers, and the results somebody waits for."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from backroom.engine.futures import new_future
from backroom.engine.lane import Lane
from backroom.engine.world import World
from backroom.records.errors import RunNotFound, StoreError
from backroom.records.runs import RunRow, Started
from backroom.records.states import FINAL
from backroom.store.protocol import Reader, Store
from backroom.store.verbs import (
    Cancel,
    CloseBreaker,
    Declare,
    Emit,
    Reschedule,
    Resume,
    Revive,
    SaveStep,
    Settle,
    Start,
    Verb,
)

__all__ = ["Office"]

T = TypeVar("T")
log = logging.getLogger("backroom")

# What may make work for a worker: after these the doorbell is rung.
_RINGING = (Start, Emit, Cancel, Revive, Reschedule, Declare, Resume, CloseBreaker)


class Office:
    """Opened once per process (and again after a fork)."""

    def __init__(self, store: Store, world: World | None = None, *, doorbells: bool = True) -> None:
        self.store = store
        self._doorbells = doorbells
        self.world = world or World()
        self.on_work: list[
            Callable[[], None]
        ] = []  # workers in this process, rung without a socket
        self.doors = Lane(store.session, "doors", after_commit=self._after_doors)
        self._main: Lane | None = None
        self._main_lock = threading.Lock()
        self._watch = ResultWatch(store)
        self._reads: SimpleQueue[Callable[[Reader], None] | None] = SimpleQueue()
        self._read_thread: threading.Thread | None = None

    @property
    def main(self) -> Lane:
        """The lane of this process's own attempts; only workers need it."""
        with self._main_lock:
            if self._main is None:
                self._main = Lane(self.store.session, "main", after_commit=self._after_main)
            return self._main

    def _after_doors(self, verbs: Sequence[Verb]) -> None:
        if any(isinstance(verb, _RINGING) for verb in verbs):
            self.ring()
            self._watch.hint()

    def _after_main(self, verbs: Sequence[Verb]) -> None:
        if any(isinstance(verb, SaveStep) and (verb.starts or verb.releases) for verb in verbs):
            self.ring()
        if any(isinstance(verb, Settle) for verb in verbs):
            self._watch.hint()

    def ring(self) -> None:
        """Work may be ready: tell the workers here at once, those elsewhere by their doorbells."""
        if self._doorbells:
            for ring in self.on_work:
                ring()
            self.store.ring()

    # --- reading

    def read(self, look: Callable[[Reader], T]) -> Future[T]:
        """Run a look in the reading thread."""
        future: Future[T] = new_future()

        def job(reader: Reader) -> None:
            try:
                future.set_result(look(reader))
            except Exception as error:
                future.set_exception(error)

        with self._main_lock:
            if self._read_thread is None:
                self._read_thread = threading.Thread(
                    target=self._reading, name="backroom-reads", daemon=True
                )
                self._read_thread.start()
        self._reads.put(job)
        return future

    def _reading(self) -> None:
        reader = self.store.reader()
        try:
            while (job := self._reads.get()) is not None:
                job(reader)
        finally:
            reader.close()

    def ended(self, run_id: str, after: Future[Any] | None = None) -> Future[RunRow]:
        """The row of a run once it has ended. `after`: its start, which must be committed first."""
        return self.after(after, lambda started: self._watch.add(_id(started, run_id)))

    def after(self, first: Future[Any] | None, then: Callable[[Any], Future[T]]) -> Future[T]:
        """`then(answer of first)`, or its error."""
        if first is None:
            return then(None)
        result: Future[T] = new_future()

        def finish(done: Future[T]) -> None:
            error = done.exception()
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(done.result())

        def go(done: Future[Any]) -> None:
            error = done.exception()
            if error is not None:
                result.set_exception(error)
                return
            try:
                then(done.result()).add_done_callback(finish)
            except Exception as refused:  # whatever it is: somebody waits for this future
                result.set_exception(refused)

        first.add_done_callback(go)
        return result

    def close(self) -> None:
        """Commit what is queued and let go of all connections. Safe to call twice."""
        self.doors.close()
        with self._main_lock:
            main, thread = self._main, self._read_thread
        if main is not None:
            main.close()
        if thread is not None:
            self._reads.put(None)
            if thread is not threading.current_thread():
                thread.join()
            self._read_thread = None
        self._watch.close()
        self.store.close()


def _id(started: Any, run_id: str) -> str:
    return started.run_id if isinstance(started, Started) else run_id


class ResultWatch:
    """Looks for the ends of runs that somebody waits for: one query for all of them.

    It looks at once when this process has settled something, else at a pace that slows down from 5
    to 100 ms while nothing happens; nothing at all while nobody waits.
    """

    FASTEST_SECONDS = 0.005
    SLOWEST_SECONDS = 0.1

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Future[RunRow]]] = {}
        self._fresh: set[str] = set()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, run_id: str) -> Future[RunRow]:
        future: Future[RunRow] = new_future()
        with self._lock:
            self._waiting.setdefault(run_id, []).append(future)
            self._fresh.add(run_id)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="backroom-results", daemon=True
                )
                self._thread.start()
        self._bell.put(True)
        return future

    def hint(self) -> None:
        if self._waiting:
            self._bell.put(True)

    def close(self) -> None:
        self._closed = True
        self._bell.put(False)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._thread = None

    def _work(self) -> None:
        reader = self._store.reader()
        pause = self.FASTEST_SECONDS
        try:
            while not self._closed:
                rung = self._pause(pause)
                pause = self.FASTEST_SECONDS if rung else min(pause * 1.3, self.SLOWEST_SECONDS)
                with self._lock:
                    ids = list(self._waiting)
                    fresh, self._fresh = self._fresh, set()
                if not ids:
                    continue
                try:
                    rows = reader.ended(ids)
                    missing = [run_id for run_id in fresh if reader.run(run_id) is None]
                except StoreError as error:
                    log.warning("Can't look for results right now: %s", error)
                    time.sleep(0.2)
                    with self._lock:
                        self._fresh |= fresh
                    continue
                self._tell(rows, missing)
        finally:
            reader.close()

    def _pause(self, seconds: float) -> bool:
        """Whether somebody rang before the time was over. Waits without end while nobody waits."""
        with self._lock:
            idle = not self._waiting
        try:
            self._bell.get(timeout=None if idle else seconds)
        except Empty:
            return False
        with contextlib.suppress(Empty):
            while True:
                self._bell.get_nowait()
        return True

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
