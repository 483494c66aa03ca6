"""Renewing the leases of a supervisor's children, and giving up those of the dead.

Two threads with a connection each, so that neither a slow database nor the locks of a dead child's
runs keep the living from being renewed, and nothing keeps the supervisor from its signals:

    backroom-leases    one Renew for all children, three times per term
    backroom-retiring  one Retire per child that died; its runs are ready for others after it

A child that is stopped (SIGSTOP, a debugger) isn't renewed. Its lease runs out like that of a
machine that stalls, and its runs go to others: they were promised a worker that works.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from backroom.engine.lease import LeaseTerm
from backroom.records.errors import StoreError
from backroom.store.protocol import Session, Store
from backroom.store.verbs import Renew, Retire

__all__ = ["Renewals", "is_stopped"]

log = logging.getLogger("backroom.supervisor")

RETIRING_TRIES = 5  # then its lease runs out by itself


class Renewals:
    """The leases of the workers that were entered in one database.

    on_answer   called from the thread after each renewal: when it was asked for
                (`time.monotonic()`), which workers it was for, and which of them still exist
    """

    def __init__(
        self,
        store: Store,
        lease_seconds: float,
        on_answer: Callable[[float, frozenset[str], frozenset[str]], None],
    ) -> None:
        self._store = store
        self._term = LeaseTerm(lease_seconds)
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._pids: dict[str, int] = {}
        self._closing = threading.Event()
        self._failing = False
        self._deaths: SimpleQueue[Retire | None] = SimpleQueue()
        self._renewer = threading.Thread(target=self._renew, name="backroom-leases", daemon=True)
        self._retirer = threading.Thread(target=self._retire, name="backroom-retiring", daemon=True)
        self._renewer.start()
        self._retirer.start()

    def add(self, worker_id: str, pid: int) -> None:
        with self._lock:
            self._pids[worker_id] = pid

    def remove(self, worker_id: str) -> None:
        with self._lock:
            self._pids.pop(worker_id, None)

    def retire(self, worker_id: str, *, lost: bool) -> None:
        """It is dead: give its lease up at once. `lost` counts a start against its runs."""
        self.remove(worker_id)
        self._deaths.put(Retire(worker_id, lost=lost))

    def close(self, patience_seconds: float = 5.0) -> None:
        """Retire who is still to be retired, and let go of the database."""
        self._closing.set()
        self._deaths.put(None)
        self._retirer.join(patience_seconds)
        self._renewer.join(1.0)
        if not (self._retirer.is_alive() or self._renewer.is_alive()):
            self._store.close()

    def _renew(self) -> None:
        session = self._store.session()
        pause = self._term.pause_seconds
        while not self._closing.wait(pause):
            with self._lock:
                pids = dict(self._pids)
            ids = frozenset(worker for worker, pid in pids.items() if not is_stopped(pid))
            pause = self._term.pause_seconds
            if ids and not self._ask(session, ids):
                pause = min(pause, 1.0)
        close(session)

    def _ask(self, session: Session, ids: frozenset[str]) -> bool:
        asked = time.monotonic()
        try:
            (alive,) = session.apply([Renew(tuple(sorted(ids)), self._term.us)])
        except StoreError as error:
            if not self._failing:
                log.warning("Can't renew the workers' leases, trying again: %s", error)
            self._failing = True
            return False
        if self._failing:
            log.warning("The workers' leases are renewed again.")
        self._failing = False
        assert isinstance(alive, frozenset)
        self._on_answer(asked, ids, alive)
        return True

    def _retire(self) -> None:
        session = self._store.session()
        with contextlib.suppress(StoreError):  # opens the line, so that a death finds it open
            session.apply([Renew((), self._term.us)])
        while (death := self._deaths.get()) is not None:
            self._give_up(session, death)
        close(session)

    def _give_up(self, session: Session, death: Retire) -> None:
        for pause in range(RETIRING_TRIES):
            try:
                (released,) = session.apply([death])
            except StoreError as error:
                failure = error
                if self._closing.wait(0.1 * 2**pause):
                    break
            else:
                assert isinstance(released, tuple)
                if released:
                    self._store.ring()
                    if death.lost:
                        log.warning("released %d runs of a worker that died", len(released))
                return
        log.warning("The lease of a worker that died will run out by itself: %s", failure)


def close(session: Session) -> None:
    try:
        session.close()
    except StoreError as error:
        log.debug("closing: %s", error)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger. Where this can't be told: no."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    # The name, in parentheses, may hold anything; the state is the letter behind the last one.
    return stat.rpartition(b")")[2].split()[0] in (b"T", b"t")
