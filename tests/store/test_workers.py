"""Leases: registering, renewing, and what becomes of the runs of a worker that is gone."""

import json

from backroom.records.runs import WorkerRow
from backroom.records.states import State
from backroom.store.verbs import (
    Cancel,
    Reconcile,
    Register,
    Renew,
    Rescue,
    Retire,
    SaveStep,
    Settle,
)
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, event, step


def test_a_worker_is_entered_with_a_lease(desk: Desk) -> None:
    worker = WorkerRow("worker", "host:1", concurrency=8, bell="127.0.0.1:9")
    desk.done(Register(worker, MINUTE))
    (row,) = desk.reader.workers()
    assert (row.id, row.name, row.concurrency, row.bell) == ("worker", "host:1", 8, "127.0.0.1:9")
    assert row.lease_until == row.started_at + MINUTE


def test_registering_again_renews(desk: Desk) -> None:
    desk.register()
    (before,) = desk.reader.workers()
    desk.store.move_clock(SECOND)
    desk.register()
    (after,) = desk.reader.workers()
    assert after.lease_until - before.lease_until >= SECOND
    assert after.started_at == before.started_at


def test_renewing_answers_who_still_exists(desk: Desk) -> None:
    desk.register("a")
    desk.register("b")
    before = {worker.id: worker.lease_until for worker in desk.reader.workers()}
    desk.store.move_clock(SECOND)
    assert desk.do(Renew(("a", "gone"), MINUTE)) == {"a"}
    after = {worker.id: worker.lease_until for worker in desk.reader.workers()}
    assert after["a"] > before["a"]
    assert after["b"] == before["b"]
    assert desk.do(Renew((), MINUTE)) == frozenset()


def test_a_living_worker_keeps_its_runs(desk: Desk) -> None:
    desk.register()
    run = desk.started_and_claimed()
    assert desk.do(Rescue()) == ()
    desk.store.move_clock(MINUTE - SECOND)
    desk.do(Renew(("worker",), MINUTE))
    desk.store.move_clock(MINUTE - SECOND)
    assert desk.do(Rescue()) == ()
    desk.done(SaveStep(run.id, run.attempt, step()))


def test_the_runs_of_a_worker_that_stopped_renewing_are_released(desk: Desk) -> None:
    desk.register()
    run = desk.started_and_claimed()
    parked = desk.parked(event())
    desk.store.move_clock(MINUTE + SECOND)
    assert desk.do(Rescue()) == (run.id,)
    assert desk.reader.workers() == []
    row = desk.row(run.id)
    assert (row.state, row.worker) == (State.READY, None)
    (attempt,) = desk.reader.attempts(run.id)
    assert (attempt.outcome, attempt.worker, attempt.attempt) == ("lost", "worker", 1)
    assert attempt.started_at == run.now
    assert desk.state(parked.id) is State.WAITING
    desk.lost(SaveStep(run.id, run.attempt, step()))
    again = desk.claim(worker="another")
    assert (again.attempt, again.starts) == (2, 2)


def test_a_worker_that_was_declared_dead_learns_it_when_renewing(desk: Desk) -> None:
    desk.register()
    desk.store.move_clock(HOUR)
    desk.do(Rescue())
    assert desk.do(Renew(("worker",), MINUTE)) == frozenset()


def test_a_late_worker_renews_if_nobody_was_quicker(desk: Desk) -> None:
    desk.register()
    run = desk.started_and_claimed()
    desk.store.move_clock(HOUR)
    assert desk.session.apply([Rescue(), Renew(("worker",), MINUTE)])[0] == ()
    desk.done(SaveStep(run.id, run.attempt, step()))


def test_removing_a_workers_row_does_not_hide_its_runs(desk: Desk) -> None:
    run = desk.started_and_claimed(key="never registered")
    assert desk.do(Rescue()) == (run.id,)


def test_a_run_that_kills_its_worker_again_and_again_is_set_aside(desk: Desk) -> None:
    desk.start()
    for number in (1, 2):
        run = desk.claim(worker=f"worker-{number}")
        assert desk.do(Rescue(max_starts=3)) == (run.id,)
        assert desk.state(run.id) is State.READY
    run = desk.claim(worker="worker-3", suspects=True)
    assert desk.do(Rescue(max_starts=3)) == (run.id,)
    row = desk.row(run.id)
    assert row.state is State.NEEDS_ATTENTION
    error = json.loads(row.error or "{}")
    assert error["kind"] == "Poison"
    assert "3" in error["message"]
    assert [a.outcome for a in desk.reader.attempts(run.id)] == ["lost"] * 3


def test_a_run_that_makes_progress_is_never_set_aside(desk: Desk) -> None:
    desk.start()
    for number in range(6):
        run = desk.claim(worker=f"worker-{number}")
        checkpoint = step(f"a#{number}")
        desk.done(SaveStep(run.id, run.attempt, checkpoint, clears_starts=True))
        assert desk.do(Rescue(max_starts=3)) == (run.id,)
    assert desk.state(run.id) is State.READY


def test_a_worker_whose_death_was_seen_is_removed_at_once(desk: Desk) -> None:
    desk.register()
    desk.register("another")
    run = desk.started_and_claimed()
    assert desk.do(Retire("worker")) == (run.id,)
    assert [worker.id for worker in desk.reader.workers()] == ["another"]
    assert [a.outcome for a in desk.reader.attempts(run.id)] == ["lost"]
    assert desk.claim(worker="another").starts == 2


def test_a_worker_that_stops_by_itself_hands_its_runs_back(desk: Desk) -> None:
    desk.register()
    run = desk.started_and_claimed()
    assert desk.do(Retire("worker", lost=False)) == (run.id,)
    assert desk.reader.workers() == []
    assert desk.reader.attempts(run.id) == []
    assert desk.claim().starts == 1


def test_a_death_that_was_seen_sets_a_deadly_run_aside_as_well(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.lose(run)
    desk.do(Retire("worker"))
    desk.claim(suspects=True)
    desk.do(Retire("worker"))
    assert desk.state(run.id) is State.NEEDS_ATTENTION


def test_what_a_worker_holds_unknowingly_is_released(desk: Desk) -> None:
    known, unknown = desk.started_and_claimed(), desk.started_and_claimed()
    other = desk.claim(worker="another") if desk.start() else None
    assert other is not None
    assert desk.do(Reconcile("worker", frozenset({(known.id, known.attempt)}))) == (unknown.id,)
    assert desk.state(known.id) is State.RUNNING
    assert desk.state(other.id) is State.RUNNING
    assert desk.reader.attempts(unknown.id) == []
    again = desk.claim()
    assert (again.id, again.starts) == (unknown.id, 1)
    held = frozenset((run.id, run.attempt) for run in (known, again))
    assert desk.do(Reconcile("worker", held)) == ()


def test_an_attempt_that_a_worker_holds_unknowingly_is_released_though_it_knows_the_run(
    desk: Desk,
) -> None:
    first = desk.started_and_claimed()
    desk.hand_back(first)
    second = desk.claim()
    assert desk.do(Reconcile("worker", frozenset({(first.id, first.attempt)}))) == (second.id,)


def test_a_released_run_still_knows_that_it_was_asked_to_cancel(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.do(Cancel(run.id, "stop"))
    again = desk.lose(run)
    assert again.cancel_reason == "stop"
    desk.done(Settle(again.id, again.attempt, State.CANCELLED))
