"""Park: a suspended run is its rows, and wakes at the earliest of its waits."""

from backroom.records.runs import FOREVER, WaitRow
from backroom.records.states import State
from backroom.store.verbs import Cancel, Emit, Park, SaveStep, SaveWaits, Settle
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, child, event, step, timer


def test_a_parked_run_is_held_by_nobody(desk: Desk) -> None:
    run = desk.parked(timer(HOUR), event("go"))
    row = desk.row(run.id)
    assert (row.state, row.worker, row.attempt) == (State.WAITING, None, run.attempt)
    assert {wait.address: wait.due_at for wait in desk.reader.waits(run.id)} == {
        "timer": row.available_at,
        "event:go": FOREVER,
    }


def test_it_wakes_at_the_earliest_of_its_waits(desk: Desk) -> None:
    at = desk.now() + MINUTE
    run = desk.parked(timer(HOUR), event("go", due_at=at), WaitRow("r", "retry", "s", HOUR))
    assert desk.row(run.id).available_at == at


def test_it_wakes_at_its_deadline_at_the_latest(desk: Desk) -> None:
    run = desk.parked(event("go"), timer(HOUR), timeout_us=MINUTE)
    assert desk.row(run.id).available_at == run.deadline_at


def test_with_no_waits_at_all_only_the_deadline_wakes_it(desk: Desk) -> None:
    assert desk.row(desk.parked(timeout_us=MINUTE).id).available_at is not None
    assert desk.row(desk.parked().id).available_at is None


def test_an_event_that_lies_there_makes_it_due_at_once(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.emit(run.id, "go")
    desk.park(run, event("go"))
    assert desk.claim().id == run.id


def test_an_event_of_another_name_or_consumed_does_not(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.emit(run.id, "other")
    desk.emit(run.id, "go", event="event-1")
    desk.done(SaveStep(run.id, run.attempt, step("event:go#1"), consumes="event-1"))
    desk.park(run, event("go"))
    assert not desk.claims().runs


def test_a_timer_named_like_an_event_is_not_woken_by_it(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.emit(run.id, "go")
    desk.park(run, WaitRow("t", "timer", "go", delay_us=HOUR))
    desk.emit(run.id, "go")
    assert not desk.claims().runs


def test_a_child_that_has_ended_makes_it_due_at_once(desk: Desk) -> None:
    run = desk.started_and_claimed()
    ended = desk.settled(parent_id=run.id)
    desk.park(run, child(ended), timer(HOUR))
    assert [row.id for row in desk.claim().ended] == [ended]


def test_a_child_that_ends_in_the_same_batch_makes_it_due_at_once(desk: Desk) -> None:
    run = desk.started_and_claimed()
    other = desk.started_and_claimed(parent_id=run.id)
    park = Park(run.id, run.attempt, (child(other.id),))
    settle = Settle(other.id, other.attempt, State.SUCCEEDED)
    assert desk.session.apply([park, settle]) == [None, None]
    assert desk.claim().id == run.id


def test_an_event_of_the_same_batch_makes_it_due_at_once(desk: Desk) -> None:
    run = desk.started_and_claimed()
    park = Park(run.id, run.attempt, (event("go"),))
    assert desk.session.apply([park, Emit(run.id, "event-1", "go", "{}")]) == [None, None]
    assert desk.claim().id == run.id


def test_the_waits_become_exactly_those_given(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(SaveWaits(run.id, run.attempt, (timer(HOUR), event("a"), event("b"))))
    before = {wait.address: wait for wait in desk.reader.waits(run.id)}
    desk.store.move_clock(MINUTE)
    desk.park(run, timer(HOUR), event("b"), event("c"))
    after = {wait.address: wait for wait in desk.reader.waits(run.id)}
    assert set(after) == {"timer", "event:b", "event:c"}
    assert after["timer"] == before["timer"]
    assert desk.row(run.id).available_at == before["timer"].due_at


def test_a_wait_keeps_its_time_over_many_parkings(desk: Desk) -> None:
    run = desk.parked(timer(HOUR), event("go"))
    due = desk.row(run.id).available_at
    for _ in range(3):
        desk.store.move_clock(MINUTE)
        desk.emit(run.id, "go", event=f"event {desk.now()}")
        again = desk.claim()
        for mail in again.mail:
            desk.done(SaveStep(run.id, again.attempt, step(mail.id), consumes=mail.id))
        desk.park(again, timer(HOUR), event("go"))
        assert desk.row(run.id).available_at == due


def test_a_failed_try_is_written_with_the_parking(desk: Desk) -> None:
    run = desk.started_and_claimed()
    trying = step("a#1", "trying", error="{}", tries=3)
    wait = WaitRow("a#1", "retry", "a", delay_us=MINUTE)
    desk.done(Park(run.id, run.attempt, (wait,), (trying,)))
    assert desk.reader.steps(run.id) == [trying]
    desk.store.move_clock(MINUTE + SECOND)
    assert desk.claim().steps == (trying,)


def test_parking_clears_the_count_of_starts(desk: Desk) -> None:
    run = desk.lose(desk.started_and_claimed())
    assert run.starts == 2
    desk.park(run, timer(0))
    assert desk.claim().starts == 1


def test_a_late_attempt_can_not_park(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.lose(run)
    before = desk.everything()
    desk.lost(Park(run.id, run.attempt, (timer(HOUR),), (step(),)))
    assert desk.everything() == before


def test_a_released_run_that_nobody_has_claimed_can_not_be_parked(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.hand_back(run)
    desk.lost(Park(run.id, run.attempt, (timer(HOUR),)))
    assert desk.state(run.id) is State.READY


def test_neither_deadline_nor_cancel_wakes_a_run_that_goes_backwards(desk: Desk) -> None:
    run = desk.started_and_claimed(timeout_us=SECOND)
    desk.do(Cancel(run.id, "stop"))
    desk.done(Park(run.id, run.attempt, (timer(HOUR),), backwards=True, timeless=True))
    assert not desk.claims().runs
    assert desk.row(run.id).available_at == desk.reader.waits(run.id)[0].due_at
    desk.store.move_clock(HOUR)
    assert desk.claim().id == run.id


def test_a_cancel_before_the_parking_is_told_at_the_next_claim(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(Cancel(run.id, "stop"))
    desk.park(run, event("go"), timer(MINUTE))
    desk.store.move_clock(HOUR)
    assert desk.claim().cancel_reason == "stop"
