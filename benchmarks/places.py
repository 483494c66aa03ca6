"""Where to measure: a new database of either kind for every round, with full durability."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import psycopg

from benchmarks.raw import Raw
from benchmarks.raw_postgres import RawPostgres
from benchmarks.raw_sqlite import RawSqlite
from tests.postgres import Server, drop_database, fresh_database, postgres_server

__all__ = ["Database", "Place", "postgres_place", "sqlite_place"]


class Database(Protocol):
    """One database, empty at first."""

    address: str

    def is_drained(self) -> bool:
        """Whether no run is left in backroom's hot table."""
        ...


class Place(Protocol):
    """A kind of database."""

    name: str
    version: str
    durability: str

    def database(self) -> AbstractContextManager[Database]: ...

    def raw(self) -> AbstractContextManager[Raw]:
        """The same kind without backroom, with minimal tables of its own."""
        ...


class SqliteDatabase:
    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._connection: sqlite3.Connection | None = None

    def is_drained(self) -> bool:
        if self._connection is None:
            self._connection = sqlite3.connect(self.address, isolation_level=None)
        found = self._connection.execute("SELECT 1 FROM backroom_live LIMIT 1").fetchone()
        return found is None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class SqlitePlace:
    name = "SQLite"
    version = sqlite3.sqlite_version
    durability = "WAL, synchronous=FULL"

    @contextmanager
    def database(self) -> Iterator[SqliteDatabase]:
        with (
            TemporaryDirectory(prefix="backroom-bench-") as folder,
            closing(SqliteDatabase(Path(folder) / "backroom.db")) as database,
        ):
            yield database

    @contextmanager
    def raw(self) -> Iterator[Raw]:
        with (
            TemporaryDirectory(prefix="backroom-bench-") as folder,
            closing(RawSqlite(Path(folder) / "raw.db")) as raw,
        ):
            yield raw


class PostgresDatabase:
    def __init__(self, dsn: str) -> None:
        self.address = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)

    def is_drained(self) -> bool:
        found = self._connection.execute("SELECT 1 FROM backroom.live LIMIT 1").fetchone()
        return found is None

    def close(self) -> None:
        self._connection.close()


class PostgresPlace:
    name = "PostgreSQL"

    def __init__(self, server: Server) -> None:
        self._server = server
        with psycopg.connect(server.dsn) as connection:
            self.version = connection.info.parameter_status("server_version") or "?"
            settings = {
                name: connection.execute(f"SHOW {name}".encode()).fetchone()
                for name in ("fsync", "synchronous_commit", "full_page_writes")
            }
        self.durability = ", ".join(f"{name}={row and row[0]}" for name, row in settings.items())

    @contextmanager
    def database(self) -> Iterator[PostgresDatabase]:
        dsn = fresh_database(self._server)
        try:
            with closing(PostgresDatabase(dsn)) as database:
                yield database
        finally:
            drop_database(self._server, dsn)

    @contextmanager
    def raw(self) -> Iterator[Raw]:
        dsn = fresh_database(self._server)
        try:
            with closing(RawPostgres(dsn)) as raw:
                yield raw
        finally:
            drop_database(self._server, dsn)


@contextmanager
def sqlite_place() -> Iterator[Place]:
    yield SqlitePlace()


@contextmanager
def postgres_place() -> Iterator[Place]:
    with postgres_server("newest", durable=True) as server:
        yield PostgresPlace(server)
