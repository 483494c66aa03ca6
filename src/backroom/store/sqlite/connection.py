"""Opening the file, and never carrying an open handle across a fork.

A forked child inherits the handle but not the locks behind it; using or even closing it there can
damage the database. So every handle knows the process it belongs to. In a child it answers with an
error, is kept from being closed by the garbage collector, and a session or reader reopens.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import weakref
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from backroom.store.sqlite.faults import mapped

__all__ = ["connect"]

Mode = Literal["ro", "rw", "rwc"]


class Handle(sqlite3.Connection):
    """A connection that only the process that opened it may use."""


OPEN: weakref.WeakSet[Handle] = weakref.WeakSet()


def connect(path: Path, mode: Mode, *, busy_timeout_ms: int, checkpoints: bool = True) -> Handle:
    """Open the database file; `rwc` creates it.

    `checkpoints`: False keeps this connection from ever moving the log into the file by itself.
    """
    with mapped(path):
        handle = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=Handle,
        )
        OPEN.add(handle)
        try:
            handle.execute("PRAGMA synchronous = FULL")
            if mode != "ro":
                pages = AUTOCHECKPOINT_PAGES if checkpoints else 0
                handle.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        except sqlite3.Error:
            handle.close()
            raise
    return handle


AUTOCHECKPOINT_PAGES = 1000


def keep_inherited() -> None:
    """In a child after a fork: never let the collector close what the parent has open."""
    for handle in list(OPEN):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
    OPEN.clear()


os.register_at_fork(after_in_child=keep_inherited)
