"""Limits, pauses, expiry, back-pressure and pruning, as an author declares and asks for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from backroom import Backroom, State, gather
from backroom.engine.lane import Lane
from backroom.records import limits
from backroom.records.errors import Busy, InvalidTime, Refused, RunCancelled
from backroom.records.queues import QueueRules
from backroom.store.verbs import Start
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, outcome, result, state


class Gate:
    """Bodies wait here until they are let through; how many were inside at once is counted."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside: list[str] = []
        self.most: dict[str, int] = {}
        self._lock = threading.Lock()

    async def body(self, name: str = "") -> str:
        with self._lock:
            self.inside.append(name)
            for what in ("", name):
                now = len(self.inside) if what == "" else self.inside.count(what)
                self.most[what] = max(self.most.get(what, 0), now)
        assert await asyncio.to_thread(self.open.wait, LONG)
        with self._lock:
            self.inside.remove(name)
        return name


@contextmanager
def two_workers(app: Backroom) -> Iterator[None]:
    with at_work(app), at_work(app):
        yield


def test_a_queue_performs_no_more_runs_at_once_than_its_limit(app: Backroom) -> None:
    gate = Gate()
    app.queue("mail", concurrency=3)

    @app.flow(queue="mail")
    async def send() -> None:
        await gate.body()

    @app.flow
    async def other() -> str:
        return "done"

    with two_workers(app):
        runs = [send.start() for _ in range(8)]
        eventually(lambda: len(gate.inside) == 3, within=LONG)
        assert result(other.start()) == "done"
        assert [state(run) for run in runs].count(State.RUNNING) == 3
        gate.open.set()
        for run in runs:
            result(run)
    assert gate.most[""] == 3


def test_a_flow_with_a_limit_has_a_queue_of_its_own(app: Backroom) -> None:
    gate = Gate()

    @app.flow(concurrency=1)
    async def resize(n: int) -> int:
        await gate.body()
        return n

    gate.open.set()
    with two_workers(app):
        runs = [resize.start(n) for n in range(6)]
        assert [result(run) for run in runs] == list(range(6))
        assert runs[0].status().wait().queue == "resize"
    assert gate.most[""] == 1


def test_a_partition_is_found_among_the_arguments(app: Backroom) -> None:
    @dataclass
    class Order:
        customer: str

    gate = Gate()
    mail = app.queue("mail", concurrency_per_partition=1)

    @app.flow(queue=mail, partition="order.customer")
    async def ship(order: Order) -> None:
        await gate.body(order.customer)

    with two_workers(app):
        runs = [ship.start(Order(name)) for name in ("ada", "ada", "bob", "ada")]
        runs.append(ship.using(partition="bob").start(Order("eve")))
        eventually(lambda: sorted(gate.inside) == ["ada", "bob"], within=LONG)
        gate.open.set()
        for run in runs:
            result(run)
    assert (gate.most["ada"], gate.most["bob"], gate.most["eve"]) == (1, 1, 1)


def test_a_queue_that_is_declared_is_served(app: Backroom) -> None:
    app.queue("slow", concurrency=1)

    @app.flow
    async def work() -> str:
        return "done"

    with at_work(app):
        assert result(work.using(queue="slow").start()) == "done"


def test_children_heed_the_limit_of_their_queue(app: Backroom) -> None:
    gate = Gate()
    app.queue("work", concurrency=2)

    @app.flow(queue="work")
    async def part(n: int) -> int:
        await gate.body()
        return n

    @app.flow
    async def whole() -> list[int]:
        return list(await gather(*(part(n) for n in range(6))))

    gate.open.set()
    with two_workers(app):
        assert result(whole.start()) == list(range(6))
    assert gate.most[""] <= 2


def test_a_changed_limit_is_in_force_at_once(app: Backroom) -> None:
    gate = Gate()
    app.queue("mail", concurrency=1)

    @app.flow(queue="mail")
    async def send() -> None:
        await gate.body()

    with at_work(app):
        runs = [send.start() for _ in range(4)]
        eventually(lambda: len(gate.inside) == 1, within=LONG)
        app.queue("mail", concurrency=3)
        eventually(lambda: len(gate.inside) == 3, within=LONG)
        app.queue("mail")
        eventually(lambda: len(gate.inside) == 4, within=LONG)
        gate.open.set()
        for run in runs:
            result(run)


def test_an_operators_limit_stays_when_the_code_is_deployed_again(app: Backroom) -> None:
    app.queue("mail", concurrency=5)

    @app.flow(queue="mail")
    async def work() -> str:
        return "done"

    with at_work(app):
        app.limit("mail", by="Ann", concurrency=1).wait(LONG)
        app.queue("mail", concurrency=6)
        (row,) = app.queues().wait(LONG)
        assert (row.rules.concurrency, row.set_by) == (1, "Ann")
        assert result(work.start()) == "done"
        assert app.as_declared("mail").wait(LONG) is True
        (row,) = app.queues().wait(LONG)
        assert (row.rules.concurrency, row.set_by) == (6, None)
    with pytest.raises(Refused):
        app.limit("mail", by="Ann", concurrency=0)


def test_a_rate_spreads_the_starts(app: Backroom) -> None:
    app.queue("api", rate=2, per=timedelta(hours=1))

    @app.flow(queue="api")
    async def call(n: int) -> int:
        return n

    with at_work(app) as bench:
        runs = [call.start(n) for n in range(3)]
        for n in range(3):
            assert result(runs[n]) == n
            assert [state(run) for run in runs[n + 1 :]] == [State.READY] * (2 - n)
            bench.move_clock(minutes=30)


@pytest.mark.parametrize(
    "rules",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": limits.QUEUE_CONCURRENCY + 1},
        {"concurrency_per_partition": -1},
        {"rate": 5},
        {"per": 5},
        {"burst": 5},
        {"rate": 0, "per": 1},
        {"max_waiting": limits.QUEUE_WAITING + 1},
    ],
)
def test_rules_that_cannot_be_are_refused(sqlite_app: Backroom, rules: dict[str, int]) -> None:
    with pytest.raises(Refused, match=r"mail|Use a whole number"):
        sqlite_app.queue("mail", **rules)


def test_a_period_that_cannot_be_is_refused(sqlite_app: Backroom) -> None:
    with pytest.raises(InvalidTime, match="per=0"):
        sqlite_app.queue("mail", rate=1, per=0)


def test_a_flow_with_a_limit_shares_its_queue_with_nobody(sqlite_app: Backroom) -> None:
    sqlite_app.queue("mail", concurrency=5)
    with pytest.raises(Refused, match=r"app\.queue"):

        @sqlite_app.flow(queue="mail", concurrency=2)
        async def send() -> None: ...

    with pytest.raises(Refused, match="used already"):

        @sqlite_app.flow(concurrency=2)
        async def mail() -> None: ...

    @sqlite_app.flow(concurrency=2)
    async def resize() -> None: ...

    with pytest.raises(Refused, match="queue of their own"):
        resize.using(queue="mail").start()


def test_a_partition_needs_a_parted_queue(sqlite_app: Backroom) -> None:
    @sqlite_app.flow
    async def plain() -> None: ...

    with pytest.raises(Refused, match="concurrency_per_partition"):
        plain.using(partition="ada").start()
    with pytest.raises(Refused, match="starts with the name of a parameter"):

        @sqlite_app.flow(partition="nobody")
        async def parted(somebody: str) -> None: ...


# --- pause


def test_nothing_of_a_paused_queue_begins(app: Backroom) -> None:
    @app.flow(queue="mail")
    async def send() -> str:
        return "sent"

    @app.flow
    async def other() -> str:
        return "done"

    app.pause("mail", by="Ann").wait()
    with at_work(app):
        run = send.start()
        for _ in range(3):
            assert result(other.start()) == "done"
        assert state(run) is State.READY
        mail = next(queue for queue in app.queues().wait(LONG) if queue.rules.name == "mail")
        assert (mail.due, mail.paused_by) == (1, "Ann")
        app.resume("mail").wait()
        assert result(run) == "sent"


# --- expiry


def test_a_run_that_expired_is_not_performed(app: Backroom) -> None:
    performed: list[int] = []

    @app.flow(expires=60)
    async def remind(n: int) -> None:
        performed.append(n)

    late = remind.start(1)
    also_late = remind.using(expires=datetime.now(UTC) + timedelta(minutes=5)).start(2)
    patient = remind.using(expires=timedelta(days=1)).start(3)
    app.office.store.move_clock(3_600_000_000)
    with at_work(app):
        for run in (late, also_late):
            with pytest.raises(RunCancelled, match="expired"):
                result(run)
        result(patient)
    assert performed == [3]


def test_a_run_expires_in_a_queue_that_nobody_serves(app: Backroom) -> None:
    @app.flow(queue="nobody", expires=60)
    async def remind() -> None: ...

    run = remind.start()
    with at_work(app, queues=("default",)) as bench:
        bench.move_clock(minutes=2)
        with pytest.raises(RunCancelled, match="expired"):
            result(run)


def test_a_run_that_was_claimed_too_late_is_not_performed(sqlite_app: Backroom) -> None:
    performed: list[int] = []

    @sqlite_app.flow(expires=60)
    async def remind() -> None:
        performed.append(1)

    run = remind.start()
    sqlite_app.office.store.move_clock(3_600_000_000)
    with at_work(sqlite_app):
        assert outcome(run) is State.CANCELLED
    assert performed == []


def test_an_expiry_of_nothing_is_refused(sqlite_app: Backroom) -> None:
    with pytest.raises(InvalidTime, match="expires"):

        @sqlite_app.flow(expires=0)
        async def remind() -> None: ...


# --- intake


def test_a_start_into_a_full_queue_is_refused(app: Backroom) -> None:
    app.queue("mail", max_waiting=2)

    @app.flow(queue="mail")
    async def send(n: int) -> int:
        return n

    runs = [send.start(n) for n in range(2)]
    with pytest.raises(Busy, match="max_waiting"):
        send.start(2)
    with at_work(app):
        assert [result(run) for run in runs] == [0, 1]
        assert result(send.start(2)) == 2


def test_an_intake_that_is_full_says_so_and_loses_nothing(
    sqlite_app: Backroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    @sqlite_app.flow
    async def send(n: int) -> int:
        return n

    sqlite_app.open()
    monkeypatch.setattr(limits, "INTAKE_OPS", 10)
    blocked, go_on = threading.Event(), threading.Event()
    commit = Lane._commit

    def slow(self: Lane, session: object, batch: object) -> None:
        blocked.set()
        go_on.wait(LONG)
        commit(self, session, batch)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(Lane, "_commit", slow)
    doors = sqlite_app.office.doors

    def new(n: int) -> Start:
        return Start(send.prepare(n).new)

    futures = [doors.future(new(0))]
    assert blocked.wait(LONG)
    futures += [doors.future(new(n)) for n in range(1, 11)]
    refused = 0
    for n in range(11, 16):
        with pytest.raises(Busy, match="wait for the database"):
            doors.future(new(n))
        refused += 1
    go_on.set()
    assert all(future.result(LONG).created for future in futures)
    rows = sqlite_app.office.read(lambda reader: reader.runs()).result(LONG)
    assert (len(rows), refused) == (11, 5)


# --- pruning


def test_old_runs_are_removed_in_batches(app: Backroom, monkeypatch: pytest.MonkeyPatch) -> None:
    @app.flow
    async def work(n: int) -> int:
        return n

    monkeypatch.setattr(limits, "SWEEP_RUNS", 3)
    with at_work(app) as bench:
        runs = app.start_many(work.prepare(n) for n in range(8))
        for run in runs:
            result(run)
        bench.move_clock(days=31)
        assert app.prune(older_than=timedelta(days=60)).wait(LONG).count == 0
        assert app.prune(older_than=timedelta(days=30), dry_run=True).wait(LONG).count == 8
        assert app.prune(older_than=timedelta(days=30), limit=4).wait(LONG).count == 4
        assert app.prune(older_than=timedelta(days=30)).wait(LONG).count == 4
    assert app.office.read(lambda reader: reader.runs()).result(LONG) == []


def test_declaring_the_same_again_writes_nothing(app: Backroom) -> None:
    app.queue("mail", concurrency=5)
    app.queue("mail", concurrency=5)
    (mail,) = app.queues().wait(LONG)
    assert mail.rules == QueueRules("mail", 5)
