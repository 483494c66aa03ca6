"""How a run ends: its hot row and waits go, its result row comes, who waits for it wakes."""

from __future__ import annotations

from collections.abc import Sequence

from backroom.rules.windows import is_mapped
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql

__all__ = ["end_runs"]

DELETE_ENDED = sql("delete_ended")
INSERT_RESULT = sql("insert_result")
DELETE_WAITS_OF_ENDED = sql("delete_waits_of_ended")
WAKE_WAITING_FOR = sql("wake_waiting_for")
WAKE_AT_LAST_END = sql("wake_at_last_end")


def end_runs(tx: Transaction, rows: Sequence[Row]) -> None:
    """End these runs. `rows`: what `insert_result` takes."""
    ids = as_json([row[0] for row in rows])
    tx.insert(INSERT_RESULT, rows)
    tx.run(DELETE_ENDED, (ids,))  # behind its result: who was to begin after it looks at that
    tx.run(DELETE_WAITS_OF_ENDED, (ids,))
    tx.run(WAKE_WAITING_FOR, (tx.now, ids))
    if of_windows := [row[0] for row in rows if is_mapped(row[0])]:
        tx.run(WAKE_AT_LAST_END, (tx.now, as_json(of_windows)))
