"""Limits are exact with four worker processes, also when some of them are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from backroom import Backroom
from backroom.rules.rates import interval_us
from tests.engine.limited import (
    BURST,
    LIMIT,
    OF_FLOW,
    PER_PARTITION,
    PER_SECONDS,
    RATE,
    SABOTAGE,
    alone,
    body,
    called,
    locked,
)
from tests.engine.processes import Program, eventually, exists, program

RUNS = 120
WAVE = 10  # runs started at once while all workers are idle: then they race for the first places
WORKERS = 4


class Mark(NamedTuple):
    what: str
    name: str
    pid: int
    at: int


@pytest.fixture
def client(database: str) -> Iterator[Backroom]:
    """What starts the runs: it knows the flows, and declares what the workers declare."""
    app = Backroom(database)
    app.queue("limited", concurrency=LIMIT)
    app.queue("parted", concurrency=LIMIT, concurrency_per_partition=PER_PARTITION)
    app.queue("rated", rate=RATE, per=PER_SECONDS, burst=BURST)
    app.flow(name="body", queue="limited", partition="name")(body.spec.function)
    app.flow(name="called", queue="rated")(called.spec.function)
    app.flow(concurrency=OF_FLOW)(alone.spec.function)
    app.flow(locked.spec.function)
    yield app
    app.close()


def four_workers(stack: ExitStack, database: str, folder: Path, **env: str) -> list[Program]:
    found = [
        stack.enter_context(
            program(
                *("worker", "--lease", "2", "--concurrency", "20"),
                database=database, folder=folder, app="tests.engine.limited:app", env=env,
            )
        )
        for _ in range(WORKERS)
    ]  # fmt: skip
    for worker in found:
        worker.ready()
    return found


def marks(folder: Path) -> list[Mark]:
    lines = (folder / "bodies").read_text().splitlines()
    split = [line.split() for line in lines]
    return [Mark(what, name, int(pid), int(at)) for what, name, pid, at in split]


def most_at_once(found: list[Mark], killed: Collection[int] = ()) -> dict[str, int]:
    """How many bodies were open at once, in all ("") and of each name. What a killed process had
    begun counts up to its last sign of life."""
    last = {mark.pid: place for place, mark in enumerate(found)}
    now: Counter[str] = Counter()
    open_in: dict[int, list[str]] = {}
    most: dict[str, int] = {}
    for place, mark in enumerate(found):
        bodies = open_in.setdefault(mark.pid, [])
        if mark.what == "begin":
            bodies.append(mark.name)
            now.update(["", mark.name])
        else:
            bodies.remove(mark.name)
            now.subtract(["", mark.name])
        for name in ("", mark.name):
            most[name] = max(most.get(name, 0), now[name])
        if mark.pid in killed and last[mark.pid] == place:
            now.subtract(name for name in bodies for name in ("", name))
    return most


def done(folder: Path, runs: int) -> bool:
    there = folder / "bodies"
    return there.exists() and there.read_text().count("end ") >= runs


def in_waves(client: Backroom) -> None:
    handle = client.handle("body")
    for wave in range(0, RUNS, WAVE):
        runs = client.start_many(handle.prepare(f"b{n}") for n in range(wave, wave + WAVE))
        for run in runs:
            run.result().wait(60)


@pytest.mark.timeout(180)
def test_four_processes_never_exceed_a_limit(
    client: Backroom, database: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        four_workers(stack, database, tmp_path)
        in_waves(client)
    found = marks(tmp_path)
    assert len(found) == 2 * RUNS
    assert len({mark.pid for mark in found}) > 1, "one process did it all"
    assert most_at_once(found)[""] == LIMIT


@pytest.mark.timeout(180)
def test_without_the_lock_the_same_test_fails(
    client: Backroom, database: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        four_workers(stack, database, tmp_path, **{SABOTAGE: "1"})
        in_waves(client)
    assert most_at_once(marks(tmp_path))[""] > LIMIT


@pytest.mark.timeout(180)
def test_four_processes_never_exceed_the_limit_of_a_partition(
    client: Backroom, database: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        four_workers(stack, database, tmp_path)
        handle = client.handle("body").using(queue="parted")
        runs = client.start_many(handle.prepare(f"customer{n % 4}") for n in range(RUNS))
        for run in runs:
            run.result().wait(120)
    most = most_at_once(marks(tmp_path))
    assert most.pop("") <= LIMIT
    assert set(most.values()) == {PER_PARTITION}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("flow", "limit"), [("alone", OF_FLOW), ("locked", 1)])
def test_four_processes_never_exceed_the_limit_of_a_flow_or_a_lock(
    client: Backroom, database: str, tmp_path: Path, flow: str, limit: int
) -> None:
    with ExitStack() as stack:
        four_workers(stack, database, tmp_path)
        handle = client.handle(flow)
        runs = client.start_many(handle.prepare(f"r{n}") for n in range(RUNS // 2))
        for run in runs:
            run.result().wait(120)
    found = marks(tmp_path)
    assert len(found) == RUNS
    assert len({mark.pid for mark in found}) > 1, "one process did it all"
    assert most_at_once(found)[""] == limit


@pytest.mark.timeout(180)
def test_a_limit_holds_while_workers_are_killed(
    client: Backroom, database: str, tmp_path: Path
) -> None:
    killed: set[int] = set()
    with ExitStack() as stack:
        workers = four_workers(stack, database, tmp_path)
        handle = client.handle("body")
        runs = client.start_many(handle.prepare(f"b{n}") for n in range(RUNS))
        for number in range(1, 6):
            eventually(lambda: done(tmp_path, number * 12), 60)  # noqa: B023  called at once
            busy = {mark.pid for mark in marks(tmp_path)[-8:]} - killed
            children = [pid for worker in workers for pid in worker.children() if pid in busy]
            for pid in children[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                eventually(lambda: not exists(pid))  # noqa: B023  called at once
        for run in runs:
            run.result().wait(120)
    assert killed
    assert most_at_once(marks(tmp_path), killed)[""] <= LIMIT


@pytest.mark.timeout(180)
def test_four_processes_never_exceed_a_rate(
    client: Backroom, database: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        four_workers(stack, database, tmp_path)
        handle = client.handle("called")
        runs = client.start_many(handle.prepare(f"c{n}") for n in range(RUNS))
        for run in runs:
            run.result().wait(120)
        rows = [run.status().wait() for run in runs]
    begun = sorted(row.started_at for row in rows if row.started_at is not None)
    assert len(begun) == RUNS
    interval = interval_us(RATE, round(PER_SECONDS * 1_000_000)) / 1_000_000
    for place, first in enumerate(begun):
        for number, last in enumerate(begun[place:], start=1):
            assert number <= (last - first).total_seconds() / interval + BURST + 0.01
