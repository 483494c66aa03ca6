"""taskiq on a Redis stream, the broker of its documentation that acknowledges."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import line

# From the first message on, not only from those that come after the first worker.
broker = RedisStreamBroker(url=line.ADDRESS, consumer_id="0")


@broker.task(task_name="noop")
async def noop(number: int) -> None:
    line.noop(number)


@broker.task(task_name="stamp")
async def stamp(number: int) -> None:
    line.stamp(number)


@broker.task(task_name="slow")
async def slow(number: int) -> None:
    await line.slow_async(number)


TASKS = {"noop": noop, "stamp": stamp, "slow": slow}


def prepare() -> None:
    """The stream is made when it is first used."""


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    await broker.startup()

    async def one(kind: str, number: int) -> None:
        await TASKS[kind].kiq(number)

    yield line.Client(one)
    await broker.shutdown()


def work(settings: dict[str, Any]) -> None:
    program = str(Path(sys.executable).with_name("taskiq"))
    words = ["--workers", str(settings.get("processes", 2)), "--log-level", "ERROR"]
    os.execv(program, [program, "worker", f"{__name__}:broker", *words])  # noqa: S606
