"""Runs that expire before they begin, and runs that are removed long after they ended."""

from __future__ import annotations

import json

from backroom.records.queues import Pruned
from backroom.records.runs import StepRow
from backroom.records.states import State
from backroom.store.verbs import (
    Expire,
    Progress,
    Prune,
    Reschedule,
    RetryRun,
    SaveStep,
    Settle,
    Start,
)
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, child, event, step, timer

DAY = 24 * HOUR


# --- expiry


def test_a_run_that_has_not_begun_in_time_is_cancelled(desk: Desk) -> None:
    late = desk.start(expires_us=MINUTE)
    later = desk.start(expires_us=HOUR, delay_us=HOUR)
    never = desk.start()
    assert desk.do(Expire()) == 0
    desk.store.move_clock(2 * MINUTE)
    assert desk.do(Expire()) == 1
    row = desk.row(late)
    assert (row.state, row.attempt, row.worker) == (State.CANCELLED, 0, None)
    assert json.loads(row.error or "") == {"kind": "Cancelled", "message": "expired"}
    assert row.finished_at is not None
    assert {run.id for run in desk.claims().runs} == {never}
    desk.store.move_clock(2 * HOUR + MINUTE)
    assert desk.do(Expire()) == 1
    assert desk.state(later) is State.CANCELLED


def test_a_claim_tells_when_a_run_was_to_have_begun(desk: Desk) -> None:
    at = desk.now() + MINUTE
    desk.start(expires_at=at)
    desk.store.move_clock(HOUR)
    run = desk.claim()
    assert run.expires_at == at
    assert run.now > at


def test_a_run_that_has_begun_does_not_expire(desk: Desk) -> None:
    running = desk.started_and_claimed(expires_us=MINUTE)
    parked = desk.parked(timer(HOUR), expires_us=MINUTE)
    back = desk.started_and_claimed(expires_us=MINUTE)
    desk.hand_back(back)
    desk.store.move_clock(10 * MINUTE)
    assert desk.do(Expire()) == 0
    assert desk.state(running.id) is State.RUNNING
    assert desk.state(parked.id) is State.WAITING
    assert desk.state(back.id) is State.READY


def test_whoever_waits_for_an_expired_run_wakes(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run_id = desk.start(parent_id=parent.id, expires_us=MINUTE, queue="other")
    desk.park(parent, child(run_id))
    desk.store.move_clock(HOUR)
    assert desk.do(Expire()) == 1
    again = desk.claim()
    assert again.id == parent.id
    assert [row.id for row in again.ended] == [run_id]


def test_expiring_goes_batch_by_batch(desk: Desk) -> None:
    desk.session.apply([Start(desk.new(expires_us=1)) for _ in range(25)])
    desk.store.move_clock(SECOND)
    assert [desk.do(Expire(10)) for _ in range(4)] == [10, 10, 5, 0]


def test_an_expired_run_can_be_retried_by_a_person(desk: Desk) -> None:
    run_id = desk.start(expires_us=MINUTE)
    desk.store.move_clock(HOUR)
    desk.do(Expire())
    desk.done(RetryRun(run_id))
    assert desk.do(Expire()) == 0
    assert desk.claim().expires_at is None


def test_a_run_that_is_moved_expires_later_by_as_much(desk: Desk) -> None:
    run_id = desk.start(expires_us=MINUTE)
    desk.done(Reschedule(run_id, delay_us=HOUR))
    desk.store.move_clock(HOUR - SECOND)
    assert desk.do(Expire()) == 0
    desk.store.move_clock(2 * MINUTE)
    assert desk.do(Expire()) == 1


# --- pruning


def prune(desk: Desk, **options: object) -> Pruned:
    answer = desk.do(Prune(30 * DAY, **options))  # type: ignore[arg-type]  # a test's own words
    assert isinstance(answer, Pruned)
    return answer


TABLES = ("run", "live", "result", "step", "event", "progress", "attempt", "key", "wait")


def rows(desk: Desk) -> dict[str, int]:
    return {table: desk.query(f"SELECT count(*) FROM {{b}}{table}")[0][0] for table in TABLES}


def full_life(desk: Desk) -> str:
    """A run that has left a row in every table, and has ended."""
    run = desk.started_and_claimed(key=f"key {desk.new_id()}")
    desk.done(Progress(run.id, run.attempt, 0.5, "half"))
    for number in range(3):
        desk.emit(run.id, "go", event=f"{run.id} {number}")
    consumed = StepRow("event#1", "go", "event", "done", result="{}")
    desk.done(SaveStep(run.id, run.attempt, consumed, f"{run.id} 0"))
    desk.done(SaveStep(run.id, run.attempt, step()))
    desk.done(Settle(run.id, run.attempt, State.FAILED, None, '{"kind": "E"}'))
    return run.id


def test_an_old_run_goes_with_all_that_belongs_to_it(desk: Desk) -> None:
    full_life(desk)
    before = rows(desk)
    assert before["event"] == 3
    assert prune(desk).count == 0
    assert rows(desk) == before
    desk.store.move_clock(31 * DAY)
    young = full_life(desk)
    assert prune(desk) == Pruned(1, 0, None)
    assert rows(desk) == before
    assert desk.state(young) is State.FAILED


def test_a_dry_run_counts_and_removes_nothing(desk: Desk) -> None:
    for _ in range(3):
        full_life(desk)
    desk.store.move_clock(31 * DAY)
    before = rows(desk)
    assert prune(desk, dry_run=True) == Pruned(3, 0, None)
    assert rows(desk) == before
    assert prune(desk).count == 3
    assert set(rows(desk).values()) == {0}


def test_runs_that_have_not_ended_stay(desk: Desk) -> None:
    stay = [
        desk.start(queue="another"),
        desk.start(delay_us=90 * DAY),
        desk.started_and_claimed().id,
        desk.parked(event()).id,
    ]
    desk.settled()
    desk.store.move_clock(31 * DAY)
    assert prune(desk).count == 1
    assert all(desk.reader.run(run_id) is not None for run_id in stay)


def test_what_a_live_run_needs_stays(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    attached = desk.settled(parent_id=parent.id)
    detached = desk.settled(cause_id=parent.id, depth=1)
    awaited = desk.settled()
    ended_parent = desk.started_and_claimed()
    orphan = desk.start(parent_id=ended_parent.id, delay_us=90 * DAY)
    desk.done(Settle(ended_parent.id, ended_parent.attempt, State.SUCCEEDED, "1"))
    free = desk.settled()
    desk.park(parent, child(awaited), event())
    desk.store.move_clock(31 * DAY)
    assert prune(desk) == Pruned(1, 4, None)
    assert desk.reader.run(free) is None
    for run_id in (attached, detached, awaited, ended_parent.id, orphan):
        assert desk.reader.run(run_id) is not None
    again = desk.claim()
    assert again.id == parent.id
    desk.done(Settle(again.id, again.attempt, State.SUCCEEDED, "1"))
    assert prune(desk).count == 3


def test_a_key_is_kept_for_a_week_at_least(desk: Desk) -> None:
    keyed = desk.settled(key="k")
    desk.settled()
    desk.store.move_clock(2 * DAY)
    assert desk.do(Prune(DAY)) == Pruned(1, 1, None)
    assert desk.reader.find("flow", "k") == keyed
    desk.store.move_clock(6 * DAY)
    assert desk.do(Prune(DAY)) == Pruned(1, 0, None)
    assert desk.reader.find("flow", "k") is None


def test_pruning_goes_batch_by_batch_in_order(desk: Desk) -> None:
    ids = [desk.settled() for _ in range(7)]
    desk.store.move_clock(31 * DAY)
    first = prune(desk, limit=3)
    assert first == Pruned(3, 0, ids[2])
    second = prune(desk, limit=3, after=first.after)
    assert second == Pruned(3, 0, ids[5])
    assert prune(desk, limit=3, after=second.after) == Pruned(1, 0, None)
