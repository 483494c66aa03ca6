"""How the tests of flows speak: short words for looking at runs."""

from typing import Any, TypeVar

from backroom import Backroom, Run, State
from backroom.engine.world import World
from backroom.records.runs import StepRow, WaitRow
from backroom.testing import eventually

__all__ = [
    "LONG",
    "EvenChance",
    "checkpoints",
    "outcome",
    "parked",
    "result",
    "state",
    "steps",
    "waits",
]

T = TypeVar("T")

LONG = 30.0
"""Seconds after which a test gives up: reached only by what is broken."""


class EvenChance(World):
    """Full jitter without chance: every pause is half of what it may be."""

    def chance(self) -> float:
        return 0.5


def result(run: Run[T]) -> T:
    return run.result().wait(LONG)


def state(run: Run[Any]) -> State:
    return run.status().wait(LONG).state


def parked(run: Run[Any]) -> None:
    """Wait until a run waits, held by nobody."""
    eventually(lambda: state(run) is State.WAITING, within=LONG)


def outcome(run: Run[Any]) -> State:
    """Wait until a run has ended or was set aside; its state then."""
    resting = {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.NEEDS_ATTENTION}
    eventually(lambda: state(run) in resting, within=LONG)
    return state(run)


def steps(app: Backroom, run: Run[Any]) -> list[StepRow]:
    return app.office.read(lambda reader: reader.steps(run.id)).result(LONG)


def waits(app: Backroom, run: Run[Any]) -> list[WaitRow]:
    return app.office.read(lambda reader: reader.waits(run.id)).result(LONG)


def checkpoints(app: Backroom, run: Run[Any]) -> dict[str, str]:
    """Address and state of all that is kept of a run."""
    return {row.address: row.state for row in steps(app, run)}
