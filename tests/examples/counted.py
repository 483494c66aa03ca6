"""The expense application with every call of a step noted in a side table (calls.py).

Workers of the kill tests import this module instead of the application's own; nobody else may, for
it changes the steps. Before a step's function is called a line is written, in a transaction of its
own; the flow doesn't know.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import insert

from backroom import current_run
from examples.expenses import flow
from examples.expenses.app import app
from examples.expenses.database import writing
from tests.examples.calls import CALLS

__all__ = ["app"]


def note(name: str) -> None:
    run = current_run()
    with writing() as session:
        session.execute(
            insert(CALLS).values(
                step_key=run.step_key, run_id=run.id, name=name, attempt=run.attempt,
                tries=run.tries,
            )
        )  # fmt: skip


def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def noted(*args: Any) -> Any:
            await asyncio.to_thread(note, name)
            return await function(*args)

        return noted

    @functools.wraps(function)
    def noted_in_thread(*args: Any) -> Any:
        note(name)
        return function(*args)

    return noted_in_thread


for declared in (
    flow.check, flow.ask_approver, flow.remind_approver, flow.decline_unanswered, flow.book,
    flow.tell_claimant,
):  # fmt: skip
    spec = declared.spec
    declared.spec = replace(spec, function=counted(spec.name, spec.function))
