"""The flows as which Django's tasks are performed: one for `def` tasks, one for `async def`.

A task is the body of its run, so a task may call steps and wait like any flow. One that does
neither simply runs; if its worker dies, it runs again from its start.
"""

from __future__ import annotations

import threading
import traceback
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

from django.db import close_old_connections
from django.utils import timezone
from django.utils.module_loading import import_string

from backroom.app.backroom import Backroom
from backroom.django.interface import (
    AnyContext,
    AnyResult,
    AnyTask,
    Task,
    TaskContext,
    TaskError,
    TaskResultStatus,
    normal,
    task_backends,
    task_finished,
    task_started,
)
from backroom.flows.current import current_run
from backroom.flows.flow import AsyncFlow, Flow
from backroom.records.errors import CodeMismatch

if TYPE_CHECKING:
    from backroom.django.backend import BackroomBackend

__all__ = ["ASYNC_TASK", "TASK", "declare", "flow_of"]

TASK = "django.task"
ASYNC_TASK = "django.async_task"

declaring = threading.Lock()


def declare(backroom: Backroom) -> None:
    """See that this application has the two flows."""
    with declaring:
        if TASK not in backroom.flows:
            backroom.flow(name=TASK)(perform)
            backroom.flow(name=ASYNC_TASK)(perform_async)


def flow_of(backroom: Backroom, task: AnyTask) -> AsyncFlow[..., Any] | Flow[..., Any]:
    return backroom.handle(ASYNC_TASK if iscoroutinefunction(task.func) else TASK)


def perform(
    task: str,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    backend: str = "default",
    priority: int = 0,
    run_after: str | None = None,
) -> Any:
    found = task_at(task)
    home = backend_of(backend)
    result = home.get_result(current_run().id)
    task_started.send(type(home), task_result=result)
    close_old_connections()
    try:
        value = normal(found.call(*context(found, result), *(args or []), **(kwargs or {})))
    except Exception as error:
        task_finished.send(type(home), task_result=failed(result, error))
        raise
    finally:
        close_old_connections()
    task_finished.send(type(home), task_result=succeeded(result, value))
    return value


async def perform_async(
    task: str,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    backend: str = "default",
    priority: int = 0,
    run_after: str | None = None,
) -> Any:
    found = task_at(task)
    home = backend_of(backend)
    result = await home.aget_result(current_run().id)
    await task_started.asend(type(home), task_result=result)
    try:
        value = normal(await found.acall(*context(found, result), *(args or []), **(kwargs or {})))
    except Exception as error:
        await task_finished.asend(type(home), task_result=failed(result, error))
        raise
    await task_finished.asend(type(home), task_result=succeeded(result, value))
    return value


def backend_of(alias: str) -> BackroomBackend:
    return cast("BackroomBackend", task_backends[alias])


def task_at(path: str) -> AnyTask:
    """The task; one that isn't in this worker's code waits for a person rather than fails."""
    try:
        found = import_string(path)
    except ImportError as error:
        raise CodeMismatch(path, f"there is no such task ({error})") from error
    if not isinstance(found, Task):
        raise CodeMismatch(path, f"it is a {type(found).__name__} and no task")
    return found


def context(task: AnyTask, result: AnyResult) -> list[AnyContext]:
    return [TaskContext(task_result=result)] if task.takes_context else []


def succeeded(result: AnyResult, value: object) -> AnyResult:
    """As receivers of `task_finished` see it; it is stored a moment later."""
    return changed(result, status=TaskResultStatus.SUCCESSFUL, _return_value=value)


def failed(result: AnyResult, error: Exception) -> AnyResult:
    kind = type(error)
    told = TaskError(
        exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
        traceback="".join(traceback.format_exception(error)),
    )
    return changed(result, status=TaskResultStatus.FAILED, errors=[told])


def changed(result: AnyResult, **fields: object) -> AnyResult:
    """A result is frozen, but for its own library, which does the same."""
    for name, value in {"finished_at": timezone.now(), **fields}.items():
        object.__setattr__(result, name, value)
    return result
