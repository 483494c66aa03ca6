"""A process's line to the database: its lanes, its readers, and the results somebody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from backroom.engine.lane import Lane
from backroom.engine.results import ResultWatch
from backroom.engine.world import World
from backroom.records.runs import RunRow, Started
from backroom.store.protocol import Reader, Store
from backroom.store.verbs import (
    AsDeclared,
    Cancel,
    CloseBreaker,
    Decide,
    Declare,
    Emit,
    Expire,
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

# What may make work for a worker: after these the doorbell is rung.
_RINGING = frozenset(
    (Start, Emit, Cancel, Revive, Reschedule, Declare, AsDeclared, Resume, CloseBreaker, Decide)
)
# What may have ended runs that somebody waits for.
_ENDING = frozenset((Settle, Cancel, Expire))


class Office:
    """Opened once per process (and again after a fork)."""

    def __init__(self, store: Store, world: World | None = None, *, doorbells: bool = True) -> None:
        self.store = store
        self._doorbells = doorbells
        self.world = world or World()
        self.on_work: list[
            Callable[[], None]
        ] = []  # workers in this process, rung without a socket
        self.doors = Lane(store.session, "doors", after_commit=self._after_doors, world=self.world)
        self._main: Lane | None = None
        self._main_lock = threading.Lock()
        self._watch = ResultWatch(store, self.world, doorbells=doorbells)
        self._reads: SimpleQueue[Callable[[Reader], None] | None] = SimpleQueue()
        self._read_thread: threading.Thread | None = None
        self._reader: Reader | None = None  # where there is no thread

    @property
    def main(self) -> Lane:
        """The lane of this process's own attempts; only workers need it."""
        with self._main_lock:
            if self._main is None:
                self._main = Lane(
                    self.store.session, "main", after_commit=self._after_main, world=self.world
                )
            return self._main

    def _after_doors(self, verbs: Sequence[Verb]) -> None:
        kinds = set(map(type, verbs))
        if not kinds.isdisjoint(_RINGING):
            self.ring()
        if not kinds.isdisjoint(_ENDING):
            self._tell_of_ends()

    def _after_main(self, verbs: Sequence[Verb]) -> None:
        kinds = set(map(type, verbs))
        if SaveStep in kinds and any(
            isinstance(verb, SaveStep) and (verb.starts or verb.releases) for verb in verbs
        ):
            self.ring()
        if not kinds.isdisjoint(_ENDING):
            self._tell_of_ends()

    def ring(self) -> None:
        """Work may be ready: tell the workers here at once, those elsewhere by their doorbells."""
        if self._doorbells:
            for ring in self.on_work:
                ring()
            self.store.ring()

    def _tell_of_ends(self) -> None:
        """Runs may have ended: the same for those who wait for them."""
        self._watch.hint()
        if self._doorbells:
            self.store.ring_ends()

    def look_for_results(self) -> None:
        """Runs may have ended that somebody here waits for."""
        self._watch.hint()

    # --- reading

    def read(self, look: Callable[[Reader], T]) -> Future[T]:
        """Run a look in the reading thread."""
        future: Future[T] = self.world.future()

        def job(reader: Reader) -> None:
            try:
                future.set_result(look(reader))
            except Exception as error:
                future.set_exception(error)

        if self.world.simulated:
            self._reader = self._reader or self.store.reader()
            job(self._reader)
            return future
        with self._main_lock:
            if self._read_thread is None:
                self._read_thread = self.world.thread(self._reading, "backroom-reads")
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
        result: Future[T] = self.world.future()

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
        if self._reader is not None:
            self._reader.close()
        self._watch.close()
        self.store.close()


def _id(started: Any, run_id: str) -> str:
    return started.run_id if isinstance(started, Started) else run_id
