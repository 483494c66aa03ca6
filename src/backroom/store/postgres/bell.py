"""The listening end of the doorbell (`ringer.py` is the other one).

LISTEN has a connection and a thread of its own, since connecting can block: a worker's event loop
only ever sees a local socket, which stays the same over reconnections.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backroom.records.errors import StoreError
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.link import Address, is_direct
from backroom.store.postgres.ready import ready

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["PostgresBell", "listen"]

PATIENCE_MS = 2_000
BACKOFF_MS = (100, 5_000)


def listen(address: Address, channel: str, ring: Callable[[], None]) -> PostgresBell | None:
    """A bell, or None where LISTEN doesn't reach through to us: behind a pooler.

    Where somebody is in between we ring once and see whether it arrives.
    """
    try:
        connection = address.connect()
    except StoreError:
        return None
    try:
        begin(connection, channel)
        if not is_direct(connection) and not arrives(connection, ring):
            connection.close()
            return None
    except psycopg().Error:
        connection.close()
        return None
    return PostgresBell(address, channel, connection)


def begin(connection: Connection[Any], channel: str) -> None:
    connection.execute(f'LISTEN "{channel}"'.encode(), prepare=False)


def arrives(connection: Connection[Any], ring: Callable[[], None]) -> bool:
    ring()
    return any(True for _ in connection.notifies(timeout=PATIENCE_MS / 1000, stop_after=1))


class PostgresBell:
    """The worker's end. `fileno` becomes readable when it rings and after it was reconnected,
    since nobody knows what was rung in between."""

    address = ""  # whoever knows the database can ring

    def __init__(self, address: Address, channel: str, connection: Connection[Any]) -> None:
        self.server = address
        self.channel = channel
        self.connection: Connection[Any] | None = connection
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.waiting_ms = BACKOFF_MS[0]
        self.thread = threading.Thread(target=self.work, name="backroom listener", daemon=True)
        self.thread.start()

    def fileno(self) -> int:
        return self.near.fileno()

    def drain(self) -> None:
        try:
            while self.near.recv(4096):
                pass
        except (BlockingIOError, InterruptedError):
            return

    def close(self) -> None:
        """The thread sees the end of the socket pair, and closes its connection."""
        self.near.close()
        self.thread.join(PATIENCE_MS / 1000)

    def work(self) -> None:
        with self.far:
            while self.listens():
                pass
            if self.connection is not None:
                self.connection.close()

    def listens(self) -> bool:
        """One round: wait for a notification, or for the time to connect again. False: the end."""
        end = self.far.fileno()
        if self.connection is None:
            if ready([end], ms=self.waiting_ms):
                return False
            self.reconnect()
            return True
        if end in ready([end, self.connection.fileno()]):
            return False
        self.take_in(self.connection)
        return True

    def take_in(self, connection: Connection[Any]) -> None:
        try:
            connection.pgconn.consume_input()
            rang = False
            while connection.pgconn.notifies():
                rang = True
        except psycopg().Error:
            connection.close()
            self.connection = None
            return
        if rang:
            self.wake()

    def reconnect(self) -> None:
        try:
            connection = self.server.connect()
        except StoreError:
            self.waiting_ms = min(2 * self.waiting_ms, BACKOFF_MS[1])
            return
        try:
            begin(connection, self.channel)
        except psycopg().Error:
            connection.close()
            return
        self.waiting_ms = BACKOFF_MS[0]
        self.connection = connection
        self.wake()

    def wake(self) -> None:
        with suppress(OSError):  # full: it rings already; closed: nobody listens
            self.far.send(b"\0")
