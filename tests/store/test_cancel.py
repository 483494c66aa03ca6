"""Cancel: at once, or by asking; and everything attached below."""

import json
from uuid import UUID

import pytest

from backroom.records.errors import RunNotFound
from backroom.records.runs import StepRow
from backroom.records.states import State
from backroom.store.verbs import Attention, Cancel, Claim, Park, SaveStep, Settle
from tests.store.desk import HOUR, Desk, child, event, step, timer


def test_a_run_that_nobody_performs_ends_at_once(desk: Desk) -> None:
    ready = desk.start()
    assert desk.do(Cancel(ready, "not wanted")) is State.CANCELLED
    row = desk.row(ready)
    assert row.state is State.CANCELLED
    assert row.finished_at is not None
    assert json.loads(row.error or "{}") == {"kind": "Cancelled", "message": "not wanted"}
    scheduled = desk.start(delay_us=HOUR)
    assert desk.do(Cancel(scheduled)) is State.CANCELLED
    assert not desk.claims().runs


def test_a_waiting_run_ends_at_once_and_leaves_no_waits(desk: Desk) -> None:
    run = desk.parked(event("go"))
    assert desk.do(Cancel(run.id)) is State.CANCELLED
    assert desk.row(run.id).attempt == run.attempt
    assert desk.reader.waits(run.id) == []


def test_a_run_set_aside_ends_at_once(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Attention(run.id, run.attempt, "{}"))
    assert desk.do(Cancel(run.id)) is State.CANCELLED


def test_a_running_run_is_asked(desk: Desk) -> None:
    run = desk.started_and_claimed()
    assert desk.do(Cancel(run.id, "stop it")) is State.RUNNING
    assert desk.state(run.id) is State.RUNNING
    assert desk.row(run.id).cancel_reason == "stop it"
    assert desk.reader.cancelled("worker") == [(run.id, "stop it")]
    assert desk.reader.cancelled("another") == []
    desk.done(SaveStep(run.id, run.attempt, step()))
    desk.done(Settle(run.id, run.attempt, State.CANCELLED))
    assert desk.reader.cancelled("worker") == []
    assert desk.do(Cancel(run.id)) is State.CANCELLED


def test_the_first_reason_stays(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(Cancel(run.id, "first"))
    assert desk.do(Cancel(run.id, "second")) is State.RUNNING
    assert desk.row(run.id).cancel_reason == "first"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_run_is_left_alone(desk: Desk, state: State) -> None:
    run_id = desk.settled(state)
    before = desk.row(run_id)
    assert desk.do(Cancel(run_id, "too late")) is state
    assert desk.row(run_id) == before


def test_an_unknown_run_is_not_found(desk: Desk) -> None:
    assert isinstance(desk.do(Cancel(str(UUID(int=99)))), RunNotFound)
    assert isinstance(desk.do(Cancel("no id at all")), RunNotFound)


def test_all_attached_descendants_are_cancelled(desk: Desk) -> None:
    root = desk.started_and_claimed()
    running = desk.started_and_claimed(parent_id=root.id)
    waiting = desk.parked(event("go"), parent_id=running.id)
    ended = desk.settled(parent_id=root.id)
    ready = desk.start(parent_id=waiting.id)
    detached = desk.start(cause_id=root.id)
    assert desk.do(Cancel(root.id, "all of it")) is State.RUNNING
    assert desk.reader.cancelled("worker") == [(root.id, "all of it"), (running.id, "all of it")]
    assert desk.state(waiting.id) is State.CANCELLED
    assert desk.state(ready) is State.CANCELLED
    assert desk.state(ended) is State.SUCCEEDED
    assert desk.state(detached) is not State.CANCELLED


def test_a_cancelled_child_wakes_its_parent(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run_id = desk.start(parent_id=parent.id, delay_us=HOUR)
    desk.park(parent, child(run_id))
    assert not desk.claims().runs
    assert desk.do(Cancel(run_id, "why not")) is State.CANCELLED
    again = desk.claim()
    assert again.id == parent.id
    assert [row.state for row in again.ended] == [State.CANCELLED]


def test_who_asked_to_cancel_is_told_to_the_next_attempt(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(Cancel(run.id, "stop"))
    desk.hand_back(run)
    assert desk.claim().cancel_reason == "stop"


def test_a_cancel_comes_before_a_claim_of_the_same_batch(desk: Desk) -> None:
    run_id = desk.start()
    claim = Claim("worker", ("default",), ("flow",), 10)
    claims, state = desk.session.apply([claim, Cancel(run_id)])
    assert state is State.CANCELLED
    assert getattr(claims, "runs", None) == ()


def undo(address: str = "undo:a#1") -> StepRow:
    return StepRow(address, "a", "undo", "trying")


def test_a_run_with_undos_is_woken_to_take_them_back(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(SaveStep(run.id, run.attempt, undo()))
    desk.park(run, event("go"), timer(HOUR))
    for reason in ("changed my mind", "again"):
        assert desk.do(Cancel(run.id, reason)) is State.READY
    again = desk.claim()
    assert (again.id, again.cancel_reason) == (run.id, "changed my mind")
    desk.done(Settle(again.id, again.attempt, State.CANCELLED))


def test_a_run_that_is_undone_already_is_left_alone(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(SaveStep(run.id, run.attempt, undo()))
    desk.done(SaveStep(run.id, run.attempt, StepRow("rollback", "failed", "rollback", "done")))
    desk.done(Park(run.id, run.attempt, (timer(HOUR),), backwards=True, timeless=True))
    before = desk.row(run.id)
    assert desk.do(Cancel(run.id, "stop")) is State.WAITING
    assert desk.row(run.id) == before
    desk.store.move_clock(HOUR)
    again = desk.claim()
    desk.done(Attention(again.id, again.attempt, "{}"))
    assert desk.do(Cancel(run.id, "stop")) is State.NEEDS_ATTENTION


def test_descendants_with_undos_are_woken_and_the_others_end(desk: Desk) -> None:
    root = desk.parked(event("go"))
    careful = desk.started_and_claimed(parent_id=root.id)
    desk.done(SaveStep(careful.id, careful.attempt, undo()))
    desk.park(careful, event("go"))
    below = desk.start(parent_id=careful.id, delay_us=HOUR)
    assert desk.do(Cancel(root.id, "all")) is State.CANCELLED
    assert desk.state(below) is State.CANCELLED
    assert desk.claim().cancel_reason == "all"


def test_a_run_that_goes_backwards_without_undos_is_left_alone(desk: Desk) -> None:
    run = desk.started_and_claimed()
    back = StepRow("rollback", "rollback", "rollback", "done", "null")
    desk.done(SaveStep(run.id, run.attempt, back))
    desk.park(run, timer(HOUR))
    desk.do(Cancel(run.id))
    assert desk.state(run.id) is State.WAITING


def test_a_run_left_alone_is_woken_by_the_end_of_a_child_that_is_not(desk: Desk) -> None:
    above = desk.start()
    middle = desk.start(parent_id=above)
    below = desk.start(parent_id=middle, queue="other")
    run = next(run for run in desk.claims().runs if run.id == middle)
    back = StepRow("rollback", "rollback", "rollback", "done", "null")
    desk.done(SaveStep(middle, run.attempt, back))
    desk.park(run, child(below))
    desk.do(Cancel(above))
    assert desk.state(below) is State.CANCELLED
    assert desk.claim().id == middle


def test_whoever_asked_first_has_said_why(desk: Desk) -> None:
    """Also if that was the end of a run that was to succeed before."""
    failed = desk.settled(State.FAILED)
    run_id = desk.start(after=(failed,))
    desk.do(Cancel(run_id, "had enough"))
    assert "after which it was to begin" in json.loads(desk.row(run_id).error or "{}")["message"]
