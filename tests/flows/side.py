"""A table of the author's own, beside backroom's in the same database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

__all__ = ["Side", "insert"]

CREATE = "CREATE TABLE side (n integer NOT NULL, who text NOT NULL DEFAULT '')"


def insert(connection: Any, n: int, who: str = "") -> None:
    """Put a number into the table, with whichever driver's connection."""
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    connection.execute(f"INSERT INTO side (n, who) VALUES ({mark}, {mark})", (n, who))


class Side:
    """The table as the test sees it: through connections that are none of backroom's."""

    def __init__(self, database: str, *, create: str = CREATE) -> None:
        self.database = database
        self.query(create)

    def numbers(self) -> list[int]:
        return [row[0] for row in self.query("SELECT n FROM side ORDER BY n")]

    def query(self, text: str) -> list[tuple[Any, ...]]:
        if self.database.startswith("postgresql"):
            with psycopg.connect(self.database, autocommit=True) as server:
                cursor = server.execute(text.encode())
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            return connection.execute(text).fetchall()
