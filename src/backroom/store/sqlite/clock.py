"""Moving the database's clock, for tests: the view `backroom_clock` gets an offset, or shows a row
where the time stands still."""

from __future__ import annotations

import re
import sqlite3

__all__ = ["move_clock", "stop_clock"]

STILL = "backroom_still"  # a row and not a constant: a changed view costs every statement anew
OFFSET = re.compile(r" \+ (\d+) AS now_us")


def move_clock(connection: sqlite3.Connection, by_us: int) -> None:
    """Move it by this much more. The offset stands in the view's own text."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (text,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'view' AND name = 'backroom_clock'"
        ).fetchone()
        if STILL in text:
            connection.execute(f"UPDATE {STILL} SET now_us = now_us + ?", (by_us,))  # noqa: S608
            connection.execute("COMMIT")
            return
        before = OFFSET.search(text)
        offset = (int(before[1]) if before else 0) + by_us
        moved = OFFSET.sub(" AS now_us", text).replace(" AS now_us", f" + {offset} AS now_us")
        connection.execute("DROP VIEW backroom_clock")
        connection.execute(moved)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def stop_clock(connection: sqlite3.Connection) -> None:
    """Let it stand still, but for moves."""
    connection.executescript(
        f"BEGIN IMMEDIATE;"  # noqa: S608
        f"CREATE TABLE {STILL} AS SELECT now_us FROM backroom_clock;"
        f"DROP VIEW backroom_clock;"
        f"CREATE VIEW backroom_clock AS SELECT now_us FROM {STILL};"
        f"COMMIT;"
    )
