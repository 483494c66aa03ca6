"""What runs and steps cost, counted: statements and commits, which no machine makes slower."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from backroom import Backroom, step
from backroom.store.postgres.pipeline import Pipeline
from backroom.store.postgres.statement import Statement


class Counter:
    """Every statement that this process sends in transactions of its own."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    @property
    def commits(self) -> int:
        return sum(text.startswith("COMMIT") for text in self.statements)

    def note(self, statement: str) -> None:
        """SQLite names a statement anew for each row for which a trigger of its fires."""
        if not self.statements or self.statements[-1] != statement:
            self.statements.append(statement)

    def of(self, work: Callable[[], object]) -> tuple[int, int]:
        """Statements and commits of this alone."""
        before = len(self.statements), self.commits
        work()
        return len(self.statements) - before[0], self.commits - before[1]


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    connect, send = sqlite3.connect, Pipeline.send

    def counted(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(counter.note)
        return connection

    def sent(pipeline: Pipeline, statements: Iterable[Statement]) -> None:
        given = list(statements)
        counter.statements.extend(statement.sql for statement in given)
        send(pipeline, given)

    monkeypatch.setattr(sqlite3, "connect", counted)
    monkeypatch.setattr(Pipeline, "send", sent)
    return counter


class Site:
    """An application whose flows count how many of them have ended."""

    def __init__(self, database: str) -> None:
        self.app = Backroom(database=database)
        self.is_postgres = database.startswith("postgresql")
        self.done = threading.Semaphore(0)

        @step
        async def nothing(number: int) -> int:
            return number

        @self.app.flow
        async def no_op() -> None:
            self.done.release()

        @self.app.flow
        async def ten_steps() -> None:
            for number in range(10):
                await nothing(number)
            self.done.release()

        self.no_op = no_op
        self.ten_steps = ten_steps

    def drain(self, flow: Any, runs: int, concurrency: int) -> None:
        self.app.start_many(flow.prepare() for _ in range(runs))
        # A lease that isn't renewed meanwhile, and no look but those that there is a reason for.
        with self.app.working(concurrency=concurrency, lease=3600.0, poll=60.0):
            for _ in range(runs):
                assert self.done.acquire(timeout=60)


@pytest.fixture
def site(database: str, counter: Counter) -> Iterator[Site]:
    site = Site(database)
    yield site
    site.app.close()


def test_a_lone_start_is_one_short_transaction(site: Site, counter: Counter) -> None:
    site.no_op.start()
    statements, commits = counter.of(site.no_op.start)
    assert commits == 1
    # On PostgreSQL BEGIN, one statement, COMMIT; on SQLite six, and perhaps a look for other bells.
    assert statements <= (3 if site.is_postgres else 7)


def test_a_thousand_starts_in_bulk_are_one_transaction(site: Site, counter: Counter) -> None:
    site.no_op.start()
    statements, commits = counter.of(
        lambda: site.app.start_many(site.no_op.prepare() for _ in range(1000))
    )
    assert commits == 1
    assert statements <= 90  # SQLite inserts 25 rows with a statement


def test_runs_at_full_load_share_their_commits(site: Site, counter: Counter) -> None:
    runs = 1000
    statements, commits = counter.of(lambda: site.drain(site.no_op, runs, 100))
    assert commits <= runs / 20  # 21 if everything goes hand in hand
    assert statements <= runs


def test_steps_at_full_load_share_their_commits(site: Site, counter: Counter) -> None:
    steps = 2000
    statements, commits = counter.of(lambda: site.drain(site.ten_steps, steps // 10, 200))
    assert commits <= steps / 20  # some 25 if everything goes hand in hand
    assert statements <= steps * 1.5


def test_a_lone_run_costs_a_commit_a_step_and_two(site: Site, counter: Counter) -> None:
    """The claim, the steps, the end with the next claim in it; and a worker's coming and going."""
    _, commits = counter.of(lambda: site.drain(site.ten_steps, 1, 100))
    assert commits <= 10 + 2 + 10
