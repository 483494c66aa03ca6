"""Background jobs that a team can trust with its business.

    from backroom import Backroom, step

    app = Backroom()

    @step
    async def greet(name: str) -> str:
        return f"Hello, {name}"

    @app.flow
    async def welcome(name: str) -> str:
        return await greet(name)

    welcome.start("Ada")        # stored; any worker performs it:  backroom worker module:app

A flow is a function whose runs are durable; a step is a piece of it whose result is kept. The words
are explained in docs/glossary.md, how it works in ARCHITECTURE.md. The names below are the whole
public interface for authors; everything else may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backroom import errors
    from backroom.app.backroom import Backroom
    from backroom.flows.chunks import chunks, pages
    from backroom.flows.current import CurrentRun, current_run, progress
    from backroom.flows.gathering import gather
    from backroom.flows.handles import Run, Status
    from backroom.flows.locks import lock
    from backroom.flows.orm import session_on
    from backroom.flows.steps import step
    from backroom.flows.waits import first, sleep, wait_for_event
    from backroom.records.errors import BackroomError, Rollback
    from backroom.records.states import State
    from backroom.rules.breakers import Breaker
    from backroom.rules.retry import Retry
    from backroom.schedules.calendars import cron, every, once, rrule
    from backroom.triggers.changes import Change

__version__ = "0.1.0.dev0"

__all__ = [
    "Backroom",
    "BackroomError",
    "Breaker",
    "Change",
    "CurrentRun",
    "Retry",
    "Rollback",
    "Run",
    "State",
    "Status",
    "chunks",
    "cron",
    "current_run",
    "errors",
    "every",
    "first",
    "gather",
    "lock",
    "once",
    "pages",
    "progress",
    "rrule",
    "session_on",
    "sleep",
    "step",
    "wait_for_event",
]

_HOMES = {
    "Backroom": "backroom.app.backroom",
    "BackroomError": "backroom.records.errors",
    "Breaker": "backroom.rules.breakers",
    "Change": "backroom.triggers.changes",
    "CurrentRun": "backroom.flows.current",
    "Retry": "backroom.rules.retry",
    "Rollback": "backroom.records.errors",
    "Run": "backroom.flows.handles",
    "State": "backroom.records.states",
    "Status": "backroom.flows.handles",
    "chunks": "backroom.flows.chunks",
    "cron": "backroom.schedules.calendars",
    "current_run": "backroom.flows.current",
    "every": "backroom.schedules.calendars",
    "first": "backroom.flows.waits",
    "gather": "backroom.flows.gathering",
    "lock": "backroom.flows.locks",
    "once": "backroom.schedules.calendars",
    "pages": "backroom.flows.chunks",
    "progress": "backroom.flows.current",
    "rrule": "backroom.schedules.calendars",
    "session_on": "backroom.flows.orm",
    "sleep": "backroom.flows.waits",
    "step": "backroom.flows.steps",
    "wait_for_event": "backroom.flows.waits",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: importing backroom itself costs next to nothing."""
    if name == "errors":
        return import_module("backroom.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"backroom has no {name!r}; its names are {', '.join(__all__)}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
