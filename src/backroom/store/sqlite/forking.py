"""Never an open database across a fork.

A forked child inherits SQLite's handles but not the file locks behind them; it would believe in
locks that only its parent has, and using or just closing such a handle can damage the file. So
whoever keeps a connection keeps it in a `Keeper`: before a fork every keeper closes its own, and
both processes open anew when they next need to. A fork waits for transactions that are under way;
one that takes too long is left open in the parent and is out of bounds in the child.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backroom.records.errors import StoreUnavailable

__all__ = ["Keeper"]

PATIENCE_SECONDS = 5.0


class Keeper:
    """Keeps one connection, for one thread at a time; opens it when it is first used."""

    def __init__(self, open_one: Callable[[], sqlite3.Connection]) -> None:
        self._open_one = open_one
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._inherited = False
        KEEPERS.add(self)

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The connection; no fork happens meanwhile."""
        if self._inherited:
            raise StoreUnavailable(
                "This database connection was in use while the process forked, and belongs to the "
                "parent. Make a new session or reader in the child."
            )
        with gate:
            pass  # a fork that is about to happen goes first
        with self._lock:
            if self._connection is None:
                self._connection = self._open_one()
            yield self._connection

    def drop(self) -> None:
        """Close the connection; the next use opens another. From within `using`, or after it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        if not self._inherited:
            with self._lock:
                self.drop()

    def __del__(self) -> None:
        if not self._inherited:
            self.drop()

    def before_fork(self, patience_seconds: float) -> bool:
        """Close the connection and let nobody open one; whether that could be done in time."""
        if not self._lock.acquire(timeout=max(patience_seconds, 0)):
            return False
        self.drop()
        return True

    def after_fork(self) -> None:
        self._lock.release()

    def abandon(self) -> None:
        """In the child: the connection is the parent's. It must not even be closed, so it stays."""
        self._inherited = True
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))


KEEPERS: weakref.WeakSet[Keeper] = weakref.WeakSet()
gate = threading.Lock()
closed: list[Keeper] = []
still_open: list[Keeper] = []


def before_fork() -> None:
    gate.acquire()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    for keeper in list(KEEPERS):
        done = keeper.before_fork(give_up_at - time.monotonic())
        (closed if done else still_open).append(keeper)


def after_fork_in_parent() -> None:
    for keeper in closed:
        keeper.after_fork()
    closed.clear()
    still_open.clear()
    gate.release()


def after_fork_in_child() -> None:
    for keeper in still_open:
        keeper.abandon()
    after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=before_fork,
        after_in_parent=after_fork_in_parent,
        after_in_child=after_fork_in_child,
    )
