"""RetryRun: taking a run up again from where it failed."""

from uuid import UUID

import pytest

from backroom.records.errors import Refused, RunNotFound
from backroom.records.states import State
from backroom.store.verbs import Again, Attention, Cancel, Emit, RetryRun, SaveStep, Settle
from tests.store.desk import HOUR, MINUTE, Desk, event, step


def test_the_failed_step_runs_again_and_the_done_ones_are_kept(desk: Desk) -> None:
    run = desk.started_and_claimed()
    for checkpoint in (step("a#1"), step("b#1", "failed"), step("c#1", "trying")):
        desk.done(SaveStep(run.id, run.attempt, checkpoint))
    desk.done(Settle(run.id, run.attempt, State.FAILED, error='{"kind": "E"}'))
    desk.done(RetryRun(run.id))
    row = desk.row(run.id)
    assert (row.state, row.error, row.finished_at) == (State.READY, None, None)
    again = desk.claim()
    assert [kept.address for kept in again.steps] == ["a#1"]


def test_counts_are_fresh_and_the_attempt_number_is_above_all_earlier_ones(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Again(run.id, run.attempt, 0, "{}"))
    second = desk.claim()
    assert second.failures == 1
    desk.done(Settle(second.id, second.attempt, State.FAILED, error="{}"))
    desk.done(RetryRun(run.id))
    third = desk.claim()
    assert third.attempt > second.attempt
    assert (third.starts, third.failures, third.cancel_reason) == (1, 0, None)
    assert third.input == run.input
    desk.lost(SaveStep(second.id, second.attempt, step()))


def test_a_cancelled_run_forgets_why_it_was_cancelled(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(Cancel(run.id, "stop"))
    desk.done(Settle(run.id, run.attempt, State.CANCELLED))
    desk.done(RetryRun(run.id))
    assert desk.claim().cancel_reason is None


def test_a_run_cancelled_before_its_first_attempt_can_be_retried(desk: Desk) -> None:
    run_id = desk.start()
    desk.do(Cancel(run_id))
    desk.done(RetryRun(run_id))
    assert desk.claim().id == run_id


def test_a_run_set_aside_is_taken_up_again(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Attention(run.id, run.attempt, '{"kind": "CodeMismatch"}'))
    assert not desk.claims().runs
    desk.done(RetryRun(run.id))
    assert desk.row(run.id).error is None
    assert desk.claim().attempt > run.attempt


def test_the_deadline_counts_anew(desk: Desk) -> None:
    run = desk.started_and_claimed(timeout_us=MINUTE)
    desk.store.move_clock(HOUR)
    desk.done(Settle(run.id, run.attempt, State.FAILED, error="{}"))
    desk.done(RetryRun(run.id))
    again = desk.claim()
    assert again.deadline_at is not None
    assert again.now < again.deadline_at <= again.now + MINUTE


def test_a_run_without_a_deadline_gets_none(desk: Desk) -> None:
    run_id = desk.settled(State.FAILED)
    desk.done(RetryRun(run_id))
    assert desk.claim().deadline_at is None


def test_key_parent_and_unread_mail_stay(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run = desk.started_and_claimed(key="k", parent_id=parent.id)
    desk.done(Emit(run.id, "event-1", "go", "{}"))
    desk.done(Settle(run.id, run.attempt, State.FAILED, error="{}"))
    desk.done(RetryRun(run.id))
    again = desk.claim()
    assert (again.key, again.parent_id) == ("k", parent.id)
    assert [mail.id for mail in again.mail] == ["event-1"]
    assert desk.reader.find("flow", "k") == run.id


def test_the_attempt_that_failed_stays_on_record(desk: Desk) -> None:
    run_id = desk.settled(State.FAILED)
    desk.done(RetryRun(run_id))
    assert [a.outcome for a in desk.reader.attempts(run_id)] == ["failed"]


def test_an_unknown_run_is_not_found(desk: Desk) -> None:
    assert isinstance(desk.do(RetryRun(str(UUID(int=99)))), RunNotFound)


@pytest.mark.parametrize("state", ["ready", "scheduled", "running", "waiting", "succeeded"])
def test_other_states_are_refused_by_name(desk: Desk, state: str) -> None:
    match state:
        case "ready":
            run_id = desk.start()
        case "scheduled":
            run_id = desk.start(delay_us=HOUR)
        case "running":
            run_id = desk.started_and_claimed().id
        case "waiting":
            run_id = desk.parked(event()).id
        case _:
            run_id = desk.settled()
    before = desk.row(run_id)
    answer = desk.do(RetryRun(run_id))
    assert isinstance(answer, Refused)
    assert state in str(answer)
    assert desk.row(run_id) == before


def test_a_retried_run_that_has_been_claimed_is_refused(desk: Desk) -> None:
    run_id = desk.settled(State.FAILED)
    desk.done(RetryRun(run_id))
    desk.done(RetryRun(run_id))
    desk.claim()
    assert isinstance(desk.do(RetryRun(run_id)), Refused)
