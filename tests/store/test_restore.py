"""A backup brought back: what it holds is there, and workers of before are shut out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backroom.records.errors import Refused, SchemaError, StoreDamaged, StoreUnavailable
from backroom.records.runs import NewRun, Started
from backroom.records.states import State
from backroom.rules.epochs import first_attempt
from backroom.store.sqlite import SqliteStore
from backroom.store.verbs import (
    Again,
    Emit,
    Park,
    Progress,
    Renew,
    Rescue,
    SaveStep,
    SaveWaits,
    Settle,
    Start,
)
from tests.store.copies import RESTORE_ID, bring_back, copy_of
from tests.store.desk import MINUTE, Desk, event, step, timer


def test_what_ran_at_the_time_of_the_backup_is_ready_again(desk: Desk, tmp_path: Path) -> None:
    desk.register()
    running = desk.started_and_claimed()
    desk.done(SaveStep(running.id, running.attempt, step()))
    asleep = desk.parked(timer(MINUTE))
    failed = desk.settled(State.FAILED, key="k")
    made = copy_of(desk.store, desk.database, tmp_path)
    desk.done(Settle(running.id, running.attempt, State.SUCCEEDED, "1"))
    later = desk.start()
    assert bring_back(desk.store, desk.database, made) == 1
    assert desk.state(running.id) is State.READY
    assert desk.state(asleep.id) is State.WAITING
    assert desk.state(failed) is State.FAILED
    assert desk.reader.find("flow", "k") == failed
    assert desk.reader.run(later) is None, "it was accepted after the backup"
    assert desk.reader.workers() == []
    again = desk.claim()
    assert again.id == running.id
    assert again.starts == 1, "no start is counted against it"
    assert [kept.address for kept in again.steps] == ["work#1"]
    (deed,) = desk.reader.audit(10)
    assert (deed.id, deed.act, deed.by) == (RESTORE_ID, "restore", "Grace")


def test_no_write_of_a_worker_of_before_is_taken(desk: Desk, tmp_path: Path) -> None:
    """Neither of an attempt that the backup knows, nor of one that had the number which the next
    attempt would have had; nor of a run that has come into being a second time."""
    desk.register()
    known = desk.started_and_claimed()
    failed = desk.settled(State.FAILED)
    ready = desk.start()
    made = copy_of(desk.store, desk.database, tmp_path)
    desk.revive(failed)
    born_again = NewRun(desk.new_id(), "flow", parent_id=known.id)
    desk.do(Start(born_again))
    before = {run.id: run for run in desk.claims().runs} | {known.id: known}
    assert before.keys() == {known.id, failed, ready, born_again.id}
    bring_back(desk.store, desk.database, made)
    assert desk.do(Renew(("worker",), MINUTE)) == frozenset()
    desk.revive(failed)
    assert desk.do(Start(born_again)) == Started(born_again.id, True)
    for moment in ("before the next claim", "after it"):
        for run_id, old in before.items():
            for verb in (
                SaveStep(run_id, old.attempt, step(moment.replace(" ", "_"))),
                SaveWaits(run_id, old.attempt, (event(),)),
                Progress(run_id, old.attempt, 0.5),
                Again(run_id, old.attempt, 0, "{}"),
                Park(run_id, old.attempt, (event(),)),
                Settle(run_id, old.attempt, State.SUCCEEDED, "1"),
            ):
                desk.lost(verb)
        if moment == "before the next claim":
            after = {run.id: run for run in desk.claims().runs}
            assert after.keys() == before.keys()
    for run_id, new in after.items():
        assert new.attempt > before[run_id].attempt + 1_000
        desk.done(Settle(run_id, new.attempt, State.SUCCEEDED, "1"))


def test_the_same_backup_can_be_brought_back_twice(desk: Desk, tmp_path: Path) -> None:
    run_id = desk.start()
    made = copy_of(desk.store, desk.database, tmp_path)
    bring_back(desk.store, desk.database, made)
    first = desk.claim()
    desk.store.move_clock(MINUTE)
    # The clock of the tests is a part of the database; here it goes on, as a real one does.
    bring_back(desk.store, desk.database, made)
    desk.store.move_clock(MINUTE)
    desk.store.restore(None, RESTORE_ID.replace("d2", "d3"), "Grace")
    second = desk.claim()
    assert first.id == second.id == run_id
    assert second.attempt > first.attempt + 1
    desk.lost(Settle(run_id, first.attempt, State.SUCCEEDED, "1"))


def test_a_later_restore_begins_above_an_earlier_one() -> None:
    now = 1_800_000_000_000_000
    first = first_attempt(now, 1)
    assert first > 1_000_000
    assert first_attempt(now, first) == first + 1
    assert first_attempt(now + MINUTE, 1) == first + 60
    assert first_attempt(0, 1) == 2, "a clock that is wrong leads to no number of before"


def test_queues_events_and_rescues_go_on(desk: Desk, tmp_path: Path) -> None:
    parked = desk.parked(event("go"))
    made = copy_of(desk.store, desk.database, tmp_path)
    bring_back(desk.store, desk.database, made)
    desk.done(Emit(parked.id, "event-1", "go", "{}"))
    again = desk.claim()
    assert [mail.id for mail in again.mail] == ["event-1"]
    assert desk.do(Rescue()) == (again.id,), "the desk's worker has no lease"


# --- SQLite's own


def test_a_backup_never_writes_over_a_file(sqlite_path: Path, tmp_path: Path) -> None:
    store = SqliteStore(sqlite_path)
    store.migrate()
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(Refused, match="exists already"):
        store.backup(there)
    assert there.read_text() == "mine"
    with pytest.raises(StoreUnavailable, match="There is no folder"):
        store.backup(tmp_path / "nowhere" / "copy")
    with pytest.raises(SchemaError, match="There is no database"):
        SqliteStore(tmp_path / "missing").backup(tmp_path / "copy")
    assert not list(tmp_path.glob("*copy*")), "nothing unfinished is left"


def test_what_is_no_backup_leaves_the_database_as_it_was(desk: Desk, tmp_path: Path) -> None:
    if desk.store.dialect != "sqlite":
        with pytest.raises(Refused, match="tools of its own"):
            desk.store.restore(tmp_path / "dump", RESTORE_ID, "")
        with pytest.raises(Refused, match="pg_dump"):
            desk.store.backup(tmp_path / "dump")
        return
    run_id = desk.start()
    torn = tmp_path / "torn"
    torn.write_bytes(b"SQLite format 3\0" + b"\1" * 8000)
    other = tmp_path / "other"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE note (text)")
    for file, words in (
        (torn, "damaged"),
        (other, "no tables of backroom"),
        (Path(desk.database), "the database itself"),
    ):
        with pytest.raises((StoreDamaged, Refused), match=words):
            desk.store.restore(file, RESTORE_ID, "")
    assert desk.claim().id == run_id
    assert not list(tmp_path.glob(".*")), "nothing unfinished is left"
