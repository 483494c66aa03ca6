"""Private databases for simulations: SQLite files with our tables, nothing in them, and a clock
that stands still."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from backroom.store.sqlite.store import SqliteStore

__all__ = ["Files", "private_files"]

MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own is made in it


class Files:
    """Fresh databases in one folder, one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def fresh(self) -> str:
        for old in self._folder.glob("case-*"):
            old.unlink()
        self._made += 1
        path = self._folder / f"case-{self._made}.db"
        path.write_bytes(_template())
        return str(path)


@contextmanager
def private_files() -> Iterator[Files]:
    """In memory where the system has a folder there: nobody pulls a plug in a simulation, so
    nothing has to be synced to a disk."""
    there = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="backroom-", dir=there))
    try:
        yield Files(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _template() -> bytes:
    """A migrated file. Made once: migrating takes longer than a whole execution."""
    with tempfile.TemporaryDirectory(prefix="backroom-") as folder:
        path = Path(folder) / "template.db"
        store = SqliteStore(path)
        store.migrate()
        store.stop_clock()
        store.close()
        return path.read_bytes()
