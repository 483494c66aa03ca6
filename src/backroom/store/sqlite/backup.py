"""Copying the whole file while others write, and putting such a copy in the file's place.

SQLite's own backup copies one snapshot of the file: readers and writers go on meanwhile, and the
copy holds all that was committed before it began. Putting one in place goes the same way round: the
new content is one transaction of the old file, so programs that have it open see it and are not
left behind with a file that nobody else can see.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from backroom.records.errors import Refused, StoreUnavailable
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.epoch import begin_epoch
from backroom.store.sqlite.faults import mapped
from backroom.store.sqlite.migrate import applied, check, migrate, sync_folder

__all__ = ["backup", "restore"]


def backup(path: Path, target: Path, *, busy_timeout_ms: int) -> None:
    """Copy the database to a file that doesn't exist yet; it is there once it is whole."""
    target = target.absolute()
    if target.exists():
        raise Refused(f"{target} exists already. Name another file, or move that one away.")
    with closing(connect(path, "ro", busy_timeout_ms=busy_timeout_ms)) as source, mapped(path):
        check(source, path)
        with draft(target) as unfinished:
            copy(source, unfinished)
            os.replace(unfinished, target)
            sync_folder(target.parent)


def restore(path: Path, source: Path, audit_id: str, by: str, *, busy_timeout_ms: int) -> int:
    """Put a copy in the database's place and begin a new epoch, in one transaction of the file.
    Answers how many runs were running in the copy, which are ready now."""
    source = source.absolute()
    if path.exists() and source.samefile(path):
        raise Refused(f"{source} is the database itself. Name the file with the backup.")
    with draft(path) as unfinished:
        # The copy stays as it is: what is changed is a copy of it.
        backed = connect(source, "ro", busy_timeout_ms=busy_timeout_ms)
        with closing(backed), mapped(source):
            if not applied(backed):
                raise Refused(f"{source} has no tables of backroom. Name a backup of its database.")
            copy(backed, unfinished)
        migrate(unfinished, busy_timeout_ms=busy_timeout_ms)
        with closing(connect(unfinished, "rw", busy_timeout_ms=busy_timeout_ms)) as made:
            with mapped(source):
                released = begin_epoch(made, audit_id, by)
            into = connect(path, "rwc", busy_timeout_ms=busy_timeout_ms)
            with closing(into), mapped(path):
                made.backup(into)
        migrate(path, busy_timeout_ms=busy_timeout_ms)  # sees to the mode of the log
    sync_folder(path.parent)
    return released


def copy(source: sqlite3.Connection, target: Path) -> None:
    """All pages of one snapshot, synced."""
    with closing(sqlite3.connect(target, isolation_level=None)) as made:
        source.backup(made)
    with target.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """A file beside the target that is gone afterwards, with what SQLite puts beside it."""
    if not target.parent.is_dir():
        raise StoreUnavailable(
            f"There is no folder {target.parent}. Create it, or correct the path."
        )
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{unfinished}{end}").unlink(missing_ok=True)
