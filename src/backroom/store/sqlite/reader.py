"""A reading connection. In WAL a reader never blocks a writer and sees only what is committed."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from backroom.records.erasure import AuditRow
from backroom.records.limits import SCHEDULE_LINE
from backroom.records.queues import QueueRow, Standing
from backroom.records.runs import (
    AttemptRow,
    BreakerRow,
    HeldLock,
    LockRow,
    Mail,
    RunRow,
    StepRow,
    WaitRow,
    WorkerRow,
)
from backroom.records.schedules import Chores, DueSchedule, ScheduleRow, SlotRow
from backroom.records.states import FINAL, State
from backroom.records.triggers import FiringRow, TriggerRow
from backroom.rules.suspicion import SUSPECT_LINES
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.faults import mapped
from backroom.store.sqlite.forking import Keeper
from backroom.store.sqlite.migrate import check
from backroom.store.sqlite.rows import queue_row, run_row, worker_row
from backroom.store.sqlite.transaction import Row, as_json, sql

__all__ = ["SqliteReader"]

HOLDERS = 20  # running runs that are named
COUNTED = 10_000  # up to here it is counted who stands before a run
WARM_SECONDS = 1.0  # a log that was written to may take this long until its commit can be seen


class SqliteReader:
    """One reading connection, opened at the first question; for one thread at a time."""

    def __init__(self, path: Path, *, busy_timeout_ms: int) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._keeper = Keeper(self._open)
        self._version: int | None = None
        self._log = f"{path}-wal"
        self._written: tuple[int, int] | None = None  # time and size of the log
        self._warm_until = 0.0

    def now(self) -> int:
        now: int = self._rows("now")[0][0]
        return now

    def run(self, run_id: str) -> RunRow | None:
        rows = self._rows("run", run_id)
        return run_row(rows[0]) if rows else None

    def find(self, flow: str, key: str) -> str | None:
        rows = self._rows("key_holder", flow, key)
        return rows[0][0] if rows else None

    def runs(
        self,
        *,
        flow: str | None = None,
        queue: str | None = None,
        states: Sequence[State] = (),
        parent_id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        where = (before, flow, queue, parent_id)
        if parent_id is None and states and State.SUCCEEDED not in states:
            return self._unfinished(where, states, limit)
        wanted = as_json(state.value for state in states) if states else None
        statement = "runs_of_parent" if parent_id else "runs_of_flow" if flow else "runs"
        return [run_row(row) for row in self._rows(statement, *where, wanted, limit)]

    def steps(self, run_id: str) -> list[StepRow]:
        return [StepRow(*row[1:]) for row in self._rows("steps_of", as_json([run_id]))]

    def waits(self, run_id: str) -> list[WaitRow]:
        rows = self._rows("waits_of", as_json([run_id]))
        return [WaitRow(address, kind, name, None, due) for _, address, kind, name, due in rows]

    def attempts(self, run_id: str) -> list[AttemptRow]:
        return [AttemptRow(*row) for row in self._rows("attempts_of", run_id)]

    def suspects(self, queues: Sequence[str], flows: Sequence[str], limit: int) -> int:
        lines = str(list(SUSPECT_LINES))
        return len(self._rows("suspects", limit, as_json(queues), lines, as_json(flows)))

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        return [Mail(*row) for row in self._rows("mail_of", as_json(run_ids))]

    def read_mail(self, run_id: str) -> list[tuple[str, str]]:
        return self._rows("read_mail", run_id)

    def ended(self, run_ids: Sequence[str]) -> list[RunRow]:
        return [run_row(row) for row in self._rows("ended_runs", as_json(run_ids))]

    def standing(self, first_id: str, last_id: str, parent_id: str) -> list[tuple[str, State]]:
        rows = self._rows("standing", first_id, last_id, parent_id)
        return [(run_id, State(state)) for run_id, state in rows]

    def runs_between(self, first_id: str, last_id: str, limit: int) -> list[RunRow]:
        return [run_row(row) for row in self._rows("runs_between", first_id, last_id, limit)]

    def windows_over(self, names: Sequence[str]) -> list[str]:
        return [name for (name,) in self._rows("windows_over", as_json(names))]

    def locks_held(self, run_ids: Sequence[str]) -> list[tuple[str, str]]:
        return self._rows("locks_held", as_json(run_ids))

    def locks_of(self, run_id: str) -> list[LockRow]:
        return [LockRow(*row) for row in self._rows("locks_of", run_id)]

    def locks(self, limit: int = 1_000) -> list[HeldLock]:
        return [HeldLock(*row) for row in self._rows("locks", limit)]

    def breakers(self, name: str | None = None) -> list[BreakerRow]:
        return [BreakerRow(*row) for row in self._rows("breakers", name)]

    def cancelled(self, worker_id: str) -> list[tuple[str, str]]:
        return [(run_id, reason) for run_id, reason in self._rows("asked_to_cancel", worker_id)]

    def workers(self) -> list[WorkerRow]:
        return [worker_row(row) for row in self._rows("workers")]

    def bells(self) -> list[str]:
        """Where workers can be rung."""
        return [bell for (bell,) in self._rows("bells")]

    def queues(self, name: str | None = None) -> list[QueueRow]:
        return [queue_row(row) for row in self._rows("queues", name)]

    def in_queue(self, run_id: str) -> Standing | None:
        found = self._rows("queue_standing", run_id)
        if not found:
            return None
        queue, partition, expires_at, claimed_at, attempt, failures = found[0]
        holders = self._rows("holders", queue, None, HOLDERS)
        of_partition = [] if partition is None else self._rows("holders", queue, partition, COUNTED)
        return Standing(
            self.queues(queue)[0], partition, expires_at, claimed_at, attempt, failures,
            self._rows("ahead", run_id, COUNTED)[0][0],
            tuple(row[0] for row in holders[:HOLDERS]),
            len(of_partition), tuple(row[0] for row in of_partition[:HOLDERS]),
        )  # fmt: skip

    def about(self, subject: str, after: str | None, limit: int) -> list[str]:
        return [run_id for (run_id,) in self._rows("about", subject, after or "", limit)]

    def audit(self, limit: int) -> list[AuditRow]:
        return [AuditRow(*row) for row in self._rows("audit", limit)]

    def chores(self, flows: Sequence[str]) -> Chores:
        now, expired, next_at = self._rows("chores", as_json(flows))[0]
        return Chores(now, bool(expired), next_at)

    def due_schedules(self, flows: Sequence[str], limit: int) -> list[DueSchedule]:
        rows = self._rows("due_schedules", as_json(flows), limit, SCHEDULE_LINE)
        return [DueSchedule(ScheduleRow(*row[:-2]), bool(row[-2]), row[-1]) for row in rows]

    def schedules(self, name: str | None = None) -> list[ScheduleRow]:
        return [ScheduleRow(*row) for row in self._rows("schedules", name)]

    def slots(self, schedule: str, limit: int) -> list[SlotRow]:
        return [SlotRow(*row) for row in self._rows("slots", schedule, limit)]

    def slot_of(self, run_id: str) -> SlotRow | None:
        rows = self._rows("slot_of", run_id)
        return SlotRow(*rows[0]) if rows else None

    def any_changes(self) -> bool:
        return bool(self._rows("any_changes"))

    def triggers(self) -> list[TriggerRow]:
        return [TriggerRow(*row) for row in self._rows("triggers")]

    def firings(self, trigger: str, limit: int = 100) -> list[FiringRow]:
        return [FiringRow(*row) for row in self._rows("firings", trigger, limit)]

    def changed(self) -> bool | None:
        """SQLite's own counter tells. It isn't asked as long as nobody has touched the log, whose
        time costs a fifth of that to see. The log is written before its commit can be seen, and its
        time is coarse; so the counter is asked for a while after every touch."""
        written = written_at(self._log)
        if written is None or written != self._written:
            self._written = written
            self._warm_until = time.monotonic() + WARM_SECONDS
        elif self._version is not None and time.monotonic() >= self._warm_until:
            return False
        with mapped(self._path), self._keeper.using() as connection:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return version != before

    def close(self) -> None:
        with mapped(self._path):
            self._keeper.close()

    def _unfinished(
        self, where: Sequence[str | None], states: Sequence[State], limit: int
    ) -> list[RunRow]:
        """A page of rare states. A walk past all runs that ended well would be a long one."""
        rows: list[Row] = []
        if alive := [state.value for state in states if state not in FINAL]:
            rows += self._rows("runs_alive", *where, as_json(alive), limit)
        for state in FINAL.intersection(states):
            rows += self._rows("runs_ended_badly", *where, state.value, limit)
        rows.sort(reverse=True)
        return [run_row(row) for row in rows[:limit]]

    def _rows(self, statement: str, *parameters: object) -> list[Row]:
        with mapped(self._path), self._keeper.using() as connection:
            return connection.execute(sql(statement), parameters).fetchall()

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._path, "ro", busy_timeout_ms=self._busy_timeout_ms)
        try:
            check(connection, self._path)
        except BaseException:
            connection.close()
            raise
        self._version = None
        return connection


def written_at(path: str) -> tuple[int, int] | None:
    """When a file was last written to, and its size; None: can't be told."""
    if os.name == "nt":  # tells of a write when the file is closed
        return None
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
