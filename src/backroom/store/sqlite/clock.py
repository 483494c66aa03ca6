"""Moving the database's clock, for tests: the view `backroom_clock` gets an offset."""

from __future__ import annotations

import re
import sqlite3

__all__ = ["move_clock"]

OFFSET = re.compile(r" \+ (\d+) AS now_us")


def move_clock(connection: sqlite3.Connection, by_us: int) -> None:
    """Move it by this much more. The offset stands in the view's own text."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (text,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'view' AND name = 'backroom_clock'"
        ).fetchone()
        before = OFFSET.search(text)
        offset = (int(before[1]) if before else 0) + by_us
        moved = OFFSET.sub(" AS now_us", text).replace(" AS now_us", f" + {offset} AS now_us")
        connection.execute("DROP VIEW backroom_clock")
        connection.execute(moved)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
