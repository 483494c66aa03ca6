"""Locks: one run at a time has one, the others stand in line; runs that begin after others."""

from __future__ import annotations

import pytest

from backroom.records.runs import Claimed, Started, WaitRow
from backroom.records.states import State
from backroom.store.verbs import (
    Attention,
    Cancel,
    HandBack,
    Lock,
    Locked,
    Park,
    SaveStep,
    Settle,
    Start,
)
from tests.store.desk import HOUR, MINUTE, Desk, step
from tests.store.racing import in_parallel

HELD = Locked(held=True)
IN_LINE = Locked(held=False)


def take(desk: Desk, run: Claimed, *names: str, at: str = "lock#1", path: str = "") -> Locked:
    answer = desk.do(Lock(run.id, run.attempt, at, names, path))
    assert isinstance(answer, Locked)
    return answer


def give_back(desk: Desk, run: Claimed, at: str = "lock#1") -> None:
    desk.done(SaveStep(run.id, run.attempt, step(at), releases=True))


def wait_for(name: str, at: str = "lock#1") -> WaitRow:
    return WaitRow(at, "lock", name)


def runs(desk: Desk, count: int) -> list[Claimed]:
    for _ in range(count):
        desk.start()
    return list(desk.claims().runs)


def test_a_lock_goes_to_one_run_and_then_to_the_next_in_line(desk: Desk) -> None:
    a, b, c = runs(desk, 3)
    assert take(desk, a, "x") == HELD
    assert take(desk, b, "x") == IN_LINE
    assert take(desk, c, "x") == IN_LINE
    assert take(desk, c, "y", at="lock#2") == HELD
    give_back(desk, a)
    assert take(desk, b, "x") == HELD
    assert take(desk, c, "x") == IN_LINE


def test_who_is_parked_in_line_wakes_when_it_has_all_it_asked_for(desk: Desk) -> None:
    a, b, c = runs(desk, 3)
    take(desk, a, "x")
    take(desk, b, "y")
    assert take(desk, c, "x", "y") == IN_LINE
    desk.park(c, wait_for("x, y"))
    give_back(desk, a)
    assert desk.row(c.id).state is State.WAITING
    give_back(desk, b)
    assert desk.row(c.id).state is State.READY
    again = desk.claim()
    assert take(desk, again, "x", "y") == HELD


def test_a_lock_that_came_before_the_parking_is_seen(desk: Desk) -> None:
    a, b = runs(desk, 2)
    take(desk, a, "x")
    take(desk, b, "x")
    give_back(desk, a)
    desk.park(b, wait_for("x"))
    assert desk.claim().id == b.id


@pytest.mark.parametrize("how", ["settled", "cancelled", "cancelled while parked"])
def test_however_a_run_ends_its_locks_go_to_the_next(desk: Desk, how: str) -> None:
    a, b = runs(desk, 2)
    take(desk, a, "x")
    take(desk, b, "x")
    desk.park(b, wait_for("x"))
    if how == "settled":
        desk.done(Settle(a.id, a.attempt, State.FAILED, None, "{}"))
    elif how == "cancelled":
        desk.do(Cancel(a.id))
        desk.done(Settle(a.id, a.attempt, State.CANCELLED, None, "{}"))
    else:
        desk.park(a)
        desk.do(Cancel(a.id))
    assert desk.claim().id == b.id
    assert [held.run_id for held in desk.reader.locks()] == [b.id]


def test_a_lock_is_held_while_its_run_is_parked_handed_back_or_set_aside(desk: Desk) -> None:
    a, b = runs(desk, 2)
    take(desk, a, "x")
    desk.done(HandBack(a.id, a.attempt))
    a = desk.claim()
    assert take(desk, a, "x") == HELD
    desk.done(Attention(a.id, a.attempt, "{}"))
    assert take(desk, b, "x") == IN_LINE
    desk.revive(a.id)
    a = desk.claim()
    assert take(desk, a, "x") == HELD
    assert take(desk, b, "x") == IN_LINE


def test_who_gives_up_its_place_is_passed_over(desk: Desk) -> None:
    a, b, c = runs(desk, 3)
    take(desk, a, "x")
    take(desk, b, "x")
    take(desk, c, "x")
    desk.done(Settle(b.id, b.attempt, State.SUCCEEDED, "1"))
    assert take(desk, c, "x") == IN_LINE
    give_back(desk, a)
    assert take(desk, c, "x") == HELD


def test_a_circle_is_found_by_whoever_would_close_it(desk: Desk) -> None:
    a, b, c = runs(desk, 3)
    for run, name in ((a, "x"), (b, "y"), (c, "z")):
        assert take(desk, run, name) == HELD
    assert take(desk, a, "y", at="lock#2") == IN_LINE
    assert take(desk, b, "z", at="lock#2") == IN_LINE
    answer = take(desk, c, "x", at="lock#2")
    assert not answer.held
    assert set(answer.circle) == {a.id, b.id, c.id}
    desk.done(Settle(c.id, c.attempt, State.FAILED, None, "{}"))
    assert take(desk, b, "z", at="lock#2") == HELD


def test_asking_for_what_one_has_already_is_a_circle(desk: Desk) -> None:
    (a,) = runs(desk, 1)
    take(desk, a, "x")
    assert take(desk, a, "x", at="lock#2").circle == (a.id,)
    assert take(desk, a, "x") == HELD


def test_branches_of_one_run_wait_for_each_other(desk: Desk) -> None:
    a, b = runs(desk, 2)
    assert take(desk, a, "x", at="gather#1.0/lock#1", path="gather#1.0/") == HELD
    assert take(desk, a, "x", at="gather#1.1/lock#1", path="gather#1.1/") == IN_LINE
    take(desk, b, "y")
    assert take(desk, b, "x", at="lock#2") == IN_LINE
    assert take(desk, a, "y", at="gather#1.2/lock#1", path="gather#1.2/") == IN_LINE
    assert take(desk, a, "y", at="gather#1.0/lock#2", path="gather#1.0/").circle


def test_several_locks_taken_together_never_wait_in_a_circle(desk: Desk) -> None:
    a, b, c = runs(desk, 3)
    assert take(desk, a, "x", "y") == HELD
    assert take(desk, b, "y", "z") == IN_LINE
    assert take(desk, c, "z", "x") == IN_LINE
    give_back(desk, a)
    assert take(desk, b, "y", "z") == HELD
    assert take(desk, c, "z", "x") == IN_LINE
    give_back(desk, b)
    assert take(desk, c, "z", "x") == HELD


def test_an_old_attempt_takes_and_gives_back_nothing(desk: Desk) -> None:
    a, b = runs(desk, 2)
    take(desk, a, "x")
    desk.done(HandBack(a.id, a.attempt))
    desk.claim()
    desk.lost(Lock(a.id, a.attempt, "lock#2", ("y",)))
    desk.lost(SaveStep(a.id, a.attempt, step("lock#1"), releases=True))
    assert take(desk, b, "x") == IN_LINE
    assert take(desk, b, "y", at="lock#2") == HELD


def test_asking_again_is_the_same_request(desk: Desk) -> None:
    a, b, c = runs(desk, 3)
    for _ in range(2):
        assert take(desk, a, "x") == HELD
        assert take(desk, b, "x") == IN_LINE
    take(desk, c, "x")
    assert [(row.held_at is None, row.holder, row.ahead) for row in desk.reader.locks_of(c.id)] == [
        (True, a.id, 2)
    ]
    assert desk.reader.locks_held([a.id, b.id]) == [(a.id, "lock#1")]
    (held,) = desk.reader.locks()
    assert (held.name, held.run_id, held.waiting) == ("x", a.id, 2)


def test_of_opposite_orders_at_the_same_instant_one_is_told(desk: Desk) -> None:
    for _ in range(5):
        a, b = runs(desk, 2)
        take(desk, a, "x")
        take(desk, b, "y")
        answers = in_parallel(
            desk,
            [Lock(a.id, a.attempt, "lock#2", ("y",))],
            [Lock(b.id, b.attempt, "lock#2", ("x",))],
        )
        circles = [answer for (answer,) in answers if isinstance(answer, Locked) and answer.circle]
        assert len(circles) == 1
        for run in (a, b):
            desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))
        assert desk.reader.locks() == []


def test_giving_back_and_parking_at_the_same_instant_lose_no_wake_up(desk: Desk) -> None:
    for _ in range(10):
        a, b = runs(desk, 2)
        take(desk, a, "x")
        take(desk, b, "x")
        in_parallel(
            desk,
            [SaveStep(a.id, a.attempt, step("lock#1"), releases=True)],
            [Park(b.id, b.attempt, (wait_for("x"),))],
        )
        again = desk.claim()
        assert again.id == b.id
        for run in (a, again):
            desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))


# --- runs that begin after others


def alive(desk: Desk) -> list[str]:
    return [run.id for run in desk.claims().runs]


def test_a_run_begins_when_the_last_of_others_has_succeeded(desk: Desk) -> None:
    a, b = runs(desk, 2)
    run_id = desk.start(after=(a.id, b.id))
    assert desk.row(run_id).state is State.WAITING
    desk.done(Settle(a.id, a.attempt, State.SUCCEEDED, "1"))
    assert alive(desk) == []
    desk.done(Settle(b.id, b.attempt, State.SUCCEEDED, "1"))
    (run,) = desk.claims().runs
    assert (run.id, run.attempt, run.cancel_reason) == (run_id, 1, None)


def test_one_that_does_not_succeed_cancels_it_at_once(desk: Desk) -> None:
    a, b = runs(desk, 2)
    run_id = desk.start(after=(a.id, b.id))
    anyhow = desk.start(after=(a.id, b.id), after_any_end=True)
    desk.done(Settle(a.id, a.attempt, State.FAILED, None, "{}"))
    (run,) = desk.claims().runs
    assert run.id == run_id
    assert run.cancel_reason == f"the run {a.id}, after which it was to begin, has failed"
    desk.done(Settle(b.id, b.attempt, State.CANCELLED, None, "{}"))
    assert alive(desk) == [anyhow]


def test_what_has_ended_before_is_not_waited_for(desk: Desk) -> None:
    good, bad = desk.settled(), desk.settled(State.FAILED)
    gone = desk.new_id()
    first = desk.start(after=(good,))
    second = desk.start(after=(good, bad))
    third = desk.start(after=(gone,))
    fourth = desk.start(after=(bad, gone), after_any_end=True)
    reasons = {run.id: run.cancel_reason for run in desk.claims().runs}
    assert reasons == {
        first: None,
        second: f"the run {bad}, after which it was to begin, has failed",
        third: f"the run {gone}, after which it was to begin, has gone",
        fourth: None,
    }


def test_its_own_time_still_counts_and_its_terms_begin_with_it(desk: Desk) -> None:
    (a,) = runs(desk, 1)
    late = desk.start(after=(a.id,), delay_us=HOUR, timeout_us=HOUR)
    soon = desk.start(after=(a.id,), timeout_us=HOUR, expires_us=MINUTE)
    desk.store.move_clock(30 * MINUTE)
    desk.done(Settle(a.id, a.attempt, State.SUCCEEDED, "1"))
    (run,) = desk.claims().runs
    assert run.id == soon
    assert run.deadline_at is not None
    assert run.expires_at is not None
    assert run.now + 59 * MINUTE < run.deadline_at <= run.now + HOUR
    assert run.now < run.expires_at
    assert desk.row(late).state is State.SCHEDULED
    desk.store.move_clock(31 * MINUTE)
    (run,) = desk.claims().runs
    assert run.id == late
    assert run.deadline_at is not None
    assert run.deadline_at > run.now + 58 * MINUTE


def test_a_start_that_is_repeated_changes_nothing(desk: Desk) -> None:
    (a,) = runs(desk, 1)
    new = desk.new(after=(a.id,))
    for _ in range(2):
        assert desk.do(Start(new)) == Started(new.id, True)
        assert desk.row(new.id).state is State.WAITING
    desk.done(Settle(a.id, a.attempt, State.SUCCEEDED, "1"))
    assert desk.do(Start(new)) == Started(new.id, True)
    assert alive(desk) == [new.id]


def test_a_run_and_its_follower_come_in_one_batch(desk: Desk) -> None:
    first = desk.new()
    second = desk.new(after=(first.id,))
    third = desk.new(after=(second.id,))
    desk.session.apply([Start(third), Start(second), Start(first)])
    for expected in (first, second, third):
        run = desk.claim()
        assert (run.id, run.cancel_reason) == (expected.id, None)
        assert alive(desk) == []
        desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))


def test_it_can_be_cancelled_while_it_waits_and_keeps_what_it_waits_for(desk: Desk) -> None:
    a, b = runs(desk, 2)
    run_id = desk.start(after=(a.id,))
    follower = desk.start(after=(run_id,), after_any_end=True)
    desk.do(Cancel(run_id, "not needed"))
    assert alive(desk) == [follower]
    kept = desk.start(after=(a.id, b.id))
    desk.done(Settle(a.id, a.attempt, State.SUCCEEDED, "1"))
    desk.store.move_clock(HOUR)
    desk.done(Settle(b.id, b.attempt, State.SUCCEEDED, "1"))
    assert alive(desk) == [kept]


def test_of_two_last_ends_at_the_same_instant_one_wakes_it(desk: Desk) -> None:
    for _ in range(5):
        a, b = runs(desk, 2)
        run_id = desk.start(after=(a.id, b.id))
        in_parallel(desk, *([Settle(run.id, run.attempt, State.SUCCEEDED, "1")] for run in (a, b)))
        run = desk.claim()
        assert run.id == run_id
        desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))
