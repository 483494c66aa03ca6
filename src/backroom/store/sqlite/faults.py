"""SQLite's errors as ours: the cause, then the remedy."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backroom.records.errors import (
    SchemaError,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

__all__ = ["as_store_error", "mapped", "not_migrated"]


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turn whatever sqlite3 raises inside into a StoreError about the file at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_store_error(error, path) from error


def as_store_error(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return StoreFull(
                f"The disk or quota behind {path} is full. Free some space; "
                "what was accepted before is safe."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(busy(error, path))
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreDamaged(
                f"{path} is no SQLite database, or a damaged one ({error}). Correct the path; "
                "if the file should be a database, move it aside and restore a backup."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreUnavailable(read_only(path))
        case sqlite3.SQLITE_CANTOPEN if path.parent.is_dir() and not os.path.lexists(path):
            return missing(path)
        case sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailable(cannot_open(path))
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(
                f"Reading or writing {path} failed ({error}). Check the disk and the system's log."
            )
        case _:
            if "no such table: backroom_" in str(error) or "no such column" in str(error):
                return not_migrated(path)
            return StoreUnavailable(
                f"SQLite refused to work on {path}: {error}. Run `backroom doctor` to look at it."
            )


def not_migrated(path: Path) -> SchemaError:
    return SchemaError(
        f"{path} lacks backroom's tables, or some of them. Run `backroom migrate` once."
    )


def missing(path: Path) -> StoreError:
    if not os.access(path.parent, os.W_OK):
        return StoreUnavailable(read_only(path))
    return SchemaError(f"There is no database {path}. Run `backroom migrate`, or correct the path.")


def busy(error: sqlite3.Error, path: Path) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_BUSY_SNAPSHOT":
        return (
            f"This transaction has read from {path} before another one wrote, and can't write now. "
            "Begin it with BEGIN IMMEDIATE and repeat it."
        )
    return (
        f"{path} stayed locked by another transaction for longer than the busy time-out. "
        "Keep write transactions short: commit before calling out or waiting."
    )


def read_only(path: Path) -> str:
    if path.exists() and not os.access(path, os.W_OK):
        return f"{path} is read-only. Make the file writable for the user that runs this program."
    if not os.access(path.parent, os.W_OK):
        return (
            f"The folder {path.parent} is read-only, and SQLite keeps files beside {path.name}. "
            "Make the folder writable for the user that runs this program."
        )
    return f"{path} can't be written: it, or its file system, is read-only. Make it writable."


def cannot_open(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent}. Create it, or correct the database's path."
    if path.is_dir():
        return f"{path} is a folder. Name a file in it."
    if not os.access(path, os.R_OK):
        return (
            f"{path} may not be read by this user ({os.strerror(errno.EACCES)}). Change its mode."
        )
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return read_only(path)
    return f"{path} can't be opened. Check its mode, its folder's, and the limit of open files."
