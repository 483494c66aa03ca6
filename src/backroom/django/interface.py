"""Django's interface for tasks, from wherever it is: `django.tasks` came with Django 6, and the
package django-tasks offers the same to Django 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started

    AnyTask = Task[Any, Any]
    AnyResult = TaskResult[Any, Any]
    AnyContext = TaskContext[Any, Any]
else:
    try:
        from django.tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
        from django.tasks.backends.base import BaseTaskBackend
        from django.tasks.base import Task, TaskError
        from django.tasks.exceptions import TaskResultDoesNotExist
        from django.tasks.signals import task_enqueued, task_finished, task_started
    except ImportError:
        from django_tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
        from django_tasks.backends.base import BaseTaskBackend
        from django_tasks.base import Task, TaskError
        from django_tasks.exceptions import TaskResultDoesNotExist
        from django_tasks.signals import task_enqueued, task_finished, task_started
    # Generic for type checkers alone.
    AnyTask, AnyResult, AnyContext = Task, TaskResult, TaskContext

__all__ = [
    "AnyContext",
    "AnyResult",
    "AnyTask",
    "BaseTaskBackend",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "normal",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]


def normal(value: object) -> object:
    """A task's value as JSON has it, by Django's own rule; TypeError for what it doesn't take."""
    try:
        from django.utils.json import normalize_json
    except ImportError:
        from django_tasks.utils import normalize_json
    found: object = normalize_json(value)
    return found
