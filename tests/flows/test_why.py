"""Why a run isn't running: every reason, as a sentence and as data."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backroom import Backroom, Retry, State, sleep, step, wait_for_event
from backroom.flows.why import Why
from backroom.records.errors import Rollback, RunNotFound
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, outcome, parked, result, state

NOBODY = "00000000-0000-7000-8000-000000000000"


@contextmanager
def busy(app: Backroom, queue: str = "mail", runs: int = 1) -> Iterator[list[str]]:
    """A worker whose runs of this queue don't end before the block does; their ids."""
    end = threading.Event()

    @app.flow(queue=queue, name=f"hold_{queue}")
    def hold() -> None:
        end.wait(LONG)

    with at_work(app):
        held = [hold.start() for _ in range(runs)]
        eventually(lambda: all(state(run) is State.RUNNING for run in held), within=LONG)
        try:
            yield [run.id for run in held]
        finally:
            end.set()


def why(app: Backroom, run_id: str) -> Why:
    return app.run(run_id).why().wait(LONG)


def test_an_unknown_run_is_not_found(app: Backroom) -> None:
    with pytest.raises(RunNotFound):
        why(app, NOBODY)


def test_a_run_that_is_due_later_says_when(app: Backroom) -> None:
    @app.flow
    async def work() -> None: ...

    told = why(app, work.using(delay=180).start().id)
    assert told.reason == "due_later"
    assert told.text in ("It is due in 3 min.", "It is due in 180 s.")
    assert told.facts["due_at"].tzinfo is not None


def test_a_run_that_failed_says_when_it_is_tried_again(app: Backroom) -> None:
    @app.flow(retry=Retry(attempts=2, delay_seconds=600, max_delay_seconds=600))
    async def work() -> None:
        raise ValueError("no")

    run = work.start()
    with at_work(app):
        eventually(lambda: why(app, run.id).reason == "retry", within=LONG)
    told = why(app, run.id)
    assert told.facts["failures"] == 1
    assert "Attempt 1 failed" in told.text


def test_a_waiting_run_says_what_for(app: Backroom) -> None:
    @app.flow
    async def child() -> None:
        await sleep(days=2)

    @app.flow
    async def parent() -> None:
        await child()

    @app.flow
    async def approval() -> None:
        await wait_for_event("approved")

    with at_work(app):
        runs = [parent.start(), approval.start()]
        for run in runs:
            parked(run)
        told = why(app, runs[1].id)
        assert told.reason == "waiting"
        assert told.text.startswith("It waits for the event approved")
        assert told.facts["for"][0]["event"] == "approved"
        told = why(app, runs[0].id)
        (waits_for,) = told.facts["for"]
        eventually(lambda: state(app.run(waits_for["run"])) is State.WAITING, within=LONG)
        told = why(app, runs[0].id)
        assert f"for the run {waits_for['run']} (child, waiting)" in told.text
        assert "for a time: in 2 d" in why(app, waits_for["run"]).text.replace("48 h", "2 d")


def test_a_step_between_two_tries_is_named(app: Backroom) -> None:
    @step(retry=Retry(attempts=3, delay_seconds=7200, max_delay_seconds=7200))
    async def call() -> None:
        raise ValueError("no")

    @app.flow
    async def work() -> None:
        await call()

    with at_work(app):
        run = work.start()
        parked(run)
    assert "to try the step call again" in why(app, run.id).text


def test_a_run_that_was_set_aside_says_because_of_what(app: Backroom) -> None:
    async def fail(n: int, done: None) -> None:
        raise ValueError("can't be undone")

    @step(undo=fail, undo_retry=Retry(attempts=1))
    async def act(n: int) -> None: ...

    @app.flow
    async def work() -> None:
        await act(1)
        raise Rollback("over")

    with at_work(app):
        run = work.start()
        assert outcome(run) is State.NEEDS_ATTENTION
    told = why(app, run.id)
    assert told.reason == "needs_attention"
    assert "person" in told.text
    assert told.facts["message"]


def test_a_paused_queue_is_named_with_who_paused_it(app: Backroom) -> None:
    @app.flow(queue="mail")
    async def work() -> None: ...

    run = work.start()
    app.pause("mail", by="Ann").wait(LONG)
    told = why(app, run.id)
    assert told.reason == "paused"
    assert "mail is paused by Ann" in told.text
    assert told.facts["since"] is not None


def test_a_limit_is_named_with_who_uses_it_up(app: Backroom) -> None:
    app.queue("mail", concurrency=2)

    @app.flow(queue="mail")
    async def work() -> None: ...

    with busy(app, runs=2) as holders:
        told = why(app, work.start().id)
        assert told.reason == "limit"
        assert sorted(told.facts["holders"]) == sorted(holders)
        assert all(holder in told.text for holder in holders)


def test_a_partitions_limit_is_named_with_who_uses_it_up(app: Backroom) -> None:
    app.queue("mail", concurrency_per_partition=1)

    @app.flow(queue="mail", partition="whom")
    async def work(whom: str) -> None: ...

    with busy(app) as holders:
        assert result(work.start("ada")) is None
        run = work.start("")
        told = why(app, run.id)
        assert told.reason == "partition_limit"
        assert told.facts["holders"] == holders


def test_a_rate_says_when_the_next_one_may_begin(app: Backroom) -> None:
    app.queue("api", rate=1, per=3600)

    @app.flow(queue="api")
    async def work() -> None: ...

    with at_work(app):
        result(work.start())
        runs = [work.start(), work.start()]
        told = why(app, runs[1].id)
    assert told.reason == "rate"
    assert told.facts["ahead"] == 1
    assert "1 runs in 60 min" in told.text or "1 runs in 3600 s" in told.text


def test_the_want_of_a_worker_is_told(app: Backroom) -> None:
    @app.flow
    async def work() -> None: ...

    @app.flow(queue="elsewhere")
    async def far() -> None: ...

    assert why(app, work.start().id).reason == "no_worker"
    with at_work(app, queues=("default",)):
        run = far.start()
        eventually(lambda: why(app, run.id).reason == "no_worker_for_queue", within=LONG)
        told = why(app, run.id)
        assert "elsewhere" in told.text

        @app.flow
        async def newer() -> None: ...

        told = why(app, newer.start().id)
        assert told.reason == "no_worker_for_flow"
        assert "newer" in told.text


def test_a_run_in_line_says_how_many_come_before(app: Backroom) -> None:
    @app.flow
    async def work() -> None: ...

    end = threading.Event()

    @app.flow(queue="other")
    def hold() -> None:
        end.wait(LONG)

    with at_work(app, concurrency=1):
        held = hold.start()
        eventually(lambda: state(held) is State.RUNNING, within=LONG)
        urgent = work.using(priority=0).start()
        runs = [work.start() for _ in range(2)]
        told = why(app, runs[1].id)
        assert (told.reason, told.facts["ahead"]) == ("behind", 2)
        assert why(app, urgent.id).reason == "next"
        assert why(app, held.id).reason == "running"
        end.set()
        result(runs[1])
    assert why(app, runs[1].id).text == "It has ended: succeeded."
