"""chancy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from chancy import Chancy, Queue, Worker, job

from benchmarks.peers import line


@job(queue="default")
async def noop(*, number: int) -> None:
    line.noop(number)


@job(queue="default")
async def stamp(*, number: int) -> None:
    line.stamp(number)


@job(queue="default")
async def slow(*, number: int) -> None:
    await line.slow_async(number)


@job(queue="default")
def slow_in_process(*, number: int) -> None:
    line.slow(number)


JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


def opened() -> Chancy:
    return Chancy(line.ADDRESS, log=logging.getLogger("chancy"))


def prepare() -> None:
    async def create() -> None:
        async with opened() as chancy:
            await chancy.migrate()
            # Asynchronous jobs need the asynchronous executor; the default one starts processes.
            await chancy.declare(Queue("default", concurrency=100, executor=Chancy.Executor.Async))

    asyncio.run(create())


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    async with opened() as chancy:

        async def one(kind: str, number: int) -> None:
            await chancy.push(JOBS[kind].job.with_kwargs(number=number))

        async def bulk(kind: str, numbers: Sequence[int]) -> None:
            made = [JOBS[kind].job.with_kwargs(number=number) for number in numbers]
            async for _ in chancy.push_many(made):
                pass

        yield line.Client(one, bulk)


def work(settings: dict[str, Any]) -> None:
    async def run() -> None:
        async with opened() as chancy:
            if settings:
                queue = Queue("default", executor=Chancy.Executor.Async, **settings)
                await chancy.declare(queue, upsert=True)
            async with Worker(chancy) as worker:
                await worker.wait_for_shutdown()

    asyncio.run(run())
