"""oban-py, the open-source edition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from oban import Oban, job
from oban.schema import install

from benchmarks.peers import line


@job(queue="default")
async def noop(number: int) -> None:
    line.noop(number)


@job(queue="default")
async def stamp(number: int) -> None:
    line.stamp(number)


@job(queue="default")
async def slow(number: int) -> None:
    await line.slow_async(number)


JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


def prepare() -> None:
    async def create() -> None:
        pool = await Oban.create_pool(line.ADDRESS)
        await install(pool)
        await pool.close()

    asyncio.run(create())


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    pool = await Oban.create_pool(line.ADDRESS)
    async with Oban(pool=pool) as oban:

        async def one(kind: str, number: int) -> None:
            # Not JOBS[kind].enqueue: release 0.7.0 wraps a function job's arguments twice there.
            await oban.enqueue(JOBS[kind].new(number))

        async def bulk(kind: str, numbers: Sequence[int]) -> None:
            await oban.enqueue_many(JOBS[kind].new(number) for number in numbers)

        yield line.Client(one, bulk)
    await pool.close()


def work(settings: dict[str, Any]) -> None:
    async def run() -> None:
        pool = await Oban.create_pool(line.ADDRESS)
        async with Oban(pool=pool, queues={"default": settings["limit"]}):
            await asyncio.Event().wait()

    asyncio.run(run())
