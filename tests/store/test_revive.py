"""Revive: taking a run up again that has ended or was set aside."""

from uuid import UUID

import pytest

from backroom.records.errors import MovedOn, RunNotFound
from backroom.records.runs import WaitRow
from backroom.records.states import State
from backroom.rules.windows import window
from backroom.store.verbs import (
    Again,
    Attention,
    Cancel,
    Emit,
    Revive,
    SaveStep,
    SaveWaits,
    Settle,
)
from tests.store.desk import HOUR, MINUTE, Desk, event, step, timer
from tests.store.racing import in_parallel


def failed_with(desk: Desk, *addresses: str) -> str:
    """A run that has failed with these checkpoints."""
    run = desk.started_and_claimed()
    for address in addresses:
        desk.done(SaveStep(run.id, run.attempt, step(address)))
    desk.done(Settle(run.id, run.attempt, State.FAILED, error='{"kind": "E"}'))
    return run.id


def test_what_is_dropped_goes_and_the_rest_stays(desk: Desk) -> None:
    run_id = failed_with(desk, "a#1", "b#1", "c#1")
    other = failed_with(desk, "b#1")
    desk.revive(run_id, drops=("b#1", "c#1", "never there"))
    row = desk.row(run_id)
    assert (row.state, row.error, row.finished_at) == (State.READY, None, None)
    assert [kept.address for kept in desk.claim().steps] == ["a#1"]
    assert [kept.address for kept in desk.reader.steps(other)] == ["b#1"]


def test_what_is_kept_comes_in_the_same_transaction(desk: Desk) -> None:
    run_id = failed_with(desk, "a#1", "b#1")
    desk.revive(run_id, drops=("a#1",), keeps=(step("b#1", result="2"), step("new#1", tries=0)))
    kept = {row.address: (row.result, row.tries) for row in desk.claim().steps}
    assert kept == {"b#1": ("2", 1), "new#1": ("1", 0)}


def test_an_event_whose_reading_is_dropped_lies_in_the_mailbox_again(desk: Desk) -> None:
    run = desk.started_and_claimed()
    for number in (1, 2):
        desk.emit(run.id, "go", event=f"event-{number}")
        desk.done(SaveStep(run.id, run.attempt, step(f"go#{number}"), f"event-{number}"))
    desk.done(Settle(run.id, run.attempt, State.FAILED))
    desk.revive(run.id, drops=("go#2",))
    assert [mail.id for mail in desk.claim().mail] == ["event-2"]


def test_counts_are_fresh_and_the_attempt_number_is_above_all_earlier_ones(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Again(run.id, run.attempt, 0, "{}"))
    second = desk.claim()
    assert second.failures == 1
    desk.done(Settle(second.id, second.attempt, State.FAILED, error="{}"))
    desk.revive(run.id)
    third = desk.claim()
    assert third.attempt > second.attempt
    assert (third.starts, third.failures, third.cancel_reason) == (1, 0, None)
    assert third.input == run.input
    desk.lost(SaveStep(second.id, second.attempt, step()))


def test_a_cancelled_run_forgets_why_it_was_cancelled(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(Cancel(run.id, "stop"))
    desk.done(Settle(run.id, run.attempt, State.CANCELLED))
    desk.revive(run.id)
    assert desk.claim().cancel_reason is None


def test_a_run_cancelled_before_its_first_attempt_can_be_revived(desk: Desk) -> None:
    run_id = desk.start()
    desk.do(Cancel(run_id))
    desk.revive(run_id)
    assert desk.claim().id == run_id


def test_a_run_set_aside_is_taken_up_again(desk: Desk) -> None:
    run = desk.started_and_claimed()
    begun = desk.row(run.id).started_at
    desk.done(Attention(run.id, run.attempt, '{"kind": "CodeMismatch"}'))
    assert not desk.claims().runs
    desk.revive(run.id)
    assert (desk.row(run.id).error, desk.row(run.id).started_at) == (None, begun)
    assert desk.claim().attempt > run.attempt


def test_a_run_that_succeeded_is_taken_up_again(desk: Desk) -> None:
    run_id = desk.settled()
    desk.revive(run_id)
    assert desk.row(run_id).result is None
    assert desk.claim().id == run_id


def test_the_deadline_counts_anew(desk: Desk) -> None:
    run = desk.started_and_claimed(timeout_us=MINUTE)
    desk.store.move_clock(HOUR)
    desk.done(Settle(run.id, run.attempt, State.FAILED, error="{}"))
    desk.revive(run.id)
    again = desk.claim()
    assert again.deadline_at is not None
    assert again.now < again.deadline_at <= again.now + MINUTE


def test_a_run_without_a_deadline_gets_none(desk: Desk) -> None:
    run_id = desk.settled(State.FAILED)
    desk.revive(run_id)
    assert desk.claim().deadline_at is None


@pytest.mark.parametrize("all_of_them", [True, False])
def test_waits_go_or_only_the_pauses_between_tries(desk: Desk, all_of_them: bool) -> None:
    run = desk.started_and_claimed()
    pause = WaitRow("a#1:retry1", "retry", "a", HOUR)
    desk.do(SaveWaits(run.id, run.attempt, (timer(HOUR), pause)))
    desk.done(Attention(run.id, run.attempt, "{}"))
    desk.revive(run.id, waits=all_of_them)
    assert [wait.kind for wait in desk.claim().waits] == ([] if all_of_them else ["timer"])


def test_key_parent_and_unread_mail_stay(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run = desk.started_and_claimed(key="k", parent_id=parent.id)
    desk.done(Emit(run.id, "event-1", "go", "{}"))
    desk.done(Settle(run.id, run.attempt, State.FAILED, error="{}"))
    desk.revive(run.id)
    again = desk.claim()
    assert (again.key, again.parent_id) == ("k", parent.id)
    assert [mail.id for mail in again.mail] == ["event-1"]
    assert desk.reader.find("flow", "k") == run.id


def test_the_history_has_the_attempt_that_failed_and_what_was_done_about_it(desk: Desk) -> None:
    run_id = desk.settled(State.FAILED)
    desk.revive(run_id, note='{"message": "by ann"}')
    history = [(a.attempt, a.outcome, a.error) for a in desk.reader.attempts(run_id)]
    assert history == [(1, "failed", '{"kind": "E"}'), (2, "retried", '{"message": "by ann"}')]


def test_an_unknown_run_is_not_found(desk: Desk) -> None:
    assert isinstance(desk.do(Revive(str(UUID(int=99)), 1)), RunNotFound)


@pytest.mark.parametrize("state", ["ready", "scheduled", "running", "waiting"])
def test_a_run_that_is_alive_is_left_alone(desk: Desk, state: str) -> None:
    match state:
        case "ready":
            run_id = desk.start()
        case "scheduled":
            run_id = desk.start(delay_us=HOUR)
        case "running":
            run_id = desk.started_and_claimed().id
        case _:
            run_id = desk.parked(event()).id
    before = desk.row(run_id)
    answer = desk.do(Revive(run_id, before.attempt))
    assert isinstance(answer, MovedOn)
    assert state in str(answer)
    assert desk.row(run_id) == before


def test_who_decided_about_an_earlier_end_is_refused(desk: Desk) -> None:
    run_id = failed_with(desk, "a#1")
    verb = Revive(run_id, desk.row(run_id).attempt, "rewound", "{}", ("a#1",))
    desk.revive(run_id)
    again = desk.claim()
    desk.done(Settle(run_id, again.attempt, State.FAILED, error="{}"))
    rows = desk.everything()
    assert isinstance(desk.do(verb), MovedOn)
    assert desk.everything() == rows


def test_a_repeated_act_is_known_even_when_its_run_has_gone_on(desk: Desk) -> None:
    run_id = desk.settled(State.FAILED)
    verb = Revive(run_id, desk.row(run_id).attempt)
    desk.done(verb)
    desk.claim()
    rows = desk.everything()
    desk.done(verb)
    assert desk.everything() == rows


def test_a_child_that_must_have_ended_is_looked_at(desk: Desk) -> None:
    run_id = failed_with(desk, "start#1")
    child = desk.start(parent_id=run_id)
    other = desk.settled()
    verb = Revive(run_id, desk.row(run_id).attempt, ended=(window(other, other),))
    assert isinstance(
        desk.do(Revive(run_id, verb.attempt, ended=(*verb.ended, window(child, child)))), MovedOn
    )
    assert desk.state(run_id) is State.FAILED
    desk.done(verb)


@pytest.mark.parametrize("state", [State.FAILED, State.NEEDS_ATTENTION])
def test_of_two_at_once_one_takes_the_run_up(desk: Desk, state: State) -> None:
    for _ in range(10):
        run = desk.started_and_claimed()
        if state is State.FAILED:
            desk.done(Settle(run.id, run.attempt, state, error="{}"))
        else:
            desk.done(Attention(run.id, run.attempt, "{}"))
        acts = [[Revive(run.id, run.attempt, act)] for act in ("retried", "rewound")]
        (one,), (other,) = in_parallel(desk, *acts)
        assert {type(one), type(other)} == {MovedOn, type(None)}
        assert desk.claim().attempt == run.attempt + 2
        assert len(desk.reader.attempts(run.id)) == 2


def test_a_run_that_was_set_aside_keeps_when_it_first_began(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Attention(run.id, run.attempt, '{"kind": "E"}'))
    began = desk.row(run.id).started_at
    assert began is not None
    desk.store.move_clock(HOUR)
    desk.revive(run.id)
    assert desk.row(run.id).started_at == began
    desk.claim()
    assert desk.row(run.id).started_at == began
