"""The application of `test_exact_limits.py`, as its four workers import it.

Each body leaves a mark when it begins and when it ends, all in one file and each in one write, so
that the lines stand in the order in which it happened. The marks lie inside of what the queue
counts: after the claim, and before the end is on its way.
"""

from __future__ import annotations

import os
import re
import time

import backroom.store.postgres.statement as statements
from backroom import Backroom, lock, step
from backroom.store.sqlite import ruled
from backroom.store.statements import load
from tests.engine.supervised import folder

SABOTAGE = "BACKROOM_TEST_SABOTAGE"

LIMIT = 5
PER_PARTITION = 2
OF_FLOW = 3
RATE, PER_SECONDS, BURST = 100, 1.0, 5

app = Backroom()
app.queue("limited", concurrency=LIMIT)
app.queue("parted", concurrency=LIMIT, concurrency_per_partition=PER_PARTITION)
app.queue("rated", rate=RATE, per=PER_SECONDS, burst=BURST)


def mark(what: str, name: str) -> None:
    descriptor = os.open(folder() / "bodies", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{what} {name} {os.getpid()} {time.time_ns()}\n".encode())
    os.close(descriptor)


@app.flow(queue="limited", partition="name")
def body(name: str) -> None:
    mark("begin", name)
    time.sleep(0.02)
    mark("end", name)


@app.flow(queue="rated")
def called(name: str) -> None:
    mark("begin", name)
    mark("end", name)


def without_locks() -> None:
    """Let workers count without the lock (PostgreSQL), or each only what nobody runs (SQLite,
    where the file's one write lock can't be left out)."""

    def unlocked(package: str, name: str, schema: str = "backroom") -> str:
        return re.sub(
            r"WHERE pg_try_advisory_xact_lock\(.*\)\)", "WHERE true", load(package, name, schema)
        )

    setattr(statements, "load", unlocked)  # noqa: B010  where it was imported to
    ruled.COUNTED = "SELECT 0 WHERE ? IS NOT NULL"


if os.environ.get(SABOTAGE):
    without_locks()


@app.flow(concurrency=OF_FLOW)
def alone(name: str) -> None:
    mark("begin", name)
    time.sleep(0.002)
    mark("end", name)


@step
def inside(name: str) -> None:
    mark("begin", name)
    time.sleep(0.002)
    mark("end", name)


@app.flow
def locked(name: str) -> None:
    with lock("the only one"):
        inside(name)
