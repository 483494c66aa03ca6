"""Rows of our queries as records."""

from __future__ import annotations

import json
from collections.abc import Sequence

from backroom.records.queues import QueueRow, QueueRules
from backroom.records.runs import AttemptRow, Mail, RunRow, StepRow, WaitRow, WorkerRow
from backroom.records.states import State
from backroom.store.postgres.statement import Row

__all__ = ["attempt_row", "mail", "queue_row", "run_row", "step_row", "wait_row", "worker_row"]

STATES = {state.value: state for state in State}


def run_row(row: Row) -> RunRow:
    """A row of run.sql and its relatives; columns after the twenty-third are the caller's."""
    run_id, flow, queue, state, *rest = row[:23]
    return RunRow(run_id, flow, queue, STATES[state], *rest)


def step_row(row: Row) -> StepRow:
    return StepRow(*row[1:])


def wait_row(row: Row) -> WaitRow:
    _, address, kind, name, due_at = row
    return WaitRow(address, kind, name, None, due_at)


def mail(row: Row) -> Mail:
    return Mail(*row)


def attempt_row(row: Row) -> AttemptRow:
    return AttemptRow(*row)


def worker_row(row: Row) -> WorkerRow:
    worker_id, name, lease_until, started_at, concurrency, bell, queues, flows = row
    return WorkerRow(
        worker_id, name, lease_until, started_at, concurrency, bell,
        tuple(json.loads(queues)), tuple(json.loads(flows)),
    )  # fmt: skip


def queue_row(row: Row) -> QueueRow:
    return QueueRow(QueueRules(*row[:7]), *row[7:])


def grouped(rows: Sequence[Row], place: int) -> dict[str, list[Row]]:
    """Rows by the run they belong to, whose id stands at this place."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[place], []).append(row)
    return groups
