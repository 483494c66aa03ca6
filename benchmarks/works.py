"""What is measured. Each work measures backroom and the raw database once, one after the other.

drain     a backlog of no-op runs, one worker process; and two
steps     flows of ten steps, 200 at once in one worker process
alone     one run of ten steps at a time, nothing else going on
latency   from the call of `start` in one process to the flow's first line in another
start     runs stored: by one caller, by 64 at once, in bulk
idle      what a worker costs that has nothing to do
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import raw
from benchmarks.application import STEPS, Application, application
from benchmarks.child import WorkerProcess, until_drained
from benchmarks.places import Database, Place

__all__ = ["FULL", "QUICK", "WORKS", "Figure", "Size"]

BATCH = 100  # of the raw database, where it writes in batches
FLOWS_AT_ONCE = 200
CALLERS = 64
BULK = 1_000  # runs in one call of start_many


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each work makes one round."""

    backlog: int  # no-op runs
    flows: int  # of ten steps, FLOWS_AT_ONCE at a time
    alone: int
    stamps: int
    starts: int
    bulk: int
    idle_seconds: float


FULL = Size(
    backlog=20_000, flows=2_000, alone=60, stamps=200, starts=1_000, bulk=20_000, idle_seconds=5
)
QUICK = Size(backlog=5_000, flows=500, alone=20, stamps=40, starts=300, bulk=5_000, idle_seconds=3)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, and what the raw database did. A unit of /s is better when it is more."""

    work: str
    unit: str
    value: float
    single: float | None = None  # the raw database, one row in a commit
    batched: float | None = None  # BATCH rows in a commit

    @property
    def ratio(self) -> float | None:
        """Of ours to the raw database's best; None where it has no counterpart."""
        best = self.single if self.batched is None else self.batched
        return None if best is None else self.value / best


Work = Callable[[Place, Size], Iterator[Figure]]


@contextmanager
def opened(database: Database) -> Iterator[Application]:
    measured = application(database.address)
    try:
        measured.app.office  # noqa: B018  opens the database
        yield measured
    finally:
        measured.app.close()


def drain(place: Place, size: Size) -> Iterator[Figure]:
    with place.raw() as bare:
        single = raw.claim_and_complete(bare, size.backlog // 20, 1)
    with place.raw() as bare:
        batched = raw.claim_and_complete(bare, size.backlog, BATCH)
    rate = drained(place, size.backlog, processes=1)
    yield Figure("no-op runs drained, 1 process", "runs/s", rate, single, batched)
    if place.name != "SQLite":
        rate = drained(place, size.backlog, processes=2)
        yield Figure("no-op runs drained, 2 processes", "runs/s", rate, single, batched)


def drained(place: Place, runs: int, *, processes: int) -> float:
    with place.database() as database, ExitStack() as stack:
        with opened(database) as measured:
            for _ in range(0, runs, BULK):
                measured.app.start_many(measured.no_op.prepare() for _ in range(BULK))
        workers = [stack.enter_context(WorkerProcess(database.address)) for _ in range(processes)]
        began = time.monotonic()
        for worker in workers:
            worker.go()
        return runs / (until_drained(workers, runs, database) - began)


def steps(place: Place, size: Size) -> Iterator[Figure]:
    total = size.flows * STEPS
    with place.raw() as bare:
        single = raw.save(bare, total // 20, 1)
    with place.raw() as bare:
        batched = raw.save(bare, total, BATCH)
    with place.database() as database:
        with opened(database) as measured:
            measured.app.start_many(measured.ten_steps.prepare() for _ in range(size.flows))
        with WorkerProcess(database.address, concurrency=FLOWS_AT_ONCE) as worker:
            began = time.monotonic()
            worker.go()
            elapsed = until_drained([worker], size.flows, database) - began
    name = f"durable steps, {FLOWS_AT_ONCE} flows of {STEPS} at once"
    yield Figure(name, "steps/s", total / elapsed, single, batched)


def alone(place: Place, size: Size) -> Iterator[Figure]:
    with place.raw() as bare:
        floor = raw.ten_steps(bare, size.alone)

    def once(measured: Application) -> float:
        began = time.perf_counter()
        measured.ten_steps.start().result().wait()
        return (time.perf_counter() - began) * 1000

    with (
        place.database() as database,
        opened(database) as measured,
        WorkerProcess(database.address) as worker,
    ):
        worker.go()
        once(measured)  # the first one waits for the worker to begin
        whole = statistics.median(once(measured) for _ in range(size.alone))
        spans = worker.stop()["spans_ns"][1:]
    yield Figure("ten steps alone, start to result", "ms", whole, floor)
    inside = statistics.median(spans) / 1e6
    yield Figure("ten steps alone, first line to last", "ms", inside, floor * 10 / 13)


def latency(place: Place, size: Size) -> Iterator[Figure]:
    with place.raw() as bare:
        floor = raw.start_to_claim(bare, size.stamps)
    with (
        place.database() as database,
        opened(database) as measured,
        WorkerProcess(database.address) as worker,
    ):
        worker.go()
        chance = random.Random(7)
        for _ in range(size.stamps + 1):
            measured.stamp.start(time.monotonic_ns())
            time.sleep(chance.uniform(0.02, 0.06))  # idle again, at any moment of its loops
        until_drained([worker], size.stamps + 1, database)
        delays = [ns / 1e6 for ns in worker.stop()["delays_ns"][1:]]
    assert len(delays) == size.stamps, f"{len(delays)} of {size.stamps} runs began"
    yield Figure("start to running, p50", "ms", percentile(delays, 50), percentile(floor, 50))
    yield Figure("start to running, p99", "ms", percentile(delays, 99), percentile(floor, 99))


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def start(place: Place, size: Size) -> Iterator[Figure]:
    with place.raw() as bare:
        single = raw.insert(bare, size.starts, 1)
    with place.raw() as bare:
        batched = raw.insert(bare, size.bulk, BATCH)
    with place.database() as database, opened(database) as measured:
        measured.no_op.start()
        began = time.perf_counter()
        for _ in range(size.starts):
            measured.no_op.start()
        rate = size.starts / (time.perf_counter() - began)
        yield Figure("runs started, 1 caller", "runs/s", rate, single)
        rate = asyncio.run(started_by_many(measured, size.starts * 4))
        yield Figure(f"runs started, {CALLERS} callers", "runs/s", rate, single, batched)
        began = time.perf_counter()
        for _ in range(0, size.bulk, BULK):
            measured.app.start_many(measured.no_op.prepare() for _ in range(BULK))
        rate = size.bulk / (time.perf_counter() - began)
        yield Figure(f"runs started, {BULK:,} a call", "runs/s", rate, single, batched)


async def started_by_many(measured: Application, runs: int) -> float:
    async def caller() -> None:
        for _ in range(runs // CALLERS):
            await measured.no_op.start()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return runs // CALLERS * CALLERS / (time.perf_counter() - began)


def idle(place: Place, size: Size) -> Iterator[Figure]:
    with (
        place.database() as database,
        WorkerProcess(database.address, count_statements=True) as worker,
    ):
        worker.go()
        time.sleep(1)
        before = worker.usage()
        time.sleep(size.idle_seconds)
        after = worker.usage()
    busy = (after["cpu_seconds"] - before["cpu_seconds"]) / size.idle_seconds
    statements = (after["statements"] - before["statements"]) / size.idle_seconds
    yield Figure("idle worker, resident", "MB", after["resident_mb"])
    yield Figure("idle worker, of one core", "%", busy * 100)
    yield Figure("idle worker, statements", "a second", statements)


WORKS: dict[str, Work] = {
    "drain": drain,
    "steps": steps,
    "alone": alone,
    "latency": latency,
    "start": start,
    "idle": idle,
}
