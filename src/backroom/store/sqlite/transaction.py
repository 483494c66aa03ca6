"""An open write transaction, as the verbs' modules see it: a cursor, and the one time it has.

The time is read once, after the write lock was taken, so that later transactions have later times.
With it comes what most transactions would otherwise ask for by a statement of its own: whether any
queue has rules.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

from backroom.store.statements import load

__all__ = ["Row", "Transaction", "as_json", "sql"]

Row = tuple[Any, ...]

PACKAGE = "backroom.store.sqlite"


def sql(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return load(PACKAGE, name)


WIDTH = 25
"""How many rows `Transaction.insert` puts into one statement."""


@cache
def widened(statement: str) -> str:
    """An insert of one row as one of `WIDTH` rows."""
    head, values, row = statement.rpartition("VALUES ")
    return head + values + ", ".join([row] * WIDTH)


def as_json(values: Iterable[str]) -> str:
    """A list for `IN (SELECT value FROM json_each(?))`: one statement for any number of values."""
    return json.dumps(list(values))


class Transaction:
    """A thin face over one cursor. Rows are plain tuples, whatever factory the connection has."""

    __slots__ = (
        "_cursor",
        "_execute",
        "_executemany",
        "has_full",
        "has_rules",
        "may_rescue",
        "now",
    )

    def __init__(self, connection: sqlite3.Connection, *, may_rescue: bool = True) -> None:
        self._cursor = sqlite3.Cursor(connection)
        self._cursor.row_factory = None
        self._execute = self._cursor.execute
        self._executemany = self._cursor.executemany
        self.may_rescue = may_rescue
        self.now: int
        self.has_full: bool  # some queue limits how many runs may wait
        self.has_rules: bool  # some queue has rules for claims
        self.now, self.has_full, self.has_rules = self._execute(OPENING).fetchone()

    def all(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        return self._execute(statement, parameters).fetchall()

    def one(self, statement: str, parameters: Sequence[object] = ()) -> Row | None:
        row: Row | None = self._execute(statement, parameters).fetchone()
        return row

    def run(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Perform a statement; answers how many rows it changed."""
        return self._execute(statement, parameters).rowcount

    def insert(self, statement: str, rows: Sequence[Row]) -> None:
        """Insert rows with a statement that ends in `VALUES (?, …)`.

        Many rows to a statement cost two thirds of a statement for each.
        """
        whole = len(rows) - len(rows) % WIDTH
        for start in range(0, whole, WIDTH):
            values = list(chain.from_iterable(rows[start : start + WIDTH]))
            self._execute(widened(statement), values)
        if whole < len(rows):
            self._executemany(statement, rows[whole:])

    def many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self._executemany(statement, rows)


OPENING = sql("opening")
