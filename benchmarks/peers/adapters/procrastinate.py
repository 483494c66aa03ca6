"""procrastinate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import procrastinate

from benchmarks.peers import line

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=line.ADDRESS))


@app.task(name="noop")
async def noop(number: int) -> None:
    line.noop(number)


@app.task(name="stamp")
async def stamp(number: int) -> None:
    line.stamp(number)


@app.task(name="slow")
async def slow(number: int) -> None:
    await line.slow_async(number)


TASKS = {"noop": noop, "stamp": stamp, "slow": slow}


def prepare() -> None:
    async def install() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(install())


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    async with app.open_async():

        async def one(kind: str, number: int) -> None:
            await TASKS[kind].defer_async(number=number)

        async def bulk(kind: str, numbers: Sequence[int]) -> None:
            await TASKS[kind].batch_defer_async(*({"number": number} for number in numbers))

        yield line.Client(one, bulk)


def work(settings: dict[str, Any]) -> None:
    async def run() -> None:
        async with app.open_async():
            await app.run_worker_async(**settings)

    asyncio.run(run())
