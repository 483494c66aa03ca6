"""An application, and another program that writes to the same database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backroom import Backroom
from backroom.records.runs import RunRow
from backroom.records.triggers import Fired
from backroom.store.verbs import Fire


class Outsider:
    """A connection that knows nothing of backroom and commits every statement by itself, but for
    what stands between BEGIN and COMMIT."""

    def __init__(self, connection: Any, app: Backroom) -> None:
        self.connection = connection
        self.app = app

    def __call__(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        if isinstance(self.connection, sqlite3.Connection):
            return cursor.execute(statement, values).fetchall()  # type: ignore[no-any-return]
        cursor.execute(statement.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self.connection, sqlite3.Connection)

    def fire(self) -> int:
        """Turn what has changed into runs, as a worker does; how many."""
        started = 0
        while True:
            fired: Fired = self.app.office.doors.call(Fire(1_000))
            started += fired.started
            if not fired.more:
                return started

    def runs(self, flow: str | None = None) -> list[RunRow]:
        """The runs so far, the oldest first."""
        self.fire()
        rows = self.app.office.read(lambda reader: reader.runs(flow=flow, limit=10_000)).result()
        return sorted(rows, key=lambda row: (row.created_at, row.id))

    def changes(self) -> list[Any]:
        """What the flow of each run so far is given."""
        found = []
        for row in self.runs():
            spec = self.app.flows[row.flow]
            (argument,) = spec.signature.decode(row.input).values()
            found.append(argument)
        return found


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, poll=0.02)
    made.open()
    yield made
    made.close()


@pytest.fixture
def outside(database: str, app: Backroom) -> Iterator[Outsider]:
    connection: Any
    if database.startswith("postgresql"):
        with psycopg.connect(database, autocommit=True) as connection:
            yield Outsider(connection, app)
    else:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            yield Outsider(connection, app)


@pytest.fixture
def sqlite_app(sqlite_file: Path) -> Iterator[Backroom]:
    made = Backroom(sqlite_file, poll=0.02)
    made.open()
    yield made
    made.close()
