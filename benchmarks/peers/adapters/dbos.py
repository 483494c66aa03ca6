"""DBOS Transact, on PostgreSQL and on SQLite."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.peers import line

ON_SQLITE = "://" not in line.ADDRESS
URL = f"sqlite:///{line.ADDRESS}" if ON_SQLITE else line.ADDRESS
QUEUE = "bench"

if ON_SQLITE:
    # Its own choice for SQLite is WAL; FULL, the library's default, is made sure of.
    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def synced(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=FULL")


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
