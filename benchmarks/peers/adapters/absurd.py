"""absurd, with the schema that its command line bundles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from absurd_sdk import Absurd, AsyncAbsurd, AsyncTaskContext
from absurdctl import BUNDLED_SCHEMA_SQL

from benchmarks.peers import line


def prepare() -> None:
    with psycopg.connect(line.ADDRESS, autocommit=True) as connection:
        connection.execute(BUNDLED_SCHEMA_SQL)
    Absurd(line.ADDRESS).create_queue()


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    app = AsyncAbsurd(line.ADDRESS)

    async def one(kind: str, number: int) -> None:
        await app.spawn(kind, {"number": number}, queue="default")

    yield line.Client(one)
    await app.close()


def work(settings: dict[str, Any]) -> None:
    app = AsyncAbsurd(line.ADDRESS)

    @app.register_task("noop")
    async def noop(params: Any, context: AsyncTaskContext) -> None:
        line.noop(params["number"])

    @app.register_task("stamp")
    async def stamp(params: Any, context: AsyncTaskContext) -> None:
        line.stamp(params["number"])

    @app.register_task("slow")
    async def slow(params: Any, context: AsyncTaskContext) -> None:
        await line.slow_async(params["number"])

    @app.register_task("ten")
    async def ten(params: Any, context: AsyncTaskContext) -> None:
        async def nothing() -> int:
            return 1

        began = line.begin_ten()
        for _ in range(10):
            await context.step("nothing", nothing)
        line.end_ten(params["number"], began)

    asyncio.run(app.start_worker(**settings))
