"""Rows of the database as records."""

from __future__ import annotations

import json

from backroom.records.queues import QueueRow, QueueRules
from backroom.records.runs import RunRow, WorkerRow
from backroom.records.states import State
from backroom.store.sqlite.transaction import Row

__all__ = ["queue_row", "run_row", "worker_row"]


def run_row(row: Row) -> RunRow:
    """A row of the view `backroom_row`."""
    run_id, flow, queue, state, *rest = row
    return RunRow(run_id, flow, queue, State(state), *rest)


def worker_row(row: Row) -> WorkerRow:
    worker_id, name, lease_until, started_at, concurrency, bell, queues, flows = row
    return WorkerRow(
        worker_id, name, lease_until, started_at, concurrency, bell,
        tuple(json.loads(queues)), tuple(json.loads(flows)),
    )  # fmt: skip


def queue_row(row: Row) -> QueueRow:
    return QueueRow(QueueRules(*row[:7]), *row[7:])
