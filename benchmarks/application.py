"""The application whose runs are measured. Its bodies do next to nothing: what costs is ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backroom import Backroom, sleep, step
from backroom.flows.flow import AsyncFlow

__all__ = ["STEPS", "Application", "Diary", "application"]

STEPS = 10
"""Steps of a run of `ten_steps`."""

LIMITED = "limited"


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
    many_steps: AsyncFlow[[int], None]
    carry: AsyncFlow[[str], str]
    parked: AsyncFlow[[], None]
    limited: AsyncFlow[[], None]


@step
async def nothing(number: int) -> int:
    return number


@step
async def keep(payload: str) -> str:
    return payload


def application(database: str, *, limits: bool = False) -> Application:
    """`limits` declares the rules of the queue of `limited`; they never hold anything back."""
    app = Backroom(database)
    if limits:
        app.queue(
            LIMITED, concurrency=10_000, concurrency_per_partition=10_000, rate=1_000_000, per=1
        )
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

    @app.flow
    async def many_steps(count: int) -> None:
        diary.begin()
        began = time.monotonic_ns()
        for number in range(count):
            await nothing(number)
        diary.spans_ns.append(time.monotonic_ns() - began)

    @app.flow
    async def carry(payload: str) -> str:
        diary.begin()
        return await keep(payload)

    @app.flow
    async def parked() -> None:
        await sleep(days=30)
        diary.begin()

    @app.flow(queue=LIMITED)
    async def limited() -> None:
        diary.begin()

    return Application(app, diary, no_op, ten_steps, stamp, many_steps, carry, parked, limited)
