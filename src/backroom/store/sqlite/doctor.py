"""What `doctor` looks at in a SQLite file."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from backroom.records.errors import StoreError
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.faults import mapped, read_only
from backroom.store.sqlite.migrate import check, migrations
from backroom.store.sqlite.transaction import sql

__all__ = ["diagnose"]

Finding = tuple[str, str, str]

LOG_BYTES = 256 * 1024 * 1024
FREE_BYTES = 256 * 1024 * 1024
WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))


def diagnose(path: Path, *, busy_timeout_ms: int) -> list[Finding]:
    """(level, what, remedy), the level being ok, warning or error."""
    try:
        connection = connect(path, "rw", busy_timeout_ms=busy_timeout_ms)
        with closing(connection), mapped(path):
            return [
                *library(), *file(path), *log(path), *settings(connection),
                *tables(connection, path),
            ]  # fmt: skip
    except StoreError as error:
        cause, _, remedy = str(error).partition(". ")
        return [("error", cause + ".", remedy)]


def library() -> Iterator[Finding]:
    first, last = WAL_RESET_BUG
    version = sqlite3.sqlite_version
    if first <= sqlite3.sqlite_version_info <= last:
        yield (
            "warning",
            f"SQLite {version} has the rare WAL-reset bug of 3.7.0 to 3.51.2, which can "
            "damage a file that several connections write and checkpoint at once.",
            "Use a Python whose SQLite is newer where you can; keep backups.",
        )
    else:
        yield ("ok", f"SQLite {version}.", "")


def file(path: Path) -> Iterator[Finding]:
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        yield ("ok", f"{path} and its folder are writable.", "")
    else:
        cause, _, remedy = read_only(path).partition(". ")
        yield ("error", cause + ".", remedy)
    free = shutil.disk_usage(path.parent).free
    what = f"{free // 1_000_000:,} MB are free on the disk of {path}."
    if free < FREE_BYTES:
        yield ("warning", what, "Free some space; a full disk stops the intake of work.")
    else:
        yield ("ok", what, "")


def log(path: Path) -> Iterator[Finding]:
    """The write-ahead log shrinks when no reader needs its beginning any more."""
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > LOG_BYTES:
        what = f"The log {log} has grown to {size // 1_000_000:,} MB."
        yield (
            "warning",
            what,
            "Close transactions that stay open for hours; it can't shrink.",
        )


def settings(connection: sqlite3.Connection) -> Iterator[Finding]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode == "wal":
        yield ("ok", "journal_mode is wal.", "")
    else:
        yield ("error", f"journal_mode is {mode}.", "Run `backroom migrate`, which sets it to wal.")
    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    if level >= 2:
        yield ("ok", "synchronous is full on our connections.", "")
    else:
        yield ("error", f"synchronous is {level}.", "Set it to FULL: less can lose commits.")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found == "ok":
        yield ("ok", "The file passes SQLite's quick check.", "")
    else:
        yield ("error", f"The file is damaged: {found}.", "Move it aside and restore a backup.")


def tables(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    check(connection, path)
    yield ("ok", f"The schema is that of this program, {migrations()[-1].name}.", "")
    (expired,) = connection.execute(sql("count_expired_workers")).fetchone()
    if expired:
        what = "1 worker has" if expired == 1 else f"{expired} workers have"
        yield ("warning", f"{what} an expired lease.", "Start a worker: it releases their runs.")
    else:
        yield ("ok", "No worker has an expired lease.", "")
