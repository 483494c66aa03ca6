"""Erase: what came from outside goes, and that there was such a run stays."""

from __future__ import annotations

import json

import pytest

from backroom.records.erasure import ERASED, AuditRow, Erased
from backroom.records.errors import RunErased
from backroom.records.queues import QueueRules
from backroom.records.runs import StepRow
from backroom.records.states import State
from backroom.store.verbs import (
    Cancel,
    Declare,
    Erase,
    Progress,
    Prune,
    Revive,
    SaveStep,
    Settle,
)
from tests.store.desk import HOUR, Desk, child, event, step

CANARY = "canary"
AUDIT_ID = "01a20c82-0000-7000-8000-00000000a0d1"
TABLES = ("run", "live", "result", "step", "event", "progress", "attempt", "key", "wait", "audit")


def dump(desk: Desk) -> str:
    """All rows of all our tables as one text."""
    return "\n".join(
        f"{table} {row}" for table in TABLES for row in desk.query(f"SELECT * FROM {{b}}{table}")
    )


def payload(of: str) -> str:
    return json.dumps(f"{CANARY} {of}")


def a_life_of(subject: str, desk: Desk, state: State) -> str:
    """An ended run that has left something from outside in every place there is."""
    told = f"{CANARY} {subject}"
    desk.done(Declare(QueueRules("default", concurrency_per_partition=10)))
    run = desk.started_and_claimed(
        key=f"{told} {desk.new_id()}", input=payload("input"), subject=told, partition=told
    )
    desk.done(Progress(run.id, run.attempt, 0.5, told))
    desk.emit(run.id, "go", payload("read"), event=f"{run.id} read")
    desk.emit(run.id, "go", payload("unread"), event=f"{run.id} unread")
    consumed = StepRow("event#1", "go", "event", "done", result=payload("read"))
    desk.done(SaveStep(run.id, run.attempt, consumed, f"{run.id} read"))
    for address in ("work#1", f"work[{told}]", f"gather#1.0/work[{told}]"):
        row = StepRow(address, "work", "step", "done", payload("step"), fingerprint=CANARY)
        desk.done(SaveStep(run.id, run.attempt, row))
    failed = step("work#2", "failed", error=payload("step's error"))
    desk.done(SaveStep(run.id, run.attempt, failed))
    started = StepRow("start other#1", "other", "start", "done", result=json.dumps(run.id))
    desk.done(SaveStep(run.id, run.attempt, started))
    desk.done(Settle(run.id, run.attempt, state, payload("result"), payload("error")))
    return run.id


def erase(desk: Desk, *run_ids: str, **options: bool) -> Erased:
    answer = desk.do(Erase(run_ids, AUDIT_ID, "Grace", **options))
    assert isinstance(answer, Erased)
    return answer


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_nothing_that_came_from_outside_is_left(desk: Desk, state: State) -> None:
    run_id = a_life_of("Ada", desk, state)
    assert dump(desk).count(CANARY) > 12
    before = desk.row(run_id)
    assert erase(desk, run_id) == Erased((run_id,))
    assert CANARY not in dump(desk)
    row = desk.row(run_id)
    assert (row.state, row.flow, row.attempt) == (state, "flow", before.attempt)
    assert (row.created_at, row.finished_at) == (before.created_at, before.finished_at)
    assert row.erased_at is not None
    assert (row.input, row.key, row.subject, row.status) == (ERASED, None, None, None)
    assert len(desk.reader.steps(run_id)) == 6, "how many steps there were can still be seen"
    (kept,) = [s for s in desk.reader.steps(run_id) if s.kind == "start"]
    assert kept.result == json.dumps(run_id), "and which runs it has started"


def test_the_others_stay_as_they_are(desk: Desk) -> None:
    gone = a_life_of("Ada", desk, State.SUCCEEDED)
    other = a_life_of("Bob", desk, State.FAILED)
    before = (desk.row(other), desk.reader.steps(other), desk.reader.attempts(other))
    key = before[0].key
    erase(desk, gone)
    assert (desk.row(other), desk.reader.steps(other), desk.reader.attempts(other)) == before
    assert key is not None
    assert desk.reader.find("flow", key) == other
    assert desk.reader.about(f"{CANARY} Bob", None, 10) == [other]
    assert desk.reader.about(f"{CANARY} Ada", None, 10) == []


def test_who_did_it_stands_in_the_audit_and_what_it_was_does_not(desk: Desk) -> None:
    gone = [a_life_of("Ada", desk, State.SUCCEEDED) for _ in range(2)]
    erase(desk, *gone)
    (deed,) = desk.reader.audit(10)
    assert deed == AuditRow(AUDIT_ID, deed.at, "erase", "Grace", deed.what)
    assert sorted(json.loads(deed.what)["runs"]) == sorted(gone)


def test_erasing_again_answers_the_same_and_writes_nothing(desk: Desk) -> None:
    gone = a_life_of("Ada", desk, State.FAILED)
    first = erase(desk, gone)
    before = dump(desk)
    desk.store.move_clock(HOUR)
    assert erase(desk, gone) == first
    assert dump(desk) == before


def test_a_dry_run_only_tells(desk: Desk) -> None:
    gone = a_life_of("Ada", desk, State.FAILED)
    before = dump(desk)
    assert erase(desk, gone, dry_run=True) == Erased((gone,))
    assert dump(desk) == before


def test_what_has_not_ended_or_may_still_be_read_is_refused(desk: Desk) -> None:
    waiting = desk.parked(event()).id
    parent = desk.started_and_claimed()
    of_parent = desk.settled(parent_id=parent.id)
    awaited = desk.settled()
    ended = desk.settled()
    desk.park(parent, child(awaited))
    before = dump(desk)
    unknown = desk.new_id()
    answer = erase(desk, waiting, parent.id, of_parent, awaited, unknown, "no id", dry_run=True)
    assert answer.runs == ()
    assert dict(answer.refused) == {
        waiting: "it has not ended",
        parent.id: "it has not ended",
        of_parent: "a run that has not ended may still read it",
        awaited: "a run that has not ended may still read it",
        unknown: "there is no such run",
        "no id": "there is no such run",
    }
    assert erase(desk, waiting, of_parent, ended).runs == (ended,)
    assert dump(desk) != before
    desk.do(Cancel(parent.id))
    assert erase(desk, of_parent, awaited).runs == (of_parent, awaited)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_an_erased_run_can_not_be_retried(desk: Desk, state: State) -> None:
    run_id = a_life_of("Ada", desk, state)
    erase(desk, run_id)
    before = dump(desk)
    answer = desk.do(Revive(run_id, desk.row(run_id).attempt))
    assert isinstance(answer, RunErased)
    assert answer.run_id == run_id
    assert dump(desk) == before


def test_an_erased_run_is_pruned_like_any_other(desk: Desk) -> None:
    run_id = a_life_of("Ada", desk, State.FAILED)
    erase(desk, run_id)
    desk.store.move_clock(24 * HOUR)
    desk.do(Prune(HOUR))
    assert desk.reader.run(run_id) is None


def test_its_key_can_be_taken_again(desk: Desk) -> None:
    first = desk.settled(key="k")
    erase(desk, first)
    second = desk.start(key="k")
    assert desk.reader.find("flow", "k") == second
