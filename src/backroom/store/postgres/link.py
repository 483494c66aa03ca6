"""One connection to the server, opened when it is first needed and again after it was lost.

A link is used by one thread at a time. It is never carried through a fork: two processes that speak
over one socket end in garbage, so a child finds a closed link and opens its own.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import fault
from backroom.store.postgres.pipeline import Pipeline
from backroom.store.postgres.ready import ready
from backroom.store.postgres.silence import SILENCE_SECONDS, impatient

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Address", "Link", "is_direct"]

# A dead network must be noticed in seconds, not after the system's two hours.
DEFAULTS: dict[str, str | int] = {
    "application_name": "backroom",
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

inherited: list[Any] = []
"""Connections of a parent process. They are kept, since closing one would end the parent's too."""


class Address:
    """Where the server is, and whether statements may be prepared there.

    Behind a pooler they may not, unless somebody insists who knows that it keeps track of them. One
    that doesn't passes a connection on with what others prepared on it. So the first connection
    finds out whether a pooler is there; and what is prepared has a name that nobody else uses for
    another statement, or the wrong one could be executed in silence.
    """

    def __init__(
        self,
        dsn: str,
        prepare_threshold: int | None = 5,
        *,
        insist: bool = False,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.dsn = dsn
        self.silence_seconds = silence_seconds
        self.prepare_threshold = prepare_threshold
        self.certain = insist or prepare_threshold is None
        self.direct = False  # known to have no pooler in between: a session's settings stay ours

    def connect(self, *, limited: bool = False) -> Connection[tuple[Any, ...]]:
        """`limited`: what it executes is given up when the server says nothing (`silence.py`)."""
        pg = psycopg()
        try:
            given = pg.conninfo.conninfo_to_dict(self.dsn)
            kind = impatient(self.silence_seconds) if limited else pg.Connection
            connection: Connection[tuple[Any, ...]] = kind.connect(
                **{**DEFAULTS, **given},
                autocommit=True,
                prepare_threshold=self.prepare_threshold,
            )
            if not self.certain:
                self.direct = is_direct(connection)
                if not self.direct:
                    self.prepare_threshold = connection.prepare_threshold = None
                self.certain = True
        except pg.Error as error:
            raise fault(error) from error
        number_apart(connection)
        return connection

    def is_pooled(self) -> None:
        """A pooler is there after all."""
        self.prepare_threshold = None
        self.direct = False

    def renewed(self, connection: Connection[Any]) -> Connection[tuple[Any, ...]]:
        """The same idle session behind a new object. What was set on the old one is gone, and it
        is closed for whoever still has it."""
        pg = psycopg()
        fresh: Connection[tuple[Any, ...]] = pg.Connection(connection.pgconn)
        connection.pgconn = pg.pq.PGconn()
        fresh.autocommit = True
        fresh.prepare_threshold = self.prepare_threshold
        number_apart(fresh)
        return fresh


def number_apart(connection: Connection[Any]) -> None:
    """psycopg numbers its own prepared statements, from 0 on every connection."""
    connection._prepared._prepared_idx = secrets.randbits(60)


def is_direct(connection: Connection[Any]) -> bool:
    """Whether nobody is in between: a pooler makes up the process number that it tells us."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return row is not None and row[0] == connection.info.backend_pid


class Link:
    def __init__(self, address: Address, *, limited: bool = False) -> None:
        self.address = address
        self.limited = limited
        self.pid = 0
        self.open: Connection[tuple[Any, ...]] | None = None
        self.pipe: Pipeline | None = None

    def connection(self) -> Connection[tuple[Any, ...]]:
        """The open connection, or a new one. Raises StoreUnavailable."""
        if self.open is not None and self.pid != os.getpid():
            inherited.append(self.open)
            self.open = None
        if self.open is not None and is_dead(self.open):
            self.drop()
        if self.open is None:
            self.open = self.address.connect(limited=self.limited)
            self.pid = os.getpid()
            self.pipe = None
        return self.open

    def pipeline(self) -> Pipeline:
        """A pipeline on the open connection, or on a new one. Raises StoreUnavailable."""
        connection = self.connection()
        if self.pipe is None:
            address = self.address
            self.pipe = Pipeline(connection, address.prepare_threshold, address.silence_seconds)
        return self.pipe

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        if self.open is not None and self.pid == os.getpid():
            self.open.close()
            self.open = None

    def recover(self) -> None:
        """After an error: roll back what is open; a connection that can't do that is dropped."""
        if self.open is None:
            return
        if self.open.pgconn.pipeline_status:
            self.drop()  # it broke in the middle of something
            return
        try:
            self.open.rollback()
        except psycopg().Error:
            self.drop()

    close = drop

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be half gone
            self.drop()


def is_dead(connection: Connection[tuple[Any, ...]]) -> bool:
    """Whether an idle connection has been lost.

    Between our calls a server has nothing to say but that it closes. Noticed here, before anything
    is sent, a restart costs one reconnection and no commit of unknown outcome.
    """
    if connection.closed:
        return True
    return bool(ready([connection.fileno()], ms=0))
