"""Connections for transaction steps, kept for the next ones: opening one takes milliseconds.

    take ─ a spare one, or a new one ─▶ the author's transaction ─▶ give back ─ DISCARD ALL ─▶ spare
                                                                 └─ in any doubt: closed

What an author does to a session or to its object must not reach the next step. The server forgets
it: settings, temporary tables, advisory locks, prepared statements. And the object isn't used
again: the next step gets a new one around the same socket, and the old one, should somebody have
kept it, is left without.

Behind a pooler nothing is kept. The session is the pooler's there, not ours to clean, and a
connection to it is cheap.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.link import Address, inherited, is_dead, is_direct

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Spares"]

IDLE_SECONDS = 60.0  # one that nobody needed for so long is closed when another comes back


class Spares:
    """The spare connections of one process; used by any number of threads at once.

    There are at most as many as there were at work at once.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.lock = threading.Lock()
        self.spare: list[tuple[float, Connection[Any]]] = []  # the last one used stands last
        self.pid = os.getpid()
        self.direct: bool | None = None  # whether no pooler is in between; None: not known yet
        self.closed = False

    def take(self) -> tuple[Connection[Any], bool]:
        """A connection as good as new, and whether it is a spare one. Raises StoreUnavailable."""
        while True:
            with self.lock:
                self.leave_to_parent()
                if not self.spare:
                    break
                _, connection = self.spare.pop()
            if not is_dead(connection):
                return connection, True
            connection.close()
        return self.address.connect(), False

    def give_back(self, connection: Connection[Any]) -> None:
        """Keep it for the next step, if it can be made as good as new; else close it."""
        pg = psycopg()
        if connection.info.transaction_status != pg.pq.TransactionStatus.IDLE:
            connection.close()
            return
        renewed = self.address.renewed(connection)
        if not self.is_cleaned(renewed):
            renewed.close()
            return
        now = time.monotonic()
        old: list[Connection[Any]] = []
        with self.lock:
            self.leave_to_parent()
            if self.closed:
                old.append(renewed)
            else:
                while self.spare and self.spare[0][0] < now - IDLE_SECONDS:
                    old.append(self.spare.pop(0)[1])
                self.spare.append((now, renewed))
        for each in old:
            each.close()

    def is_cleaned(self, connection: Connection[Any]) -> bool:
        """Let the server forget what was done in the session. False: it can't, or isn't ours."""
        try:
            if self.direct is None:
                self.direct = is_direct(connection)
            if self.direct:
                connection.execute("DISCARD ALL", prepare=False)
        except psycopg().Error:
            return False
        return self.direct

    def leave_to_parent(self) -> None:
        """Forget connections that were made before a fork: two processes can't share one."""
        if self.pid != os.getpid():
            inherited.extend(connection for _, connection in self.spare)
            self.spare = []
            self.pid = os.getpid()

    def close(self) -> None:
        with self.lock:
            self.leave_to_parent()
            self.closed = True
            spare, self.spare = self.spare, []
        for _, connection in spare:
            connection.close()
