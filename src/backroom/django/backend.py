"""The backend for `django.tasks`: a task that is enqueued becomes a run, a run a task's result.

    task.enqueue(1, 2)   ──▶  run of the flow `django.task`, input {"task": "shop.tasks.add", ...}
    task.get_result(id)  ◀──  its row

Options of the backend (`OPTIONS` in `TASKS`):

    database    the database of `DATABASES` in which the runs are kept; default "default"
    app         "module:name" of a Backroom of your own instead
    on_commit   enqueue after the commit of an open transaction instead of as a part of it: for an
                `app` whose runs are in another database. What dies in between loses the task.
    ...         any other setting of Backroom's, for the one that is made here
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from django.core.checks import CheckMessage, Error
from django.db import connections
from django.utils import timezone
from django.utils.module_loading import import_string

from backroom.app.backroom import Backroom
from backroom.django.application import application
from backroom.django.interface import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from backroom.django.performing import ASYNC_TASK, TASK, declare, flow_of
from backroom.flows.codec import decode_plain
from backroom.flows.failures import read
from backroom.flows.handles import moment
from backroom.records import errors
from backroom.records.runs import AttemptRow, RunRow
from backroom.records.states import State
from backroom.store.protocol import Reader

__all__ = ["BackroomBackend", "urgency"]

T = TypeVar("T")

STATUS = {
    State.SCHEDULED: TaskResultStatus.READY,
    State.READY: TaskResultStatus.READY,
    State.WAITING: TaskResultStatus.READY,
    State.RUNNING: TaskResultStatus.RUNNING,
    State.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    State.FAILED: TaskResultStatus.FAILED,
    State.CANCELLED: TaskResultStatus.FAILED,
    # Django has no word for what waits for a person, who may make it ready again.
    State.NEEDS_ATTENTION: TaskResultStatus.FAILED,
}


class BackroomBackend(BaseTaskBackend):
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, dict(params))
        given = dict(self.options)
        self.database: str = given.pop("database", "default")
        self.on_commit: bool = given.pop("on_commit", False)
        self.target: str = given.pop("app", "")
        self.settings = given

    @property
    def backroom(self) -> Backroom:
        """Where the runs are kept. Looked up late: backends are made while modules are imported."""
        if self.target:
            found = import_string(self.target.replace(":", "."))
        else:
            found = application(self.database, **self.settings)
        declare(found)
        backroom: Backroom = found
        return backroom

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        if self.database in connections:
            return []
        unknown = Error(
            f"TASKS[{self.alias!r}] names the database {self.database!r}, which DATABASES "
            "doesn't have.",
            hint='Correct OPTIONS["database"].',
            id="backroom.E001",
        )
        return [unknown]

    # --- enqueueing

    def enqueue(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AnyResult:
        self.validate_task(task)
        result: AnyResult = TaskResult(
            task=task,
            id="",
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        backroom = self.backroom
        prepared = (
            flow_of(backroom, task)
            .using(queue=task.queue_name, priority=urgency(task.priority), at=aware(task.run_after))
            .prepare(
                task=task.module_path, args=result.args, kwargs=result.kwargs, backend=self.alias,
                priority=task.priority,
                run_after=task.run_after and task.run_after.isoformat(),
            )
        )  # fmt: skip
        object.__setattr__(result, "id", prepared.new.id)
        connection = connections[self.database]
        if not in_transaction(connection):
            backroom.start_many([prepared])
        elif self.on_commit:
            connection.on_commit(partial(backroom.start_many, [prepared]))
        else:
            backroom.start_many([prepared], on=connection)
        task_enqueued.send(type(self), task_result=result)
        return result

    # --- results

    def get_result(self, result_id: str) -> AnyResult:
        found = self.backroom.office.read(self.looking(result_id))
        return self.result_of(result_id, *found.result())

    async def aget_result(self, result_id: str) -> AnyResult:
        found = self.backroom.office.read(self.looking(result_id))
        return self.result_of(result_id, *await asyncio.wrap_future(found))

    def looking(self, result_id: str) -> Callable[[Reader], tuple[RunRow | None, list[AttemptRow]]]:
        return lambda reader: (reader.run(str(result_id)), reader.attempts(str(result_id)))

    def result_of(
        self, result_id: str, row: RunRow | None, attempts: Sequence[AttemptRow]
    ) -> AnyResult:
        if row is None or row.flow not in (TASK, ASYNC_TASK):
            raise TaskResultDoesNotExist(result_id)
        asked = decode_plain(row.input)
        workers = [a.worker for a in attempts if a.attempt < row.attempt] + [row.worker]
        times = [row.started_at, *(attempt.ended_at for attempt in attempts)]
        found: AnyResult = TaskResult(
            task=self.task_of(asked, row.queue),
            id=row.id,
            status=STATUS[row.state],
            enqueued_at=moment(row.created_at),
            started_at=as_moment(row.started_at),
            last_attempted_at=as_moment(max((at for at in times if at is not None), default=None)),
            finished_at=as_moment(row.finished_at),
            args=asked.get("args", []),
            kwargs=asked.get("kwargs", {}),
            backend=self.alias,
            errors=[error_of(row)] if row.error else [],
            worker_ids=[worker for worker in workers if worker],
        )
        if row.state is State.SUCCEEDED:
            object.__setattr__(found, "_return_value", decode_plain(row.result or "null"))
        return found

    def task_of(self, asked: Mapping[str, Any], queue: str) -> AnyTask:
        declared = import_string(asked["task"])
        after = asked.get("run_after")
        task: AnyTask = replace(
            declared, backend=self.alias, queue_name=queue, priority=asked.get("priority", 0),
            run_after=datetime.fromisoformat(after) if after else None,
        )  # fmt: skip
        return task


def in_transaction(connection: Any) -> bool:
    """Whether what is written now is committed later. Opens no connection to find out."""
    if connection.in_atomic_block:
        return True
    return connection.connection is not None and not connection.get_autocommit()


def urgency(priority: int) -> int:
    """-100 to 100, the most urgent, as 9 to 0, the most urgent: 0 is 5; twenty or so share one."""
    if priority > 0:
        return 5 + (-priority // 20)
    return 5 - (priority // 25)


def aware(at: datetime | None) -> datetime | None:
    if at is not None and timezone.is_naive(at):
        return timezone.make_aware(at)
    return at


def as_moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)


def error_of(row: RunRow) -> TaskError:
    kept = read(row.error)
    kind = str(kept["kind"])
    if "." not in kind:  # a builtin's name, or one of ours; or no class at all
        home = builtins if hasattr(builtins, kind) else errors
        kind = f"{home.__name__}.{kind if hasattr(home, kind) else 'RunFailed'}"
    return TaskError(exception_class_path=kind, traceback=str(kept["traceback"] or kept["message"]))
