"""The application whose runs are measured. Its bodies do next to nothing: what costs is ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backroom import Backroom, step
from backroom.flows.flow import AsyncFlow

__all__ = ["STEPS", "Application", "Diary", "application"]

STEPS = 10
"""Steps of a run of `ten_steps`."""


@dataclass
class Diary:
    """What the flows of one process have noted. Times are `time.monotonic_ns`, which all
    processes of a machine share."""

    begun: int = 0
    on_begin: Callable[[int], None] = lambda begun: None
    delays_ns: list[int] = field(default_factory=list)  # of `stamp`: from the call to the body
    spans_ns: list[int] = field(default_factory=list)  # of `ten_steps`: from first line to last

    def begin(self) -> None:
        self.begun += 1
        self.on_begin(self.begun)


@dataclass(frozen=True)
class Application:
    app: Backroom
    diary: Diary
    no_op: AsyncFlow[[], None]
    ten_steps: AsyncFlow[[], None]
    stamp: AsyncFlow[[int], None]


@step
async def nothing(number: int) -> int:
    return number


def application(database: str) -> Application:
    app = Backroom(database)
    diary = Diary()

    @app.flow
    async def no_op() -> None:
        diary.begin()

    @app.flow
    async def ten_steps() -> None:
        diary.begin()
        began = time.monotonic_ns()
        for number in range(STEPS):
            await nothing(number)
        diary.spans_ns.append(time.monotonic_ns() - began)

    @app.flow
    async def stamp(called_at: int) -> None:
        diary.delays_ns.append(time.monotonic_ns() - called_at)
        diary.begin()

    return Application(app, diary, no_op, ten_steps, stamp)
