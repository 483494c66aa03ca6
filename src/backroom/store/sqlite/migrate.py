"""Numbered, checksummed migrations, each in one transaction.

A migration and the row that says so are committed together, so a kill in the middle leaves either
both or neither. A second process that migrates at the same moment waits for the write lock and
then finds the work done.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from backroom.records.errors import SchemaError, StoreUnavailable
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.faults import mapped, not_migrated

__all__ = ["applied", "check", "migrate", "migrations"]


class Migration(NamedTuple):
    number: int
    name: str
    checksum: str
    text: str


@cache
def migrations() -> tuple[Migration, ...]:
    """The migrations of this program, in order."""
    found: list[Migration] = []
    folder = resources.files("backroom.store.sqlite") / "migrations"
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            name = file.name.removesuffix(".sql")
            text = file.read_text(encoding="utf-8")
            checksum = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(name.split("_")[0]), name, checksum, text))
    return tuple(sorted(found))


def applied(connection: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    """Name and checksum of the migrations that the database has, by number."""
    has_table = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'backroom_migration'"
    ).fetchone()
    if has_table is None:
        return {}
    rows = connection.execute("SELECT number, name, checksum FROM backroom_migration")
    return {number: (name, checksum) for number, name, checksum in rows}


def check(connection: sqlite3.Connection, path: Path) -> None:
    """SchemaError unless the database has exactly the migrations of this program."""
    with mapped(path):
        has = applied(connection)
    refuse_strange(has, path)
    if len(has) < len(migrations()):
        raise not_migrated(path)


def migrate(path: Path, *, busy_timeout_ms: int) -> list[str]:
    """Apply what is missing; answers the names applied."""
    created = not path.exists()
    connection = connect(path, "rwc", busy_timeout_ms=busy_timeout_ms)
    try:
        with mapped(path):
            use_write_ahead_log(connection, path, busy_timeout_ms)
            if created:
                sync_folder(path.parent)
            has = applied(connection)
            refuse_strange(has, path)
            # What is up to date is not locked: the process that opens the file may be in the middle
            # of a write transaction of its own, into which it is about to start a run.
            missing = [m for m in migrations() if m.number not in has]
            return [m.name for m in missing if apply_one(connection, path, m)]
    finally:
        connection.close()


def apply_one(connection: sqlite3.Connection, path: Path, migration: Migration) -> bool:
    """Apply this migration unless the database has it; answers whether it did."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        has = applied(connection)
        refuse_strange(has, path)
        if migration.number in has:
            connection.execute("ROLLBACK")
            return False
        connection.execute(CREATE_TABLE)
        for statement in statements(migration.text):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO backroom_migration (number, name, checksum, applied_at) "
            "VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
            (migration.number, migration.name, migration.checksum),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return True


CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS backroom_migration (
    number     INTEGER PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at TEXT NOT NULL
)
"""


def refuse_strange(has: dict[int, tuple[str, str]], path: Path) -> None:
    """SchemaError where the database has what this program doesn't know."""
    ours = {m.number: m for m in migrations()}
    newer = sorted(name for number, (name, _) in has.items() if number not in ours)
    if newer:
        raise SchemaError(
            f"{path} is newer than this program: it has {', '.join(newer)}. "
            "Install the version of backroom that migrated it, or a later one."
        )
    for number, (name, checksum) in has.items():
        if ours[number].checksum != checksum:
            raise SchemaError(
                f"Migration {name} of {path} is not the one of this program: the checksums differ. "
                "Install the version of backroom that migrated the file."
            )


def statements(text: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit before the first."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending


def use_write_ahead_log(connection: sqlite3.Connection, path: Path, busy_timeout_ms: int) -> None:
    """Switch the file to WAL. SQLite doesn't wait for other connections here, so we do."""
    give_up_at = time.monotonic() + busy_timeout_ms / 1000
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreUnavailable(
            f"{path} can't use a write-ahead log, its journal mode stays {mode}. "
            "Put the database on a local disk; network file systems don't carry it."
        )


def sync_folder(folder: Path) -> None:
    """Make a file's creation survive a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
