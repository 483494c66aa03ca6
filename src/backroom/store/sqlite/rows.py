"""Rows of the database as records."""

from __future__ import annotations

from backroom.records.runs import RunRow
from backroom.records.states import State
from backroom.store.sqlite.transaction import Row

__all__ = ["run_row"]


def run_row(row: Row) -> RunRow:
    """A row of the view `backroom_row`."""
    run_id, flow, queue, state, *rest = row
    return RunRow(run_id, flow, queue, State(state), *rest)
