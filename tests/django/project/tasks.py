"""The project's tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from backroom import step
from backroom.django.interface import AnyContext

# The stubs of Django 6 describe both.
if TYPE_CHECKING:
    from django.tasks import task
else:
    try:
        from django.tasks import task
    except ImportError:
        from django_tasks import task


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task
async def add_aside(a: int, b: int) -> int:
    return a + b


@task(takes_context=True)
def attempt(context: AnyContext) -> list[Any]:
    return [context.attempt, context.task_result.id, str(context.task_result.status)]


@task(takes_context=True)
async def attempt_aside(context: AnyContext) -> int:
    return context.attempt


@task
def refuse(what: str) -> None:
    raise ValueError(f"no {what} today")


@task
async def refuse_aside() -> None:
    raise LookupError("nothing here")


@task
def unsayable() -> object:
    return object()


@step
def shout(word: str) -> str:
    return word.upper()


@task
def in_steps(words: list[str]) -> list[str]:
    return [shout(word) for word in words]


@task
def note(text: str) -> int:
    """Through Django's own connection, in the worker."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO note (text) VALUES (%s)", [text])
    return connection.settings_dict["CONN_MAX_AGE"] or 0


@task(priority=-50, queue_name="mail")
def send(to: str) -> str:
    return f"sent to {to}"


def unwrapped() -> None:
    sys.exit("not a task")
