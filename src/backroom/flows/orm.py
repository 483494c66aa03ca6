"""A SQLAlchemy session on a connection that is somebody else's: a transaction step's.

    @step(transaction=True)
    def book(connection: sqlite3.Connection, order: Order) -> None:
        with session_on(connection) as session:
            session.add(Booking(order.id))

The session sends its statements over that connection, in the transaction that is open there, and
flushes when the block ends. It can neither commit nor roll back: backroom does one of them.
SQLAlchemy is imported when this is called.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from backroom.records.errors import Refused, TransactionEnded

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

__all__ = ["session_on"]


class Guest:
    """A driver's connection as SQLAlchemy may use it: all of it but the end of the transaction."""

    def __init__(self, connection: Any) -> None:
        self.__dict__.update(_connection=connection, _refuses=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._connection, name, value)

    def refuse(self, refuses: bool) -> None:
        """SQLAlchemy rolls back on its own when it comes and when it goes; between it is the
        author's doing."""
        self.__dict__["_refuses"] = refuses

    def commit(self) -> None:
        self._end("session.commit()")

    def rollback(self) -> None:
        self._end("session.rollback()")

    def _end(self, how: str) -> None:
        if self._refuses:
            self.refuse(False)  # said once; what follows is tidying up
            raise TransactionEnded(f"{how} was refused")

    def close(self) -> None:
        return


@contextmanager
def session_on(connection: Any) -> Iterator[Session]:
    """A SQLAlchemy session on the connection of a transaction step, for as long as the block."""
    from sqlalchemy.orm import Session

    engine = _engine(_dialect(connection))
    guest = Guest(connection)
    _here.guest = guest
    try:
        bound = engine.connect()
    finally:
        _here.guest = None
    session = Session(bind=bound)
    try:
        guest.refuse(True)
        yield session
        session.flush()
    finally:
        guest.refuse(False)
        session.close()
        bound.close()


_here = threading.local()
"""The connection that this thread's engine is about to open."""


def _dialect(connection: Any) -> str:
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(connection, psycopg.Connection):
        return "postgresql+psycopg"
    sqlite = sys.modules.get("sqlite3")
    if sqlite is not None and isinstance(connection, sqlite.Connection):
        return "sqlite"
    raise Refused(
        f"session_on() takes the connection that a transaction step was given, not a "
        f"{type(connection).__qualname__}."
    )


@cache
def _engine(dialect: str) -> Engine:
    """One engine a dialect: making one costs milliseconds. It never opens anything by itself."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    options: dict[str, Any] = {"use_native_hstore": False} if "psycopg" in dialect else {}
    return create_engine(
        f"{dialect}://",
        creator=lambda: _here.guest,
        poolclass=NullPool,
        pool_reset_on_return=None,
        **options,
    )
