"""DBOS Transact, on PostgreSQL and on SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.peers import line

ON_SQLITE = "://" not in line.ADDRESS
URL = f"sqlite:///{line.ADDRESS}" if ON_SQLITE else line.ADDRESS
QUEUE = "bench"


@DBOS.workflow(name="noop")
def noop(number: int) -> None:
    line.noop(number)


@DBOS.workflow(name="stamp")
def stamp(number: int) -> None:
    line.stamp(number)


@DBOS.workflow(name="slow")
def slow(number: int) -> None:
    line.slow(number)


@DBOS.step()
def nothing(number: int) -> int:
    return number


@DBOS.workflow(name="ten")
def ten(number: int) -> None:
    began = line.begin_ten()
    for each in range(10):
        nothing(each)
    line.end_ten(number, began)


def launch(polling_seconds: float = 1.0) -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": URL,
        "log_level": "ERROR",
        "application_version": "1",
        "enable_otlp": False,
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=polling_seconds)


def prepare() -> None:
    if ON_SQLITE:
        # It would work with a rollback journal, two syncs a commit more. The mode stays with the
        # file; synchronous=FULL is the library's default, and DBOS leaves it.
        with closing(sqlite3.connect(line.ADDRESS)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    launch()


@asynccontextmanager
async def client() -> AsyncIterator[line.Client]:
    sender = DBOSClient(system_database_url=URL, system_database_pool_size=20)

    def one(kind: str, number: int) -> None:
        sender.enqueue({"queue_name": QUEUE, "workflow_name": kind, "app_version": "1"}, number)

    yield line.Client(one)
    sender.destroy()


def work(settings: dict[str, Any]) -> None:
    launch(**settings)
    threading.Event().wait()
