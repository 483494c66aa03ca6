"""Opening the file, with the settings that every connection of ours has."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from backroom.store.sqlite.faults import mapped

__all__ = ["connect"]

Mode = Literal["ro", "rw", "rwc"]


AUTOCHECKPOINT_PAGES = 1000


def connect(
    path: Path, mode: Mode, *, busy_timeout_ms: int, checkpoints: bool = True
) -> sqlite3.Connection:
    """Open the database file; `rwc` creates it.

    `checkpoints`: False keeps this connection from ever moving the log into the file by itself.
    """
    with mapped(path):
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if mode != "ro":
                pages = AUTOCHECKPOINT_PAGES if checkpoints else 0
                connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection
