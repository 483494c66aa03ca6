"""`python -m benchmarks.changes [rows] [sqlite|postgres]`: what watching a table costs its writers.

The same writes to a table nobody watches, to one whose trigger carries the key and one column, and
to one whose trigger carries whole rows; and to one whose trigger stores the run itself, which is
how we don't do it. They take turns, so that a drift of the machine meets all alike. Counted is
processor time: of this process on SQLite, of the server's process on PostgreSQL. The log is emptied
between.

    single   an INSERT in a transaction of its own
    bulk     an UPDATE of many rows in one statement
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from backroom import Backroom, Change
from benchmarks.places import Place, postgres_place, sqlite_place

SINGLE = 2_000
BULK = 100_000
ROUNDS = 5
VARIANTS = ("plain", "named", "whole", "straight")
TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    bulk = int(sys.argv[1]) if len(sys.argv) > 1 else BULK
    places = {"sqlite": sqlite_place, "postgres": postgres_place}
    for make in [places[name] for name in sys.argv[2:] or places]:
        with make() as place, place.database() as database:
            measure(place, database.address, bulk)


def measure(place: Place, address: str, bulk: int) -> None:
    app = declared(address)
    app.open()
    connection = connect(address)
    for name in VARIANTS:
        connection.execute(
            f"CREATE TABLE {name} (id integer PRIMARY KEY, status text, amount integer, "
            "title text, who text, at text)"
        )
    app.install_triggers()
    app.close()
    store_straight(connection)
    used = processor_of(connection)
    singles: dict[str, list[float]] = {name: [] for name in VARIANTS}
    bulks: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(ROUNDS):
        for name in VARIANTS:
            began = used()
            for n in range(SINGLE):
                connection.execute(row(name, turn * SINGLE + n))
            singles[name].append((used() - began) / SINGLE * 1e6)
            empty(connection)
    for name in VARIANTS:
        connection.execute(f"DELETE FROM {name}")  # noqa: S608
        fill(connection, name, bulk)
        empty(connection)
    for _ in range(ROUNDS):
        for name in VARIANTS:
            began = used()
            connection.execute(f"UPDATE {name} SET amount = amount + 1")  # noqa: S608
            bulks[name].append(used() - began)
            empty(connection)
    print(f"{place.name} {place.version}, {ROUNDS} rounds, {bulk:,} rows in bulk")
    for what, unit, found in (("single", "µs", singles), ("bulk", "s", bulks)):
        for name in VARIANTS:
            ratios = [a / b for a, b in zip(found[name], found["plain"], strict=True)]
            low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
            median = statistics.median(found[name])
            print(
                f"  {what:6} {name:9} {median:9.2f} {unit:2}  {middle:5.2f} of plain "
                f"({low:.2f} to {high:.2f})"
            )
    connection.close()


def declared(address: str) -> Backroom:
    app = Backroom(address)

    @app.flow
    async def look(change: Change) -> None: ...

    app.on_change("named", insert=True, update=True, columns=["amount"], carry=["amount"],
                  name="named")(look)  # fmt: skip
    app.on_change("whole", insert=True, update=True, columns=["amount"], name="whole")(look)
    return app


def connect(address: str) -> Any:
    if address.startswith("postgresql"):
        return psycopg.connect(address, autocommit=True)
    connection = sqlite3.connect(address, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def store_straight(connection: Any) -> None:
    """Triggers that start a run by the public SQL."""
    if isinstance(connection, sqlite3.Connection):
        for event in ("INSERT", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER straight_{event} AFTER {event} ON straight BEGIN "  # noqa: S608
                "INSERT INTO backroom_start (flow, input) VALUES ('look', "
                "json_object('id', NEW.id, 'amount', NEW.amount)); END"
            )
        return
    connection.execute(
        "CREATE FUNCTION straight() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM backroom.start('look', json_build_object('id', n.id, 'amount', n.amount)) "
        "FROM new_rows AS n; RETURN NULL; END $$"
    )
    for event in ("INSERT", "UPDATE"):
        connection.execute(
            f"CREATE TRIGGER straight_{event} AFTER {event} ON straight REFERENCING NEW TABLE AS "
            "new_rows FOR EACH STATEMENT EXECUTE FUNCTION straight()"
        )


def row(table: str, number: int) -> str:
    return (
        f"INSERT INTO {table} VALUES ({number}, 'new', 1, 'a title of some length', "  # noqa: S608
        "'somebody', '2026-01-01T00:00:00Z')"
    )


def fill(connection: Any, table: str, rows: int) -> None:
    connection.execute("BEGIN")
    for number in range(rows):
        connection.execute(row(table, number))
    connection.execute("COMMIT")


def empty(connection: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        for table in ("change", "run", "live"):
            connection.execute(f"DELETE FROM backroom_{table}")  # noqa: S608
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    connection.execute("TRUNCATE backroom.change, backroom.run, backroom.live")


def processor_of(connection: Any) -> Callable[[], float]:
    """The processor time so far of whoever does the work."""
    if isinstance(connection, sqlite3.Connection):
        return time.process_time
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()

    def used() -> float:
        with closing(open(f"/proc/{pid}/stat")) as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    return used


if __name__ == "__main__":
    main()
