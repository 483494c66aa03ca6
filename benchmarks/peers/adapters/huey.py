"""Huey on SQLite, with `fsync=True`: without it an accepted job may be gone after a power cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from huey import SqliteHuey

from benchmarks.peers import line

queue = SqliteHuey("bench", filename=line.ADDRESS, fsync=True, results=False)


@queue.task(name="noop")
def noop(number: int) -> None:
    line.noop(number)


@queue.task(name="stamp")
def stamp(number: int) -> None:
    line.stamp(number)


@queue.task(name="slow")
def slow(number: int) -> None:
    line.slow(number)


TASKS = {"noop": noop, "stamp": stamp, "slow": slow}


def prepare() -> None:
    """The storage makes its tables when it is opened."""


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    def one(kind: str, number: int) -> None:
        TASKS[kind](number)

    yield line.Client(one)


def work(settings: dict[str, Any]) -> None:
    queue.create_consumer(**settings).run()
