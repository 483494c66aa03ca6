"""Three stores side by side: SQLite, PostgreSQL and the model; what they hold is compared.

Their clocks stand still and are moved by hand, so that times are compared as well.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import psycopg

from backroom.records.queues import QueueRules
from backroom.records.states import State
from backroom.store.postgres import PostgresStore
from backroom.store.protocol import Reader, Store
from backroom.store.sqlite import SqliteStore
from backroom.store.verbs import Reconcile, Rescue, Retire, Verb
from tests.store.desk import SECOND
from tests.store.model import Model, Row

__all__ = ["BEGIN", "Different", "Lite", "Server", "Side", "Trio", "plain", "trio"]

BEGIN = 1_900_000_000 * SECOND

KEYS = {
    "attempt": ("run_id", "attempt"),
    "audit": ("id",),
    "breaker": ("name",),
    "event": ("id",),
    "key": ("flow", "key"),
    "live": ("id",),
    "lock": ("turn",),
    "progress": ("run_id",),
    "queue": ("name",),
    "result": ("run_id",),
    "run": ("id",),
    "step": ("run_id", "address"),
    "wait": ("run_id", "address"),
    "worker": ("id",),
}
"""Every table, with what its rows are ordered by."""

OWN_TO_ONE = {"ruled", "turn"}
"""Columns that only one of them has, or counts in its own way."""

ANY_LEADER = re.compile(r"the run \S+, after which it was to begin, has \w+")
"""Of several that end in one batch any may be named."""


class Different(AssertionError):
    """The three don't hold or answer the same."""


class Side(Protocol):
    """One of the three."""

    name: str

    def apply(self, verbs: Sequence[Verb]) -> list[object]: ...

    def set_clock(self, now: int) -> None: ...

    def rows(self) -> dict[str, list[Row]]: ...

    def empty(self) -> None: ...


class OfModel:
    name = "the model"

    def __init__(self) -> None:
        self.model = Model(BEGIN)

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        return self.model.apply(verbs)

    def set_clock(self, now: int) -> None:
        self.model.tables.now = now

    def rows(self) -> dict[str, list[Row]]:
        return {table: [readable(row) for row in rows] for table, rows in self.model.rows().items()}

    def empty(self) -> None:
        self.model = Model(BEGIN)


class Lite:
    name = "SQLite"

    def __init__(self, store: Store, connection: sqlite3.Connection) -> None:
        self.session = store.session()
        self.reader = store.reader()
        self._connection = connection
        store.stop_clock()

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        return self.session.apply(verbs)

    def set_clock(self, now: int) -> None:
        self._connection.execute("UPDATE backroom_still SET now_us = ?", (now,))

    def rows(self) -> dict[str, list[Row]]:
        found = {}
        for table, key in KEYS.items():
            rows = self._connection.execute(
                f"SELECT * FROM backroom_{table} ORDER BY {', '.join(key)}"
            )
            columns = [column for column, *_ in rows.description]
            found[table] = [readable(dict(zip(columns, row, strict=True))) for row in rows]
        return found

    def empty(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE backroom_live SET tied = NULL")
        for table in KEYS:
            self._connection.execute(f"DELETE FROM backroom_{table}")
        self._connection.execute("COMMIT")


class Server:
    name = "PostgreSQL"

    def __init__(self, store: Store, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        # A row and not a constant, as on SQLite: a changed function has every plan made anew.
        connection.execute("CREATE TABLE backroom.still (now_us bigint)")
        connection.execute("INSERT INTO backroom.still VALUES (0)")
        connection.execute(
            "CREATE OR REPLACE FUNCTION backroom.now_us() RETURNS bigint LANGUAGE sql STABLE "
            "PARALLEL SAFE AS 'SELECT now_us FROM backroom.still'"
        )
        self.session = store.session()
        self.reader = store.reader()
        rows = " UNION ALL ".join(
            f"SELECT '{table}', to_jsonb(t) FROM backroom.{table} AS t" for table in KEYS
        )
        self._all = rows.encode()

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        return self.session.apply(verbs)

    def set_clock(self, now: int) -> None:
        self._connection.execute("UPDATE backroom.still SET now_us = %s", [now])

    def rows(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {table: [] for table in KEYS}
        for table, row in self._connection.execute(self._all):
            found[table].append(row)
        for table, key in KEYS.items():
            found[table].sort(key=lambda row, key=key: [row[column] for column in key])  # type: ignore[misc]
        return {table: [readable(row) for row in rows] for table, rows in found.items()}

    def empty(self) -> None:
        tables = ", ".join(f"backroom.{table}" for table in KEYS)
        self._connection.execute(f"TRUNCATE {tables} RESTART IDENTITY".encode())


class Trio:
    """The three, one clock, and the seed's chances."""

    def __init__(self, model: OfModel, sides: Sequence[Side], readers: Sequence[Reader]) -> None:
        self._model = model
        self.sides = (model, *sides)
        self.readers = readers
        self.now = BEGIN
        self.done: list[list[Verb]] = []

    @property
    def tables(self) -> Any:
        """What there is, as the model has it."""
        return self._model.model.tables

    def empty(self) -> None:
        """Begin anew, at the first moment."""
        for side in self.sides:
            side.empty()
        self.done = []
        self.set_clock(BEGIN)

    def set_clock(self, now: int) -> None:
        self.now = now
        for side in self.sides:
            side.set_clock(now)

    def do(self, verbs: list[Verb]) -> list[object]:
        """Perform a batch on all three; its answers, which are the same."""
        self.done.append(verbs)
        answers = [side.apply(verbs) for side in self.sides]
        told = [
            [comparable(verb, answer) for verb, answer in zip(verbs, each, strict=True)]
            for each in answers
        ]
        self._compare(told, "the answer")
        self._compare([side.rows() for side in self.sides], "table")
        return answers[0]

    def look_through_readers(self, chance: random.Random) -> None:
        """What the two databases' readers make of the same rows."""
        for look in looks(self.tables, chance):
            lite, server = (plain(look(reader)) for reader in self.readers)
            same(lite, server, "SQLite's reader", "PostgreSQL's", "answer")

    def _compare(self, of_each: Sequence[object], where: str) -> None:
        mine, *others = of_each
        for side, theirs in zip(self.sides[1:], others, strict=True):
            if theirs != mine:
                same(mine, theirs, self.sides[0].name, side.name, where)


def looks(tables: Any, chance: random.Random) -> Iterator[Callable[[Reader], object]]:
    ids, live = sorted(tables.run), sorted(tables.live)
    state = chance.choice(list(State))
    yield lambda reader: reader.runs(limit=1000)
    yield lambda reader: reader.runs(states=[state], limit=1000)
    yield lambda reader: reader.runs(flow="other", queue="limited", limit=3)
    yield lambda reader: reader.mail(ids)
    yield lambda reader: reader.ended(ids)
    yield lambda reader: reader.workers()
    yield lambda reader: reader.queues()
    yield lambda reader: reader.chores(()).expired
    yield lambda reader: reader.locks()
    yield lambda reader: reader.breakers()
    yield lambda reader: reader.audit(100)
    yield lambda reader: reader.about("person", None, 100)
    yield lambda reader: [reader.cancelled(worker) for worker in ("anna", "bert", "carl")]
    yield lambda reader: [reader.in_queue(run_id) for run_id in live[-5:]]
    yield lambda reader: [
        (reader.steps(i), reader.waits(i), reader.attempts(i), reader.locks_of(i)) for i in ids[-5:]
    ]


# --- comparing ------------------------------------------------------------------------------------


def same(mine: object, theirs: object, me: str, them: str, where: str) -> None:
    """Fail at the first place where the two differ."""
    match mine, theirs:
        case (list() | tuple(), list() | tuple()) if len(mine) == len(theirs):
            for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
                same(one, other, me, them, f"{where}[{place}]")
        case (dict(), dict()) if mine.keys() == theirs.keys():
            for key in mine:
                same(mine[key], theirs[key], me, them, f"{where} {key}")
        case _:
            if mine != theirs:
                raise Different(f"{where}: {me} has {mine!r}, {them} has {theirs!r}")


def comparable(verb: Verb, answer: object) -> object:
    told = plain(answer)
    # Released runs come in no order.
    return sorted(told) if isinstance(verb, Retire | Rescue | Reconcile) else told  # type: ignore[call-overload]


def plain(value: object) -> object:
    """Something to compare: errors by what they say, dataclasses by their fields."""
    if isinstance(value, Exception):
        return (type(value).__name__, str(value))
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, plain(getattr(value, field.name))) for field in fields(value))
        return (type(value).__name__, *pairs)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return as_read(value) if isinstance(value, str) else value


def readable(row: Row) -> Row:
    """A row with its JSON read, since each writes that in its own way."""
    return {
        name: rules_of(value)
        if name == "declared"
        else as_read(value)
        if isinstance(value, str)
        else value
        for name, value in row.items()
        if name not in OWN_TO_ONE
    }


@lru_cache(maxsize=10_000)
def as_read(text: str) -> object:
    text = ANY_LEADER.sub("a run, after which it was to begin, hasn't succeeded", text)
    return json.loads(text) if text.startswith(("{", '["', "[]")) else text


def rules_of(declared: str | QueueRules | None) -> list[object] | None:
    """What a program has declared of a queue; each keeps it in a form of its own."""
    names = ("concurrency", "per_partition", "rate", "per_us", "burst", "max_waiting")
    match declared:
        case QueueRules():
            return [getattr(declared, field.name) for field in fields(QueueRules)][1:]
        case str():
            found = json.loads(declared)
            return found[1:] if isinstance(found, list) else [found[name] for name in names]
        case _:
            return None


# --- opening --------------------------------------------------------------------------------------


@contextmanager
def trio(sqlite_file: Path, postgres_dsn: str) -> Iterator[Trio]:
    """The three on fresh databases with our tables."""
    with (
        closing(SqliteStore(sqlite_file)) as lite_store,
        closing(PostgresStore(postgres_dsn)) as server_store,
        closing(sqlite3.connect(sqlite_file, isolation_level=None)) as lite_looks,
        psycopg.connect(postgres_dsn, autocommit=True) as server_looks,
    ):
        lite_looks.execute("PRAGMA synchronous = OFF")
        lite, server = Lite(lite_store, lite_looks), Server(server_store, server_looks)
        with (
            closing(lite.session),
            closing(lite.reader),
            closing(server.session),
            closing(server.reader),
        ):
            made = Trio(OfModel(), (lite, server), (lite.reader, server.reader))
            made.set_clock(BEGIN)
            yield made
