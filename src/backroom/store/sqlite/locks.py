"""How long this process had to wait for the write lock lately; whether it may rescue.

SQLite has one write lock for the whole file. While an application's transaction holds it, no worker
of any process can renew its lease, so an expired lease says nothing then. Whoever gets the lock
first after such a wait must not take it for a mass death: it lets the others renew first.
"""

from __future__ import annotations

import time

__all__ = ["LockWaits"]

LEASE_US = 30_000_000


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
