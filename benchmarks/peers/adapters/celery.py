"""Celery on Redis."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.peers import line

app = Celery("bench", broker=line.ADDRESS)
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = int(os.environ.get("BENCH_PREFETCH", "4"))
app.conf.broker_connection_retry_on_startup = True


@app.task(name="noop")
def noop(number: int) -> None:
    line.noop(number)


@app.task(name="stamp")
def stamp(number: int) -> None:
    line.stamp(number)


@app.task(name="slow")
def slow(number: int) -> None:
    line.slow(number)


TASKS = {"noop": noop, "stamp": stamp, "slow": slow}


def prepare() -> None:
    """Nothing to make in Redis."""


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    def one(kind: str, number: int) -> None:
        TASKS[kind].delay(number)

    yield line.Client(one)


def work(settings: dict[str, Any]) -> None:
    os.environ["BENCH_PREFETCH"] = str(settings.get("prefetch", 4))
    words = ["worker", "--loglevel", "ERROR", "--concurrency", str(settings.get("processes", 2))]
    if settings.get("quiet"):
        words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    program = str(Path(sys.executable).with_name("celery"))
    os.execv(program, [program, "-A", __name__, *words])  # noqa: S606
