"""How a run ends: its hot row and waits go, its result row comes, a waiting parent wakes."""

from __future__ import annotations

from collections.abc import Sequence

from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql

__all__ = ["Ended", "end_runs"]

Ended = tuple[Row, str | None]
"""A row for `insert_result`, and the parent of the run."""

DELETE_ENDED = sql("delete_ended")
INSERT_RESULT = sql("insert_result")
DELETE_WAITS_OF_ENDED = sql("delete_waits_of_ended")
WAKE_FOR_CHILD = sql("wake_for_child")


def end_runs(tx: Transaction, ended: Sequence[Ended]) -> None:
    """End these runs."""
    rows = [row for row, _ in ended]
    ids = as_json([row[0] for row in rows])
    tx.run(DELETE_ENDED, (ids,))
    tx.insert(INSERT_RESULT, rows)
    tx.run(DELETE_WAITS_OF_ENDED, (ids,))
    tx.many(WAKE_FOR_CHILD, [(tx.now, parent, row[0]) for row, parent in ended if parent])
