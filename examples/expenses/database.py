"""The one database of this application, reached with SQLAlchemy.

backroom keeps its tables in the same file (or PostgreSQL database), so that a claim and its run can
be written in one transaction. Two ways in:

    with reading() as session: ...   sees one moment, writes nothing
    with writing() as session: ...   one transaction; on SQLite the writer's lock is taken at once

SQLite gives a transaction that reads first and writes later no chance to wait: if another has
written meanwhile it fails. Hence BEGIN IMMEDIATE for all who write.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable

from examples.expenses.app import app
from examples.expenses.tables import Base

__all__ = ["close", "engine", "is_sqlite", "reading", "writing"]

_lock = threading.Lock()
_engines: dict[str, Engine] = {}


def engine() -> Engine:
    """Opened, and its tables made, at first use in each process."""
    app.open()  # backroom's come first: it can't make them while a transaction of ours is open
    address = app.settings.database
    with _lock:
        if address not in _engines:
            _engines[address] = _open(address)
        return _engines[address]


def close() -> None:
    """Let go of all connections."""
    with _lock:
        for each in _engines.values():
            each.dispose()
        _engines.clear()


def is_sqlite() -> bool:
    return engine().dialect.name == "sqlite"


@contextmanager
def reading() -> Iterator[Session]:
    with Session(engine(), expire_on_commit=False) as session:
        yield session


@contextmanager
def writing() -> Iterator[Session]:
    """Commits at the end of the block, rolls back when it raises."""
    with (
        Session(engine().execution_options(writes=True), expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


def _open(address: str) -> Engine:
    scheme, separator, rest = address.partition("://")
    if separator and scheme != "sqlite":
        made = create_engine(f"postgresql+psycopg://{rest}", pool_pre_ping=True)
    else:
        path = rest.removeprefix("/") if separator else address
        made = create_engine(f"sqlite:///{path}")
        event.listen(made, "connect", _prepare_sqlite)
        event.listen(made, "begin", _begin_sqlite)
    try:
        _make_tables(made)
    except BaseException:
        made.dispose()
        raise
    return made


def _prepare_sqlite(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_tables(made: Engine) -> None:
    """Several processes may come here at once; one makes them, the others find them."""
    with made.execution_options(writes=True).begin() as connection:
        if made.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('expenses tables'))"))
        for table in Base.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
