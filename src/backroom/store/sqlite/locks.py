"""How long this process had to wait for the write lock lately; whether it may rescue.

SQLite has one write lock for the whole file. While an application's transaction holds it, no worker
of any process can renew its lease, so an expired lease says nothing then. Whoever gets the lock
first after such a wait must not take it for a mass death: it lets the others renew first.
"""

from __future__ import annotations

import sqlite3
import time

__all__ = ["LockWaits", "take_write_lock"]

LEASE_US = 30_000_000
QUICK_SECONDS = 0.0005
QUICK_FOR_SECONDS = 0.25
SLOW_SECONDS = 0.005


class LockWaits:
    """Shared by the sessions of one store. Every method is a single assignment or look."""

    def __init__(self) -> None:
        self.lease_us = LEASE_US
        self._patient_until = 0.0

    @property
    def long_seconds(self) -> float:
        """From this on a wait is long: a third of the lease, when renewals are due."""
        return self.lease_us / 3_000_000

    def waited(self, seconds: float) -> None:
        """A session got the lock, or gave up, after this long."""
        if seconds >= self.long_seconds:
            self._patient_until = time.monotonic() + self.long_seconds

    def may_rescue(self) -> bool:
        return time.monotonic() >= self._patient_until


def take_write_lock(
    connection: sqlite3.Connection, busy_timeout_ms: int, lock_waits: LockWaits
) -> None:
    """BEGIN IMMEDIATE, asking often.

    SQLite's own waiting sleeps up to 100 ms between two looks; beside a worker that commits
    without pause that was a wait of 1 to 2 seconds, and is one of some 20 ms this way.
    """
    asked = time.monotonic()
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - asked
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or waited * 1000 >= busy_timeout_ms:
                    raise
            time.sleep(QUICK_SECONDS if waited < QUICK_FOR_SECONDS else SLOW_SECONDS)
    finally:
        lock_waits.waited(time.monotonic() - asked)
