"""Dramatiq on Redis."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import line

broker = RedisBroker(url=line.ADDRESS)
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(number: int) -> None:
    line.noop(number)


@dramatiq.actor
def stamp(number: int) -> None:
    line.stamp(number)


@dramatiq.actor
def slow(number: int) -> None:
    line.slow(number)


ACTORS = {"noop": noop, "stamp": stamp, "slow": slow}


def prepare() -> None:
    """Nothing to make in Redis."""


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    def one(kind: str, number: int) -> None:
        ACTORS[kind].send(number)

    yield line.Client(one)


def work(settings: dict[str, Any]) -> None:
    program = str(Path(sys.executable).with_name("dramatiq"))
    words = ["--processes", str(settings.get("processes", 2))]
    os.execv(program, [program, __name__, *words])  # noqa: S606
