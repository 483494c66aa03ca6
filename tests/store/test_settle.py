"""Settle: how a run ends, and who learns of it."""

import json

import pytest

from backroom.records.states import State
from backroom.store.verbs import SaveStep, SaveWaits, Settle
from tests.store.desk import HOUR, MINUTE, Desk, child, event, step, timer


def test_a_result_is_kept(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(SaveStep(run.id, run.attempt, step()))
    desk.store.move_clock(MINUTE)
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, '{"ü": 1}'))
    row = desk.row(run.id)
    assert (row.state, row.result, row.error) == (State.SUCCEEDED, '{"ü": 1}', None)
    assert (row.attempt, row.worker) == (1, "worker")
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.finished_at - row.started_at >= MINUTE
    assert desk.reader.attempts(run.id) == []
    assert len(desk.reader.steps(run.id)) == 1


def test_a_failure_is_kept_with_its_attempt(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Settle(run.id, run.attempt, State.FAILED, error='{"kind": "E"}'))
    row = desk.row(run.id)
    assert (row.state, row.error) == (State.FAILED, '{"kind": "E"}')
    (attempt,) = desk.reader.attempts(run.id)
    assert (attempt.run_id, attempt.attempt, attempt.worker) == (run.id, 1, "worker")
    assert (attempt.outcome, attempt.error) == ("failed", '{"kind": "E"}')
    assert attempt.started_at == run.now
    assert attempt.ended_at == row.finished_at


def test_the_waits_go(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(SaveWaits(run.id, run.attempt, (event("go"), timer(HOUR))))
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED))
    assert desk.reader.waits(run.id) == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_parent_that_waits_wakes(desk: Desk, state: State) -> None:
    parent = desk.started_and_claimed()
    run = desk.started_and_claimed(parent_id=parent.id)
    desk.park(parent, child(run.id), timer(HOUR))
    desk.done(Settle(run.id, run.attempt, state, "1"))
    assert desk.state(parent.id) is State.READY
    again = desk.claim()
    assert again.id == parent.id
    assert [(row.id, row.state) for row in again.ended] == [(run.id, state)]


def test_a_parent_that_waits_for_something_else_sleeps_on(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run = desk.started_and_claimed(parent_id=parent.id)
    desk.park(parent, timer(HOUR))
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED))
    assert desk.state(parent.id) is State.WAITING


def test_who_waits_without_being_the_parent_is_woken_too(desk: Desk) -> None:
    other = desk.started_and_claimed()
    run = desk.started_and_claimed(cause_id=other.id)
    desk.park(other, child(run.id))
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED))
    assert desk.state(other.id) is State.READY


def test_many_children_in_one_batch_wake_their_parent_once(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    children = [desk.started_and_claimed(parent_id=parent.id) for _ in range(30)]
    desk.park(parent, *(child(run.id) for run in children))
    desk.session.apply([Settle(run.id, run.attempt, State.SUCCEEDED) for run in children])
    again = desk.claim()
    assert {row.id for row in again.ended} == {run.id for run in children}
    assert [row.id for row in again.ended] == sorted(row.id for row in again.ended)


def test_parent_and_child_can_end_in_one_batch(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run = desk.started_and_claimed(parent_id=parent.id)
    verbs = [Settle(r.id, r.attempt, State.SUCCEEDED) for r in (parent, run)]
    assert desk.session.apply(verbs) == [None, None]
    assert desk.state(parent.id) is State.SUCCEEDED
    assert desk.state(run.id) is State.SUCCEEDED


def test_the_attached_children_of_a_cancelled_run_are_cancelled(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    running = desk.started_and_claimed(parent_id=parent.id)
    waiting = desk.parked(event(), parent_id=running.id)
    ready = desk.start(parent_id=parent.id)
    detached = desk.start(cause_id=parent.id)
    desk.done(Settle(parent.id, parent.attempt, State.CANCELLED))
    assert desk.state(running.id) is State.RUNNING
    ((told, reason),) = desk.reader.cancelled("worker")
    assert told == running.id
    assert reason
    assert desk.state(waiting.id) is State.CANCELLED
    assert desk.state(ready) is State.CANCELLED
    assert json.loads(desk.row(ready).error or "{}")["kind"] == "Cancelled"
    assert desk.state(detached) is State.READY


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_attached_children_outlive_a_parent_that_ends_otherwise(desk: Desk, state: State) -> None:
    parent = desk.started_and_claimed()
    running = desk.started_and_claimed(parent_id=parent.id)
    ready = desk.start(parent_id=parent.id)
    desk.done(Settle(parent.id, parent.attempt, state))
    assert desk.reader.cancelled("worker") == []
    assert desk.state(ready) is State.READY
    desk.done(Settle(running.id, running.attempt, State.SUCCEEDED))


def test_of_two_ends_in_one_batch_the_first_counts(desk: Desk) -> None:
    run = desk.started_and_claimed()
    first = Settle(run.id, run.attempt, State.SUCCEEDED, "1")
    answers = desk.session.apply([first, first])
    assert answers == [None, None]
    assert desk.row(run.id).result == "1"


def test_a_late_end_changes_nothing(desk: Desk) -> None:
    run = desk.started_and_claimed()
    now = desk.lose(run)
    before = desk.everything()
    desk.lost(Settle(run.id, run.attempt, State.SUCCEEDED, "late"))
    assert desk.everything() == before
    desk.done(Settle(now.id, now.attempt, State.SUCCEEDED, "right"))
    desk.lost(Settle(run.id, run.attempt, State.SUCCEEDED, "late"))
    assert desk.row(run.id).result == "right"


def test_another_end_of_the_same_attempt_is_refused(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))
    desk.lost(Settle(run.id, run.attempt, State.CANCELLED))
    assert desk.state(run.id) is State.SUCCEEDED
