"""What is measured: curves, each a list of points on one kind of database, and single figures.

claims     microseconds a no-op run, with 10⁴ to 10⁷ others waiting, and with as many finished
flows      durable steps per second with 1 to 1,000 flows at once
payloads   runs per second that carry 100 bytes to a megabyte in, through a step, and out
steps      microseconds a step in runs of 1 to 10,000 steps
parked     a million runs that sleep: memory of a worker, disk, time to wake 10,000 of them
limits     a queue with limits per queue, partition and time, against one without
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from backroom import Backroom
from benchmarks.application import STEPS, Application, application
from benchmarks.child import PATIENCE_SECONDS, WorkerProcess, until_drained
from benchmarks.growth.copies import Copier, copier
from benchmarks.places import Database, Place

__all__ = ["CURVES", "FULL", "QUICK", "Point", "Size"]

BULK = 1_000
MONTH_US = 30 * 24 * 3600 * 1_000_000
WARM = 500  # runs before a claim is timed
TIMED = 5_000


@dataclass(frozen=True, slots=True)
class Size:
    backlogs: tuple[int, ...]
    flows: tuple[int, ...]
    payloads: tuple[int, ...]  # bytes
    steps: tuple[int, ...]
    parked: int
    woken: int
    limited: int  # runs


FULL = Size(
    backlogs=(10_000, 100_000, 1_000_000),
    flows=(1, 3, 10, 32, 100, 320, 1_000),
    payloads=(100, 1_000, 10_000, 100_000, 1_000_000),
    steps=(1, 10, 100, 1_000, 10_000),
    parked=1_000_000,
    woken=10_000,
    limited=20_000,
)
QUICK = Size((10_000, 50_000), (1, 32, 320), (100, 100_000), (1, 100, 1_000), 50_000, 2_000, 5_000)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one curve; `at` is 0 for what isn't a curve."""

    curve: str
    unit: str
    at: int
    value: float


Curve = Callable[[Place, Size], Iterator[Point]]


@contextmanager
def opened(database: Database, *, limits: bool = False) -> Iterator[Application]:
    measured = application(database.address, limits=limits)
    try:
        measured.app.office  # noqa: B018  opens the database
        yield measured
    finally:
        measured.app.close()


def claims(place: Place, size: Size) -> Iterator[Point]:
    for kind in ("waiting", "finished"):
        with place.database() as database, closing_copier(database) as copies:
            template = one_run(database, finished=kind == "finished")
            there = 1
            for backlog in size.backlogs:
                copies.copy(template, first=there, count=backlog - there, shifts={})
                there = backlog
                if kind == "finished":
                    with opened(database) as measured:
                        start_no_ops(measured, WARM + TIMED + BULK)
                yield Point(f"runs {kind}", "µs a run", backlog, timed_claims(database))
                if kind == "finished":
                    with WorkerProcess(database.address) as worker:
                        worker.go()
                        until_empty(database)


@contextmanager
def closing_copier(database: Database) -> Iterator[Copier]:
    with opened(database):
        pass  # its tables
    with closing(copier(database.address)) as copies:
        yield copies


def one_run(database: Database, *, finished: bool) -> str:
    with opened(database) as measured:
        run = measured.no_op.start()
    if finished:
        with WorkerProcess(database.address) as worker:
            worker.go()
            until_empty(database)
    return str(run.id)


def until_empty(database: Database) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not database.is_drained():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Runs are left after {PATIENCE_SECONDS} s.")
        time.sleep(0.002)


def until_begun(worker: WorkerProcess, runs: int) -> float:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while worker.begun < runs:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Only {worker.begun} of {runs} runs began in {PATIENCE_SECONDS} s.")
        time.sleep(0.001)
    return time.monotonic()


def timed_claims(database: Database) -> float:
    """Microseconds a run, claimed, performed and completed by one worker."""
    with WorkerProcess(database.address) as worker:
        worker.go()
        began = until_begun(worker, WARM)
        ended = until_begun(worker, WARM + TIMED)
    return (ended - began) / TIMED * 1e6


def start_no_ops(measured: Application, runs: int) -> None:
    for _ in range(0, runs, BULK):
        measured.app.start_many(measured.no_op.prepare() for _ in range(BULK))


def flows(place: Place, size: Size) -> Iterator[Point]:
    for at_once in size.flows:
        runs = min(2_000, 60 + at_once * 10)
        with place.database() as database:
            with opened(database) as measured:
                measured.app.start_many(measured.ten_steps.prepare() for _ in range(runs))
            with WorkerProcess(database.address, concurrency=at_once) as worker:
                began = time.monotonic()
                worker.go()
                elapsed = until_drained([worker], runs, database) - began
        yield Point("flows at once", "steps/s", at_once, runs * STEPS / elapsed)


def payloads(place: Place, size: Size) -> Iterator[Point]:
    chance = random.Random(7)
    for length in size.payloads:
        runs = max(20, min(2_000, 40_000_000 // length))
        text = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=length - 2))
        with place.database() as database:
            with opened(database) as measured:
                for first in range(0, runs, 20):
                    several = range(min(20, runs - first))
                    measured.app.start_many(measured.carry.prepare(text) for _ in several)
            with WorkerProcess(database.address) as worker:
                began = time.monotonic()
                worker.go()
                elapsed = until_drained([worker], runs, database) - began
        yield Point("payload", "runs/s", length, runs / elapsed)


def steps(place: Place, size: Size) -> Iterator[Point]:
    for count in size.steps:
        runs = max(1, min(20, 1_000 // count))
        with (
            place.database() as database,
            opened(database) as measured,
            WorkerProcess(database.address, concurrency=1) as worker,
        ):
            worker.go()
            measured.many_steps.start(1).result().wait()
            for _ in range(runs):
                measured.many_steps.start(count).result().wait()
            spans = worker.stop()["spans_ns"][1:]
        yield Point("steps of a run", "µs a step", count, sum(spans) / len(spans) / count / 1000)


def parked(place: Place, size: Size) -> Iterator[Point]:
    with place.database() as database, closing_copier(database) as copies:
        with opened(database) as measured:
            run = measured.parked.start()
        with WorkerProcess(database.address) as worker:
            worker.go()
            until_parked(measured.app, str(run.id))
            time.sleep(1)
            without = worker.usage()["resident_mb"]
        before = copies.size_mb()
        copies.copy(str(run.id), first=1, count=size.parked - size.woken, shifts={})
        yield Point("parked: on disk", "MB", 0, copies.size_mb() - before)
        with WorkerProcess(database.address) as worker:
            worker.go()
            time.sleep(3)
            yield Point(
                "parked: a worker's growth", "MB", 0, worker.usage()["resident_mb"] - without
            )
        due = {"available_at": -2 * MONTH_US, "due_at": -2 * MONTH_US}
        copies.copy(str(run.id), first=size.parked, count=size.woken, shifts=due)
        with WorkerProcess(database.address) as worker:
            began = time.monotonic()
            worker.go()
            yield Point(
                f"parked: {size.woken:,} of them woken", "s", 0,
                until_begun(worker, size.woken) - began,
            )  # fmt: skip


def until_parked(app: Backroom, run_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while app.run(run_id).status().wait().state != "waiting":
        if time.monotonic() > deadline:
            raise TimeoutError(f"The run isn't parked after {PATIENCE_SECONDS} s.")
        time.sleep(0.02)


def limits(place: Place, size: Size) -> Iterator[Point]:
    for declared in (False, True):
        with place.database() as database:
            with opened(database, limits=declared) as measured:
                for first in range(0, size.limited, BULK):
                    measured.app.start_many(
                        measured.limited.using(partition=f"customer {number % 50}").prepare()
                        if declared
                        else measured.limited.prepare()
                        for number in range(first, first + BULK)
                    )
            with WorkerProcess(database.address, limits=declared) as worker:
                began = time.monotonic()
                worker.go()
                elapsed = until_drained([worker], size.limited, database) - began
        name = "queue with limits" if declared else "queue without limits"
        yield Point(name, "µs a run", 0, elapsed / size.limited * 1e6)


CURVES: dict[str, Curve] = {
    "claims": claims,
    "flows": flows,
    "payloads": payloads,
    "steps": steps,
    "parked": parked,
    "limits": limits,
}
