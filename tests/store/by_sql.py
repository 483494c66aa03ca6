"""The same wishes in the SQL of either database, as another program would utter them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg

__all__ = ["Outsider", "outsider"]


class Outsider:
    """A connection that knows nothing of backroom but its public functions and views."""

    def __init__(self, connection: sqlite3.Connection | psycopg.Connection[Any]) -> None:
        self.connection = connection

    def start(self, flow: str, data: str | None = None, **fields: Any) -> str:
        """Start a run; its id. `fields`: as the columns of SQLite's view."""
        if isinstance(self.connection, sqlite3.Connection):
            given = {"flow": flow, "input": data, **fields}
            columns, marks = ", ".join(given), ", ".join("?" * len(given))
            statement = f"INSERT INTO backroom_start ({columns}) VALUES ({marks})"
            before = set(self.connection.execute("SELECT id FROM backroom_runs"))
            self.connection.execute(statement, tuple(given.values()))
            if "id" in fields:
                return str(fields["id"])
            if "key" in fields:
                query = "SELECT id FROM backroom_runs WHERE flow = ? AND key = ?"
                return str(self.connection.execute(query, (flow, fields["key"])).fetchone()[0])
            ((run_id,),) = set(self.connection.execute("SELECT id FROM backroom_runs")) - before
            return str(run_id)
        call, values = ["%s", "%s::json"], [flow, data]
        for name, value in fields.items():
            call.append(f"{NAMES.get(name, name)} => {CASTS.get(name, '%s')}")
            values.append(value)
        cursor = self.connection.execute(f"SELECT backroom.start({', '.join(call)})", values)
        (found_id,) = cursor.fetchone() or (None,)
        assert isinstance(found_id, UUID)
        return str(found_id)

    def cancel(self, run_id: str, reason: str = "") -> None:
        if isinstance(self.connection, sqlite3.Connection):
            statement = "INSERT INTO backroom_cancel (run_id, reason) VALUES (?, ?)"
            self.connection.execute(statement, (run_id, reason))
        else:
            self.connection.execute("SELECT backroom.cancel(%s, %s)", (run_id, reason))

    def reschedule(self, run_id: str, delay_seconds: float) -> None:
        if isinstance(self.connection, sqlite3.Connection):
            statement = "INSERT INTO backroom_reschedule (run_id, delay_seconds) VALUES (?, ?)"
            self.connection.execute(statement, (run_id, delay_seconds))
        else:
            statement = "SELECT backroom.reschedule(%s, delay => make_interval(secs => %s))"
            self.connection.execute(statement, (run_id, delay_seconds))


NAMES = {"delay_seconds": "delay", "timeout_seconds": "timeout", "expires_seconds": "expires"}
CASTS = {
    "delay_seconds": "make_interval(secs => %s)",
    "timeout_seconds": "make_interval(secs => %s)",
    "expires_seconds": "make_interval(secs => %s)",
    "id": "%s::uuid",
    "at": "%s::timestamptz",
}


@contextmanager
def outsider(database: str) -> Iterator[Outsider]:
    """On a connection that commits every statement by itself."""
    if database.startswith("postgresql"):
        with psycopg.connect(database, autocommit=True) as server:
            yield Outsider(server)
    else:
        with closing(sqlite3.connect(database, isolation_level=None)) as file:
            yield Outsider(file)
