"""Attempts of one run without a database: what is kept stands in a dictionary.

It is for promises that are about replay alone, where thousands of orders of events have to be
tried. A process dies here by taking no more verbs.
"""

import asyncio
from typing import Any

from backroom import Backroom
from backroom.engine.handler import Handler, Performance
from backroom.engine.world import World
from backroom.records.errors import LeaseLost
from backroom.records.runs import Claimed, StepRow
from backroom.store.verbs import Fenced, SaveStep, Verb

__all__ = ["Kept", "MemoryDesk", "attempt", "handler_of"]

Kept = dict[str, StepRow]


def handler_of(app: Backroom) -> Handler:
    """What the application's worker performs its runs with."""
    return app.worker()._handler


class MemoryDesk:
    """The desk of one attempt, whose checkpoints outlive it."""

    def __init__(self, kept: Kept) -> None:
        self.world = World()
        self.kept = kept
        self.dead = False

    def _take(self, verb: Verb) -> None:
        if self.dead:
            assert isinstance(verb, Fenced)
            raise LeaseLost(verb.run_id, verb.attempt)
        assert isinstance(verb, SaveStep), verb
        self.kept[verb.step.address] = verb.step

    def submit(self, verb: Verb) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self._take(verb)
            future.set_result(None)
        except LeaseLost as error:
            future.set_exception(error)
        return future

    def call(self, verb: Verb) -> Any:
        self._take(verb)

    def post(self, verb: Verb) -> None:
        self._take(verb)

    def watch(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"no test needs {name} of a desk yet")


def attempt(handler: Handler, flow: str, desk: MemoryDesk, number: int) -> Performance:
    """The next attempt of the run whose checkpoints the desk has."""
    steps = tuple(desk.kept.values())
    run_id = "01890000-0000-7000-8000-000000000000"
    claimed = Claimed(run_id, flow, "{}", "default", number, 1, 0, 0, steps=steps)
    return handler.open(claimed, desk)
