"""pgqueuer, by asyncpg, the driver that its documentation recommends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.models import Job

from benchmarks.peers import line


def prepare() -> None:
    async def install() -> None:
        connection = await asyncpg.connect(line.ADDRESS)
        await Queries.from_asyncpg_connection(connection).install()
        await connection.close()

    asyncio.run(install())


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    async with asyncpg.create_pool(line.ADDRESS, min_size=1, max_size=10) as pool:
        queries = Queries.from_asyncpg_pool(pool)

        async def one(kind: str, number: int) -> None:
            await queries.enqueue(kind, str(number).encode())

        async def bulk(kind: str, numbers: Sequence[int]) -> None:
            await queries.enqueue(
                [kind] * len(numbers), [str(each).encode() for each in numbers], [0] * len(numbers)
            )

        yield line.Client(one, bulk)


def work(settings: dict[str, Any]) -> None:
    async def run() -> None:
        queue = PgQueuer.from_asyncpg_connection(await asyncpg.connect(line.ADDRESS))

        @queue.entrypoint("noop")
        async def noop(job: Job) -> None:
            line.noop(int(job.payload or 0))

        @queue.entrypoint("stamp")
        async def stamp(job: Job) -> None:
            line.stamp(int(job.payload or 0))

        @queue.entrypoint("slow")
        async def slow(job: Job) -> None:
            await line.slow_async(int(job.payload or 0))

        await queue.run(**settings)

    import uvloop

    uvloop.run(run())
