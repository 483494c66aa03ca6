"""Runs that expire before they begin, and runs that are removed long after they ended."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from backroom.records.queues import Pruned
from backroom.records.runs import Mail, NewRun, Started, StepRow, WaitRow
from backroom.records.states import FINAL, State
from backroom.store.verbs import (
    Cancel,
    Expire,
    Park,
    Progress,
    Prune,
    Reschedule,
    Revive,
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
    desk.revive(run_id)
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


@pytest.mark.parametrize(
    "run_id", ["ffffffff-ffff-4fff-bfff-ffffffffffff", "00000000-0000-4000-8000-000000000000"]
)
def test_a_run_whose_id_tells_no_time_goes_as_well(desk: Desk, run_id: str) -> None:
    desk.settled()
    assert desk.do(Start(NewRun(run_id, "flow"))) == Started(run_id, True)
    run = desk.claim()
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))
    assert prune(desk).count == 0
    desk.store.move_clock(31 * DAY)
    assert prune(desk, limit=1).count == 1
    assert prune(desk, limit=1, after=desk.ids[0] if run_id > desk.ids[0] else run_id).count == 1
    assert desk.reader.run(run_id) is None


def test_whatever_has_happened_pruning_takes_nothing_that_is_alive(desk: Desk) -> None:
    """Random lives of random families; then pruning, bite by bite, until there is no more."""
    chance = random.Random(desk.store.dialect)
    for _ in range(16):
        for _ in range(25):
            a_random_deed(desk, chance)
        desk.store.move_clock(chance.choice([HOUR, DAY, 9 * DAY]))
    before = {run_id: seen(desk, run_id) for run_id in desk.ids if desk.reader.run(run_id)}
    alive = {i for i, (row, *_) in before.items() if row.state not in FINAL}
    older_than, limit = 3 * DAY, 7
    after, removed = None, 0
    while True:
        answer = desk.do(Prune(older_than, after, limit))
        assert isinstance(answer, Pruned)
        after, removed = answer.after, removed + answer.count
        if after is None:
            break
    assert len(alive) > 10
    assert removed > 10
    for run_id, was in before.items():
        row = was[0]
        needed = (
            run_id in alive
            or row.finished_at is None
            or row.finished_at >= desk.now() - older_than
            or {row.parent_id, row.cause_id} & alive
            or any(run_id in {w.name for w in before[other][2]} for other in alive)
            or any(before[other][0].parent_id == run_id for other in alive)
            or (row.key is not None and row.finished_at >= desk.now() - 7 * DAY)
        )
        is_there = desk.reader.run(run_id) is not None
        assert is_there == bool(needed)
        if is_there:
            assert seen(desk, run_id)[1:] == was[1:], "with all that belongs to it"
        else:
            assert seen(desk, run_id) == (None, [], [], [], []), "and nothing is left of it"
    orphans = (
        "SELECT count(*) FROM {b}%s AS t "
        "WHERE NOT EXISTS (SELECT 1 FROM {b}run AS r WHERE r.id = t.%s)"
    )
    for table in TABLES[1:]:
        of_run = "id" if table == "live" else "run_id"
        assert desk.query(orphans % (table, of_run)) == [(0,)]


Seen = tuple[Any, list[StepRow], list[WaitRow], list[Any], list[Mail]]


def seen(desk: Desk, run_id: str) -> Seen:
    reader = desk.reader
    return (
        reader.run(run_id), reader.steps(run_id), reader.waits(run_id), reader.attempts(run_id),
        reader.mail([run_id]),
    )  # fmt: skip


def a_random_deed(desk: Desk, chance: random.Random) -> None:
    known = desk.reader.runs(limit=1000)
    alive = [row.id for row in known if row.state not in FINAL]
    running = [row for row in known if row.state is State.RUNNING]
    match chance.choice("sssssspeecwwrkffff" + "a" * (len(known) % 7 == 0)):
        case "s":
            parent = chance.choice(alive) if alive and chance.random() < 0.4 else None
            key = f"key {len(desk.ids)}" if chance.random() < 0.3 else None
            delay = chance.choice([0, 0, 0, 20 * DAY])
            cause = parent or (chance.choice(alive) if alive and chance.random() < 0.3 else None)
            desk.start(parent_id=parent, cause_id=cause, key=key, delay_us=delay)
        case "p" if running:
            run = chance.choice(running)
            desk.do(Progress(run.id, run.attempt, 0.5, "half"))
        case "e" if alive:
            desk.emit(chance.choice(alive))
        case "c":
            desk.claims(3)
        case "w" if running:
            run, other = chance.choice(running), chance.choice(known)
            desk.do(Park(run.id, run.attempt, (chance.choice([event(), child(other.id)]),)))
        case "k" if running:
            run = chance.choice(running)
            desk.do(SaveStep(run.id, run.attempt, step(f"work#{chance.randrange(9)}")))
        case "r" if known:
            ended = chance.choice(known).id
            desk.do(Revive(ended, desk.row(ended).attempt))
        case "f" if running:
            run = chance.choice(running)
            state = chance.choice([State.SUCCEEDED, State.SUCCEEDED, State.FAILED])
            desk.do(Settle(run.id, run.attempt, state, "1", '{"kind": "E"}'))
        case "a" if alive:
            desk.do(Cancel(chance.choice(alive)))
