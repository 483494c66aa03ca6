"""Leases: what tells a worker that is busy from one that is dead.

A worker has one lease, a time in the database up to which its runs are its own. It is renewed three
times per term, in one statement, whatever the number of runs. Nothing that a run does can stop
the renewal when a supervisor renews from its own process (`engine/supervisor.py`); a worker that is
embedded in another program renews from a thread, which a body that holds the interpreter's lock for
a whole term can stop.

    worker's lease      |<------ term ------>|
    renewals            ^      ^      ^
    worker dies         x
    rescue, by anybody                       ^ its runs are ready again, their attempt number
                                               refuses whatever the dead one might still send

A lease that was missed is gone for good: the worker's row has been removed, `Renew` answers without
its id, and it must come back under a new one. Until it knows, it claims nothing (`Keeper.holds`): a
run claimed without a lease would be taken away at once, and a start counted against it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from backroom.records.errors import StoreError
from backroom.records.runs import WorkerRow
from backroom.store.protocol import Session, Store
from backroom.store.verbs import Register, Renew, Retire

__all__ = ["Keeper", "LeaseTerm"]

log = logging.getLogger("backroom.worker")


class LeaseTerm:
    """How long a lease lasts. Shorter: runs of a dead worker are taken over sooner. Longer: a
    machine may stall longer before its runs are given to another."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.us = int(seconds * 1_000_000)
        self.pause_seconds = seconds / 3


class Keeper:
    """Renews one worker's lease from a thread of its own, on a connection of its own."""

    def __init__(
        self,
        store: Store,
        worker: WorkerRow,
        term: LeaseTerm,
        on_lost: Callable[[], None],
        *,
        renew: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._session: Session = store.session()
        self._worker = worker
        self._term = term
        self._on_lost = on_lost
        self._renew = renew  # False: a supervisor does
        self._valid_until = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="backroom-lease", daemon=True)

    def start(self) -> None:
        """Enter the worker; returns once its lease is on disk. Raises StoreError."""
        asked = self._monotonic()
        self._session.apply([Register(self._worker, self._term.us)])
        self.renewed(asked)
        if self._renew:
            self._thread.start()

    def renewed(self, asked: float) -> None:
        """The lease was prolonged by a renewal that was asked for at this `time.monotonic()`."""
        self._valid_until = asked + self._term.seconds

    def holds(self) -> bool:
        """Whether, as far as is known here, the lease is still valid."""
        return self._monotonic() < self._valid_until

    def take_over(self) -> None:
        """Renew from here from now on: the supervisor that did is gone."""
        if not self._renew:
            self._renew = True
            self._thread.start()

    def stop(self, *, lost: bool = False) -> None:
        """Stop renewing and give the lease back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._session.apply([Retire(self._worker.id, lost=lost)])
        except StoreError as error:
            log.warning("The lease of %s will run out by itself: %s", self._worker.name, error)
        finally:
            self._session.close()

    def _work(self) -> None:
        while not self._stop.wait(self._term.pause_seconds):
            asked = self._monotonic()
            try:
                (alive,) = self._session.apply([Renew((self._worker.id,), self._term.us)])
            except StoreError as error:
                log.warning(
                    "Can't renew the lease of %s, trying again: %s", self._worker.name, error
                )
                continue
            assert isinstance(alive, frozenset)
            if self._worker.id not in alive:
                self._session.close()
                self._on_lost()
                return
            self.renewed(asked)
