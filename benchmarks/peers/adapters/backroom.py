"""backroom itself, by the same line as the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from backroom import Backroom, step
from benchmarks.peers import line

app = Backroom(line.ADDRESS)


@step
async def nothing(number: int) -> int:
    return number


@app.flow
async def noop(number: int) -> None:
    line.noop(number)


@app.flow
async def stamp(number: int) -> None:
    line.stamp(number)


@app.flow
async def slow(number: int) -> None:
    await line.slow_async(number)


@app.flow
async def ten(number: int) -> None:
    began = line.begin_ten()
    for each in range(10):
        await nothing(each)
    line.end_ten(number, began)


FLOWS = {"noop": noop, "stamp": stamp, "slow": slow, "ten": ten}


def prepare() -> None:
    app.office  # noqa: B018  opens the database and makes the tables
    app.close()


def start(kind: str, number: int) -> None:
    FLOWS[kind].start(number)


async def start_among_many(kind: str, number: int) -> None:
    await FLOWS[kind].start(number)


def start_in_bulk(kind: str, numbers: Sequence[int]) -> None:
    app.start_many(FLOWS[kind].prepare(number) for number in numbers)


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    yield line.Client(one=start, bulk=start_in_bulk, one_of_many=start_among_many)


def work(settings: dict[str, Any]) -> None:
    changes = {name: settings[name] for name in ("concurrency",) if name in settings}
    asyncio.run(app.worker(**changes).run())
