"""A reader: a connection that only reads, each question in a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from backroom.store.postgres.claims import lines
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import fault, is_passing, is_pooled
from backroom.store.postgres.link import Link
from backroom.store.postgres.rows import (
    attempt_row,
    mail,
    queue_row,
    run_row,
    step_row,
    wait_row,
    worker_row,
)
from backroom.store.postgres.statement import Row, Sql, id_array, text_array, valid_id

__all__ = ["PostgresReader"]

HOLDERS = 20  # running runs that are named
FIRST_ID = "00000000-0000-0000-0000-000000000000"
COUNTED = 10_000  # up to here it is counted who stands before a run


class PostgresReader:
    def __init__(self, link: Link, sql: Sql) -> None:
        self.link = link
        self.sql = sql

    def now(self) -> int:
        now: int = self.rows("now")[0][0]
        return now

    def run(self, run_id: str) -> RunRow | None:
        rows = self.rows("run", id=run_id) if valid_id(run_id) else []
        return run_row(rows[0]) if rows else None

    def find(self, flow: str, key: str) -> str | None:
        rows = self.rows("find", flow=flow, key=key)
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
        if not all(valid_id(run_id) for run_id in (parent_id, before) if run_id is not None):
            return []
        live = [state.value for state in states if state not in FINAL]
        bad = [state.value for state in states if state in FINAL and state is not State.SUCCEEDED]
        name = "runs"
        if states and State.SUCCEEDED not in states:
            name = "runs_unfinished"  # few among many: looked up by state, not by age
        rows = self.rows(
            name,
            prepare=False,
            flow=flow,
            queue=queue,
            states=[state.value for state in states] or None,
            live=live,
            bad=bad,
            parent_id=parent_id,
            before=before,
            limit=limit,
        )
        return [run_row(row) for row in rows]

    def steps(self, run_id: str) -> list[StepRow]:
        return [step_row(row) for row in self.of_runs("steps_of", [run_id])]

    def waits(self, run_id: str) -> list[WaitRow]:
        return [wait_row(row) for row in self.of_runs("waits_of", [run_id])]

    def attempts(self, run_id: str) -> list[AttemptRow]:
        rows = self.rows("attempts_of", id=run_id) if valid_id(run_id) else []
        return [attempt_row(row) for row in rows]

    def suspects(self, queues: Sequence[str], flows: Sequence[str], limit: int) -> int:
        looks: dict[str, Any] = lines(tuple(dict.fromkeys(queues)), SUSPECT_LINES)
        rows = self.rows("suspects", **looks, flows=text_array(flows), limit=limit)
        found: int = rows[0][0]
        return found

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        return [mail(row) for row in self.of_runs("mail_of", run_ids)]

    def read_mail(self, run_id: str) -> list[tuple[str, str]]:
        return list(self.rows("read_mail", id=run_id)) if valid_id(run_id) else []

    def ended(self, run_ids: Sequence[str]) -> list[RunRow]:
        return [run_row(row) for row in self.of_runs("ended", run_ids)]

    def standing(self, first_id: str, last_id: str, parent_id: str) -> list[tuple[str, State]]:
        rows = self.rows("standing", first=first_id, last=last_id, parent=parent_id)
        return [(run_id, State(state)) for run_id, state in rows]

    def runs_between(self, first_id: str, last_id: str, limit: int) -> list[RunRow]:
        rows = self.rows("runs_between", first=first_id, last=last_id, limit=limit)
        return [run_row(row) for row in rows]

    def windows_over(self, names: Sequence[str]) -> list[str]:
        return [name for (name,) in self.rows("windows_over", names=text_array(names))]

    def locks_held(self, run_ids: Sequence[str]) -> list[tuple[str, str]]:
        return [(run_id, address) for run_id, address in self.of_runs("locks_held", run_ids)]

    def locks_of(self, run_id: str) -> list[LockRow]:
        return [LockRow(*row) for row in self.rows("locks_of", id=run_id)]

    def locks(self, limit: int = 1_000) -> list[HeldLock]:
        return [HeldLock(*row) for row in self.rows("locks", limit=limit)]

    def breakers(self, name: str | None = None) -> list[BreakerRow]:
        return [BreakerRow(*row) for row in self.rows("breakers", breaker=name)]

    def cancelled(self, worker_id: str) -> list[tuple[str, str]]:
        return [(run_id, reason) for run_id, reason in self.rows("cancelled", worker=worker_id)]

    def workers(self) -> list[WorkerRow]:
        return [worker_row(row) for row in self.rows("workers")]

    def queues(self, name: str | None = None) -> list[QueueRow]:
        return [queue_row(row) for row in self.rows("queues", queue=name)]

    def in_queue(self, run_id: str) -> Standing | None:
        found = self.rows("queue_standing", id=run_id) if valid_id(run_id) else []
        if not found:
            return None
        queue, partition, expires_at, claimed_at, attempt, failures = found[0]
        holders = self.rows("holders", queue=queue, partition=None, limit=HOLDERS)
        of_partition = (
            []
            if partition is None
            else self.rows("holders", queue=queue, partition=partition, limit=COUNTED)
        )
        return Standing(
            self.queues(queue)[0], partition, expires_at, claimed_at, attempt, failures,
            self.rows("ahead", id=run_id, limit=COUNTED)[0][0],
            tuple(row[0] for row in holders[:HOLDERS]),
            len(of_partition), tuple(row[0] for row in of_partition[:HOLDERS]),
        )  # fmt: skip

    def about(self, subject: str, after: str | None, limit: int) -> list[str]:
        return [
            run_id
            for (run_id,) in self.rows(
                "about", subject=subject, after=after or FIRST_ID, limit=limit
            )
        ]

    def audit(self, limit: int) -> list[AuditRow]:
        return [AuditRow(*row) for row in self.rows("audit", limit=limit)]

    def chores(self, flows: Sequence[str]) -> Chores:
        return Chores(*self.rows("chores", flows=text_array(flows))[0])

    def due_schedules(self, flows: Sequence[str], limit: int) -> list[DueSchedule]:
        rows = self.rows("due_schedules", flows=text_array(flows), limit=limit, most=SCHEDULE_LINE)
        return [DueSchedule(ScheduleRow(*row[:-2]), row[-2], row[-1]) for row in rows]

    def schedules(self, name: str | None = None) -> list[ScheduleRow]:
        return [ScheduleRow(*row) for row in self.rows("schedules", schedule=name)]

    def slots(self, schedule: str, limit: int) -> list[SlotRow]:
        return [SlotRow(*row) for row in self.rows("slots", schedule=schedule, limit=limit)]

    def slot_of(self, run_id: str) -> SlotRow | None:
        rows = self.rows("slot_of", id=run_id) if valid_id(run_id) else []
        return SlotRow(*rows[0]) if rows else None

    def any_changes(self) -> bool:
        return bool(self.rows("any_changes"))

    def triggers(self) -> list[TriggerRow]:
        return [TriggerRow(*row) for row in self.rows("triggers")]

    def firings(self, trigger: str, limit: int = 100) -> list[FiringRow]:
        return [FiringRow(*row) for row in self.rows("firings", trigger=trigger, limit=limit)]

    def changed(self) -> bool | None:
        return None  # PostgreSQL has nothing like SQLite's data_version

    def close(self) -> None:
        self.link.close()

    def of_runs(self, name: str, run_ids: Sequence[str]) -> list[Row]:
        ids = [run_id for run_id in run_ids if valid_id(run_id)]
        return self.rows(name, ids=id_array(ids)) if ids else []

    def rows(self, name: str, *, prepare: bool | None = None, **values: Any) -> list[Row]:
        """The rows of one statement; asked once more where the first try met a passing trouble."""
        pg = psycopg()
        for last in (False, True):
            connection = self.link.connection()
            try:
                return connection.execute(self.sql[name], values, prepare=prepare).fetchall()
            except pg.Error as error:
                again = is_passing(error) or is_pooled(error) or connection.closed
                if is_pooled(error):
                    self.link.address.is_pooled()
                self.link.drop()
                if last or not again:
                    raise fault(error) from error
        raise AssertionError("the second try returns or raises")
