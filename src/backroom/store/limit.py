"""A time limit on a transaction: watched in one thread, performed in another.

    thread of the transaction      its watcher
      begins, works                  waits
      may_commit() ── yes ──▶        expire() ── False: it is committing, wait for it
                   └─ no: rolls back expire() ── True: it will roll back, go on

Whoever asks first decides, so a try that was given up never commits afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Limit"]


class Limit:
    """May be passed on to `Store.transact`; one for each call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._committing = False
        self._interrupt: Callable[[], None] | None = None
        self.expired = False

    def began(self, interrupt: Callable[[], None]) -> None:
        """A transaction has begun; `interrupt` stops its running statement from any thread."""
        with self._lock:
            self._interrupt = interrupt
            self._committing = False

    def may_commit(self) -> bool:
        with self._lock:
            self._committing = not self.expired
            return self._committing

    def over(self) -> None:
        """The transaction has ended; there is nothing to interrupt any more."""
        self._interrupt = None

    def expire(self) -> bool:
        """Give up. False: too late, it is committing."""
        with self._lock:
            if self._committing:
                return False
            self.expired = True
        interrupt = self._interrupt
        if interrupt is not None:
            with suppress(Exception):  # it has ended at this very moment
                interrupt()
        return True
