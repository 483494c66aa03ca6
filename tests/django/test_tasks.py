"""The backend for django.tasks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.db import connection, transaction
from django.utils import timezone

from backroom import Backroom, State
from backroom.django.backend import BackroomBackend, urgency
from backroom.django.interface import (
    AnyResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
    task_finished,
    task_started,
)
from backroom.testing import eventually
from tests.django.project import tasks
from tests.flows.house import LONG, outcome, steps

READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
SUCCESSFUL, FAILED = TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED


def finished(result: AnyResult) -> AnyResult:
    """Wait until a task has been performed."""

    def done() -> bool:
        result.refresh()
        return result.is_finished

    eventually(done, within=LONG)
    return result


def rows(app: Backroom) -> int:
    return len(app.office.read(lambda reader: reader.runs()).result(LONG))


def test_a_task_that_is_enqueued_is_performed_and_its_result_can_be_had(app: Backroom) -> None:
    result = tasks.add.enqueue(1, b=2)
    assert (result.status, result.args, result.kwargs) == (READY, [1], {"b": 2})
    assert tasks.add.get_result(result.id).enqueued_at is not None
    with app.working():
        finished(result)
    assert (result.status, result.return_value, result.errors) == (SUCCESSFUL, 3, [])
    assert result.attempts == 1
    assert result.enqueued_at <= result.started_at <= result.finished_at  # type: ignore[operator]
    again = tasks.add.get_result(result.id)
    assert (again.task, again.args, again.return_value) == (tasks.add, [1], 3)


def test_an_async_task_is_awaited(app: Backroom) -> None:
    async def request() -> AnyResult:
        return await tasks.add_aside.aenqueue(20, 22)

    result = asyncio.run(request())
    with app.working():
        finished(result)

    async def look() -> Any:
        return (await tasks.add_aside.aget_result(result.id)).return_value

    assert asyncio.run(look()) == 42


def test_a_task_sees_its_context(app: Backroom) -> None:
    one, other = tasks.attempt.enqueue(), tasks.attempt_aside.enqueue()
    with app.working():
        assert finished(one).return_value == [1, one.id, "RUNNING"]
        assert finished(other).return_value == 1


@pytest.mark.parametrize(
    ("name", "args", "kind", "said"),
    [
        ("refuse", ["bread"], ValueError, "no bread today"),
        ("refuse_aside", [], LookupError, "nothing here"),
        ("unsayable", [], TypeError, "Unsupported type"),
    ],
)
def test_a_task_that_fails_tells_its_error(
    app: Backroom, name: str, args: list[Any], kind: type[Exception], said: str
) -> None:
    result = getattr(tasks, name).enqueue(*args)
    with app.working():
        finished(result)
    assert result.status == FAILED
    (error,) = result.errors
    assert error.exception_class is kind
    assert said in error.traceback
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_a_task_may_have_steps_that_are_kept(app: Backroom) -> None:
    result = tasks.in_steps.enqueue(["a", "b"])
    with app.working():
        assert finished(result).return_value == ["A", "B"]
    assert [row.address for row in steps(app, app.run(result.id))] == ["shout#1", "shout#2"]


def test_a_task_uses_the_projects_tables(app: Backroom) -> None:
    result = tasks.note.enqueue("from a task")
    with app.working():
        finished(result)
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM note")
        assert cursor.fetchall() == [("from a task",)]


# --- transactions


def test_a_task_is_enqueued_with_the_transaction(app: Backroom) -> None:
    with transaction.atomic():
        result = tasks.add.enqueue(1)
        with pytest.raises(TaskResultDoesNotExist):
            result.refresh()
    with app.working():
        assert finished(result).return_value == 1


def test_a_task_goes_with_the_rollback(app: Backroom) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        result = tasks.add.enqueue(1)
        _ = 1 / 0
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)
    assert rows(app) == 0


def test_in_a_transaction_without_atomic_a_task_waits_for_the_commit(app: Backroom) -> None:
    transaction.set_autocommit(False)
    try:
        tasks.add.enqueue(1)
        transaction.rollback()
        result = tasks.add.enqueue(2)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert tasks.add.get_result(result.id).args == [2]
    assert rows(app) == 1


def test_a_backend_may_enqueue_after_the_commit(app: Backroom) -> None:
    later = tasks.add.using(backend="later")
    with transaction.atomic():
        result = later.enqueue(1)
        assert rows(app) == 0
    assert later.get_result(result.id).status == READY
    with suppress(ZeroDivisionError), transaction.atomic():
        later.enqueue(1)
        _ = 1 / 0
    assert rows(app) == 1


def test_async_code_enqueues_in_a_transaction_by_djangos_own_means(app: Backroom) -> None:
    def submit() -> AnyResult:
        try:
            with transaction.atomic():
                return tasks.add.enqueue(1)
        finally:
            connection.close()  # this thread's, as the end of a request does

    async def request() -> AnyResult:
        return await sync_to_async(submit)()

    result = asyncio.run(request())
    assert tasks.add.get_result(result.id).status == READY


# --- options


def test_a_task_with_a_time_waits_for_it(app: Backroom) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    result = tasks.add.using(run_after=tomorrow).enqueue(1)
    kept = tasks.add.get_result(result.id)
    assert (kept.status, kept.task.run_after) == (READY, tomorrow)
    assert app.run(result.id).status().wait().state is State.SCHEDULED
    with app.working():
        app.office.store.move_clock(25 * 3600 * 1_000_000)
        assert finished(result).return_value == 1


def test_queue_and_priority_are_those_of_the_task(app: Backroom) -> None:
    result = tasks.send.enqueue("you")
    kept = tasks.send.get_result(result.id)
    assert (kept.task.queue_name, kept.task.priority) == ("mail", -50)
    assert app.run(result.id).status().wait().queue == "mail"
    with app.working(queues=("default",)):
        finished(tasks.add.enqueue(1))
        result.refresh()
        assert result.status == READY
    with app.working(queues=("mail",)):
        assert finished(result).return_value == "sent to you"


def test_the_most_urgent_task_comes_first(app: Backroom) -> None:
    order: list[int] = []
    for priority in (-100, 0, 100, 1, -1):
        tasks.add.using(priority=priority).enqueue(priority)
    with (
        heard(task_started, lambda result: order.append(result.args[0])),
        app.working(concurrency=1),
    ):
        eventually(lambda: len(order) == 5, within=LONG)
    assert order == [100, 1, 0, -1, -100]


def test_every_priority_of_djangos_is_one_of_ours() -> None:
    ours = [urgency(priority) for priority in range(-100, 101)]
    assert ours == sorted(ours, reverse=True)
    assert (ours[0], urgency(-1), urgency(0), urgency(1), ours[-1]) == (9, 6, 5, 4, 0)


# --- what may be wrong


def test_what_is_no_tasks_run_is_no_result(app: Backroom) -> None:
    @app.flow
    async def other() -> None: ...

    for strange in (other.start().id, "01900000-0000-7000-8000-000000000001", "nonsense"):
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_result(strange)


@pytest.mark.parametrize(
    "path", ["tests.django.project.tasks.gone", "tests.django.project.tasks.unwrapped"]
)
def test_a_task_that_the_workers_code_lacks_waits_for_a_person(app: Backroom, path: str) -> None:
    run = app.start("django.task", task=path)
    with app.working():
        assert outcome(run) is State.NEEDS_ATTENTION
    assert re.search("no such task|no task", str(run.status().wait().error))


def test_a_database_that_is_not_there_is_found_by_the_checks() -> None:
    backend = BackroomBackend("default", {"OPTIONS": {"database": "missing"}})
    assert [each.id for each in backend.check()] == ["backroom.E001"]
    assert not [each for each in run_checks() if str(each.id).startswith("backroom")]


# --- signals


@contextmanager
def heard(signal: Any, take: Any) -> Iterator[None]:
    def receive(sender: object, task_result: AnyResult, **kwargs: object) -> None:
        take(task_result)

    signal.connect(receive)
    try:
        yield
    finally:
        signal.disconnect(receive)


def test_the_signals_are_sent_where_things_happen(app: Backroom) -> None:
    told: list[tuple[str, str, str]] = []

    def note(what: str) -> Any:
        return lambda result: told.append((what, result.id, str(result.status)))

    with (
        heard(task_enqueued, note("enqueued")),
        heard(task_started, note("started")),
        heard(task_finished, note("finished")),
        app.working(),
    ):
        finished(tasks.add.enqueue(1))
        finished(tasks.refuse.enqueue("bread"))
        finished(tasks.refuse_aside.enqueue())
    assert [(what, status) for what, _, status in told] == [
        ("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL"),
        ("enqueued", "READY"), ("started", "RUNNING"), ("finished", "FAILED"),
        ("enqueued", "READY"), ("started", "RUNNING"), ("finished", "FAILED"),
    ]  # fmt: skip
    assert len({run_id for _, run_id, _ in told}) == 3
