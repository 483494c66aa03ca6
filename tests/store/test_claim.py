"""Claim: which runs, in which order, and with what they left behind."""

import random

from backroom.records.states import State
from backroom.store.verbs import Claim, Emit, SaveStep, SaveWaits, Settle, Start
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, child, event, step, timer


def test_a_claimed_run_belongs_to_its_worker(desk: Desk) -> None:
    run_id = desk.start(input='{"n": 1}')
    claims = desk.claims(worker="worker-1")
    (run,) = claims.runs
    assert (run.id, run.flow, run.input, run.queue) == (run_id, "flow", '{"n": 1}', "default")
    assert (run.attempt, run.starts, run.failures) == (1, 1, 0)
    assert run.now == claims.now
    assert (run.priority, run.due_at) == (5, run.created_at)
    row = desk.row(run_id)
    assert (row.state, row.worker, row.attempt) == (State.RUNNING, "worker-1", 1)
    assert row.started_at == claims.now
    assert row.available_at is None
    assert not desk.claims().runs


def test_the_most_urgent_come_first_then_the_longest_due(desk: Desk) -> None:
    runs = [
        desk.new(priority=priority, at=at)
        for priority in (0, 4, 5, 9)
        for at in (1 * SECOND, 2 * SECOND, 3 * SECOND)
        for _ in range(2)
    ]
    shuffled = list(runs)
    random.Random(7).shuffle(shuffled)
    desk.session.apply([Start(run) for run in shuffled])
    claimed = [desk.claims(5).runs for _ in range(6)]
    assert [run.id for batch in claimed for run in batch] == [run.id for run in runs]


def test_several_queues_are_one_line(desk: Desk) -> None:
    first = desk.start(queue="b", at=1, priority=3)
    second = desk.start(queue="a", at=2, priority=3)
    third = desk.start(queue="b", at=3, priority=3)
    fourth = desk.start(queue="a", at=0, priority=4)
    other = desk.start(queue="c", at=0, priority=0)
    found = desk.claims(3, queues=("a", "b", "a")).runs
    assert [run.id for run in found] == [first, second, third]
    assert [run.id for run in desk.claims(queues=("a", "b")).runs] == [fourth]
    assert desk.state(other) is State.READY


def test_a_flow_that_the_worker_does_not_know_is_left_for_others(desk: Desk) -> None:
    desk.start("new flow")
    known = desk.start("old flow")
    assert [run.id for run in desk.claims(flows=("old flow", "gone")).runs] == [known]
    assert len(desk.claims(flows=("new flow",)).runs) == 1


def test_nobody_waits_for_nothing(desk: Desk) -> None:
    desk.start()
    assert not desk.claims(queues=()).runs
    assert not desk.claims(flows=()).runs
    assert not desk.claims(0).runs
    assert len(desk.claims().runs) == 1


def test_the_next_due_time_is_told_when_less_was_found_than_wanted(desk: Desk) -> None:
    assert desk.claims().next_due_at is None
    desk.start()
    desk.start(delay_us=HOUR, priority=1)
    soonest = desk.start(delay_us=MINUTE, priority=9, queue="b")
    desk.start(delay_us=SECOND, queue="not asked for")
    claims = desk.claims(2, queues=("default", "b"))
    assert len(claims.runs) == 1
    assert claims.next_due_at == desk.row(soonest).available_at


def test_what_waits_for_ever_has_no_next_time(desk: Desk) -> None:
    desk.parked(event())
    assert desk.claims().next_due_at is None


def test_timers_come_due_by_the_databases_clock(desk: Desk) -> None:
    run = desk.parked(timer(MINUTE))
    assert desk.claims().next_due_at == desk.row(run.id).available_at
    desk.store.move_clock(MINUTE - SECOND)
    assert not desk.claims().runs
    desk.store.move_clock(2 * SECOND)
    assert desk.claim().id == run.id


def test_a_floor_starts_the_look_later(desk: Desk) -> None:
    old = desk.start(at=10)
    new = desk.start(at=20)
    found = desk.claims(floors={("default", 5): 20}).runs
    assert [run.id for run in found] == [new]
    assert [run.id for run in desk.claims(floors={("other", 5): 20}).runs] == [old]


def test_a_first_attempt_has_nothing_preloaded(desk: Desk) -> None:
    run_id = desk.start()
    desk.emit(run_id)
    run = desk.claim()
    assert (run.steps, run.waits, run.mail, run.ended) == ((), (), (), ())


def test_a_later_attempt_gets_what_the_earlier_ones_left(desk: Desk) -> None:
    run = desk.started_and_claimed()
    ended = desk.settled(parent_id=run.id, input='"a child"')
    live = desk.start(parent_id=run.id, delay_us=HOUR)
    not_awaited = desk.settled(parent_id=run.id)
    kept = step("a#1", result='"kept"', fingerprint="f", started_at=5, finished_at=6)
    trying = step("b#1", "trying", error='{"kind": "E"}', tries=2)
    desk.done(SaveStep(run.id, run.attempt, kept))
    desk.done(SaveStep(run.id, run.attempt, trying))
    desk.done(Emit(run.id, "event-1", "go", "[1]"))
    desk.done(Emit(run.id, "event-2", "other", "[2]"))
    desk.done(SaveStep(run.id, run.attempt, step("c#1"), consumes="event-2"))
    desk.park(run, child(ended), child(live), event("go"), timer(HOUR))
    again = desk.claim()
    assert again.id == run.id
    assert again.steps[:2] == (kept, trying)
    assert {wait.kind for wait in again.waits} == {"child", "event", "timer"}
    assert list(again.waits) == desk.reader.waits(run.id)
    assert [(mail.id, mail.payload) for mail in again.mail] == [("event-1", "[1]")]
    (row,) = again.ended
    assert row == desk.row(ended)
    assert row.input == '"a child"'
    assert not_awaited != row.id


def test_what_is_preloaded_goes_to_the_right_run(desk: Desk) -> None:
    runs = [desk.started_and_claimed() for _ in range(5)]
    for run in runs:
        desk.done(SaveStep(run.id, run.attempt, step(f"{run.id}#1")))
        desk.emit(run.id, "go", event=f"mail of {run.id}")
        desk.park(run, event("go"))
    desk.start()
    claimed = desk.claims().runs
    assert len(claimed) == 6
    for run in claimed:
        if run.attempt > 1:
            assert [kept.address for kept in run.steps] == [f"{run.id}#1"]
            assert [mail.id for mail in run.mail] == [f"mail of {run.id}"]
        else:
            assert run.steps == ()


def test_a_claim_sees_what_its_batch_has_freed(desk: Desk) -> None:
    parent = desk.started_and_claimed()
    run = desk.started_and_claimed(parent_id=parent.id)
    desk.park(parent, child(run.id))
    settle = Settle(run.id, run.attempt, State.SUCCEEDED)
    claim = Claim("worker", ("default",), ("flow",), 10)
    new = desk.new()
    claims, settled, _ = desk.session.apply([claim, settle, Start(new)])
    assert settled is None
    found = getattr(claims, "runs", ())
    assert {run.id for run in found} == {parent.id, new.id}


def test_two_claims_of_a_batch_share_the_runs(desk: Desk) -> None:
    ids = {desk.start() for _ in range(3)}
    claim = Claim("worker", ("default",), ("flow",), 2)
    answers = desk.session.apply([claim, claim])
    found = [run.id for answer in answers for run in getattr(answer, "runs", ())]
    assert len(found) == 3
    assert set(found) == ids


def test_the_first_start_stays_on_record(desk: Desk) -> None:
    run = desk.started_and_claimed()
    first = desk.row(run.id).started_at
    desk.store.move_clock(MINUTE)
    desk.hand_back(run)
    desk.claim()
    assert desk.row(run.id).started_at == first


def test_waits_saved_while_running_come_back(desk: Desk) -> None:
    run = desk.started_and_claimed()
    answer = desk.do(SaveWaits(run.id, run.attempt, (timer(HOUR),)))
    desk.hand_back(run)
    assert desk.claim().waits == answer
