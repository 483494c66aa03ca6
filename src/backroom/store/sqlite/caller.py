"""Start and emit on the caller's own connection, inside the caller's own transaction.

The connection is the application's: its row factory, text factory and isolation level are as the
application likes them and stay so. We write with a cursor of our own between a savepoint and its
release, so a refusal leaves nothing behind in the caller's transaction.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backroom.records.errors import Refused
from backroom.records.runs import NewRun, Started
from backroom.store.sqlite.doors import emit
from backroom.store.sqlite.faults import mapped
from backroom.store.sqlite.migrate import check
from backroom.store.sqlite.starts import start_all
from backroom.store.sqlite.transaction import Transaction
from backroom.store.verbs import Emit, Start

__all__ = ["emit_on", "join", "start_on"]


def start_on(connection: Any, path: Path, runs: Sequence[NewRun]) -> list[Started]:
    with joined(connection, path) as tx:
        answers = start_all(tx, runs)
        for answer in answers:
            if isinstance(answer, Refused):
                raise answer
    return [answer for answer in answers if isinstance(answer, Started)]


def emit_on(connection: Any, path: Path, verb: Emit) -> None:
    with joined(connection, path) as tx:
        refusal = emit(tx, verb)
    if refusal is not None:
        raise refusal


async def join(connection: Any, path: Path, verbs: Sequence[Start | Emit]) -> list[object]:
    """The same on a connection of aiosqlite's: in its own thread, where all its work is done."""
    aiosqlite = sys.modules.get("aiosqlite")
    if aiosqlite is None or not isinstance(connection, aiosqlite.Connection):
        raise Refused(
            f"A {type(connection).__qualname__} is no aiosqlite connection, and {path} is a SQLite "
            "database. Pass the aiosqlite.Connection whose transaction this call shall join."
        )
    answers: list[object] = await connection._execute(perform, connection._conn, path, verbs)
    return answers


def perform(connection: Any, path: Path, verbs: Sequence[Start | Emit]) -> list[object]:
    answers: list[object] = []
    with joined(connection, path) as tx:
        for verb in verbs:
            if isinstance(verb, Start):
                answers += start_all(tx, [verb.run])
            elif (refusal := emit(tx, verb)) is not None:
                raise refusal
            else:
                answers.append(None)
    return answers


@contextmanager
def joined(connection: Any, path: Path) -> Iterator[Transaction]:
    """A transaction that is part of the caller's."""
    if not isinstance(connection, sqlite3.Connection):
        raise Refused(
            f"A {type(connection).__qualname__} is no sqlite3 connection, and {path} is a SQLite "
            "database. Pass the sqlite3.Connection whose transaction this call shall join."
        )
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    text_factory, connection.text_factory = connection.text_factory, str
    try:
        with mapped(path):
            refuse_other_file(cursor, path)
            enter(connection, cursor)
            cursor.execute("SAVEPOINT backroom_caller")
            try:
                check(connection, path)
                yield Transaction(connection)
            except BaseException:
                cursor.execute("ROLLBACK TO backroom_caller")
                raise
            finally:
                cursor.execute("RELEASE backroom_caller")
    finally:
        connection.text_factory = text_factory


def refuse_other_file(cursor: sqlite3.Cursor, path: Path) -> None:
    for _, name, file in cursor.execute("PRAGMA database_list").fetchall():
        if name == "main":
            if file and os.path.exists(file) and os.path.samefile(file, path):
                return
            raise Refused(
                f"This connection leads to {file or 'a database in memory'}, and the runs are kept "
                f"in {path}. Pass a connection to that file, or start without one."
            )


def enter(connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> None:
    """See that a transaction is open which the caller will commit.

    With sqlite3's implicit transactions any write begins one, so ours does too; IMMEDIATE, since
    that can't fail later on another's write. A connection that commits by itself would break the
    promise that the run exists if and only if the caller's rows do.
    """
    if connection.in_transaction:
        return
    if connection.isolation_level is None or getattr(connection, "autocommit", None) is True:
        raise Refused(
            "No transaction is open on this connection, which commits every statement by itself. "
            "Execute BEGIN IMMEDIATE before, or start without a connection."
        )
    cursor.execute("BEGIN IMMEDIATE")
