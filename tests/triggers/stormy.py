"""The application of the storm: each change of an item is written down, once and in its turn."""

from __future__ import annotations

import sqlite3
from typing import Any

from backroom import Backroom, Change, step

app = Backroom()

TABLES = (
    "CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL)",
    "CREATE TABLE seen (place {serial}, id integer NOT NULL, was integer NOT NULL, "
    "n integer NOT NULL)",
)


@step(transaction=True)
def write_down(connection: Any, item: int, was: int, n: int) -> None:
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    connection.execute(
        f"INSERT INTO seen (id, was, n) VALUES ({mark}, {mark}, {mark})", (item, was, n)
    )


@app.on_change("item", update=True)
@app.flow
def note(change: Change) -> None:
    assert change.old is not None
    assert change.new is not None
    write_down(change.key["id"], change.old["n"], change.new["n"])
