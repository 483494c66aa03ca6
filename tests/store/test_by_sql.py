"""Runs that are started, cancelled and moved by another program's SQL."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backroom.records.queues import QueueRules
from backroom.records.runs import Started, StepRow
from backroom.records.states import State
from backroom.store.postgres import PostgresStore
from backroom.store.sqlite import SqliteStore
from backroom.store.verbs import Attention, Declare, Expire, SaveStep, Start
from tests.store.by_sql import Outsider, outsider
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, child, event

REFUSED = (psycopg.Error, sqlite3.Error)
ID = "01900000-0000-7000-8000-000000000001"


@pytest.fixture
def sql(desk: Desk) -> Iterator[Outsider]:
    with outsider(desk.database) as found:
        yield found


def test_a_run_that_sql_starts_is_claimed_like_any_other(desk: Desk, sql: Outsider) -> None:
    run_id = sql.start("flow", '{"order": 7}')
    run = desk.claim()
    assert (run.id, run.flow, run.input) == (run_id, "flow", '{"order": 7}')
    row = desk.row(run_id)
    assert (row.queue, row.priority, row.key, row.parent_id) == ("default", 5, None, None)


def test_an_input_that_is_left_out_is_empty(desk: Desk, sql: Outsider) -> None:
    sql.start("flow")
    assert desk.claim().input == "{}"


def test_queue_priority_and_time_out_can_be_said(desk: Desk, sql: Outsider) -> None:
    run_id = sql.start("flow", queue="slow", priority=2, timeout_seconds=1.5)
    run = desk.claim(queues=("slow",))
    assert run.id == run_id
    assert run.deadline_at == desk.row(run_id).created_at + 1_500_000
    assert desk.row(run_id).priority == 2


def test_ids_made_in_sql_are_uuids_of_version_7_in_order_of_time(desk: Desk, sql: Outsider) -> None:
    before = time.time_ns() // 1_000_000
    ids = [sql.start("flow", key=f"{n}") for n in range(50)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 50
    for made in ids:
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made
        )
        assert before - 1 <= int(made.replace("-", "")[:12], 16) <= after + 1


def test_the_caller_may_bring_the_id_and_repeat_the_call(desk: Desk, sql: Outsider) -> None:
    assert sql.start("flow", id=ID) == ID
    assert sql.start("flow", id=ID) == ID
    assert [row.id for row in desk.reader.runs()] == [ID]


def test_the_same_key_is_the_same_run_whoever_came_first(desk: Desk, sql: Outsider) -> None:
    held = desk.start(key="ours")
    assert sql.start("flow", key="ours") == held
    theirs = sql.start("flow", key="theirs")
    assert sql.start("flow", key="theirs") == theirs
    assert desk.do(Start(desk.new(key="theirs"))) == Started(theirs, False)
    assert len(desk.reader.runs()) == 2
    assert len(desk.claims().runs) == 2


def test_a_delayed_run_waits_for_its_time(desk: Desk, sql: Outsider) -> None:
    run_id = sql.start("flow", delay_seconds=3600)
    assert desk.state(run_id) is State.SCHEDULED
    assert not desk.claims().runs
    desk.store.move_clock(HOUR + SECOND)
    assert desk.claim().id == run_id


def test_a_time_may_be_given_with_its_zone(desk: Desk, sql: Outsider) -> None:
    run_id = sql.start("flow", at="2030-01-01T12:00:00+02:00")
    assert desk.row(run_id).available_at == 1_893_492_000 * SECOND


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (None, {"flow": "no name"}),
        (None, {"flow": "7up"}),
        (None, {"flow": None}),
        (None, {"queue": "no name"}),
        ("[1]", {}),
        ("{", {}),
        ('{"a": "' + 1_048_577 * "x" + '"}', {}),
        (None, {"key": ""}),
        (None, {"key": 201 * "k"}),
        (None, {"priority": 10}),
        (None, {"delay_seconds": -1}),
        (None, {"delay_seconds": 1e9}),
        (None, {"delay_seconds": 1, "at": "2030-01-01T12:00:00Z"}),
        (None, {"at": "tomorrow or so"}),
        (None, {"timeout_seconds": 0}),
        (None, {"id": "7"}),
        (None, {"expires_seconds": 0}),
        (None, {"partition": "ada"}),
        (None, {"partition": "ada", "queue": "unparted"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_would_do_harm_is_refused_with_nothing_stored(
    desk: Desk, sql: Outsider, data: str | None, fields: dict[str, Any]
) -> None:
    with pytest.raises(REFUSED):
        sql.start(**{"flow": "flow", "data": data, **fields})
    assert not desk.reader.runs()


def test_a_partition_is_heeded(desk: Desk, sql: Outsider) -> None:
    desk.done(Declare(QueueRules("reports", concurrency_per_partition=1)))
    started = [sql.start("flow", queue="reports", partition=name) for name in ("a", "a", "b")]
    claimed = {run.id for run in desk.claims(queues=("reports",)).runs}
    assert len(claimed) == 2  # those of one millisecond have no order
    assert started[2] in claimed
    nobodys = {sql.start("flow", queue="reports") for _ in range(2)}
    (claimed_next,) = desk.claims(queues=("reports",)).runs
    assert claimed_next.id in nobodys
    with pytest.raises(REFUSED):
        sql.start("flow", queue="reports", partition="")


def test_an_expiry_counts_from_when_it_is_due(desk: Desk, sql: Outsider) -> None:
    late = sql.start("flow", delay_seconds=60, expires_seconds=60)
    soon = sql.start("flow", expires_seconds=60)
    desk.store.move_clock(90 * SECOND)
    assert desk.do(Expire()) == 1
    assert desk.row(soon).state is State.CANCELLED
    sql.reschedule(late, 600)
    desk.store.move_clock(630 * SECOND)
    assert desk.do(Expire()) == 0
    desk.store.move_clock(60 * SECOND)
    assert desk.do(Expire()) == 1


def test_a_full_queue_answers_busy(desk: Desk, sql: Outsider) -> None:
    desk.done(Declare(QueueRules("mail", max_waiting=2, concurrency_per_partition=5)))
    first = sql.start("flow", queue="mail", key="k", partition="a")
    sql.start("flow", queue="mail", delay_seconds=60)
    with pytest.raises(REFUSED, match="Busy: the queue"):
        sql.start("flow", queue="mail")
    assert sql.start("flow", queue="mail", key="k") == first
    assert sql.start("flow", queue="mail", id=first) == first
    assert len(desk.reader.runs()) == 2
    forced = sql.start("flow", queue="mail", key="forced", even_if_full=True)
    assert desk.row(forced).state is State.READY
    desk.claims(queues=("mail",))
    sql.start("flow", queue="mail", key="there is room again")


def test_a_rollback_takes_the_run_away(desk: Desk) -> None:
    with outsider(desk.database) as sql:
        sql.connection.execute("BEGIN")
        run_id = sql.start("flow", key="k")
        assert desk.reader.run(run_id) is None
        sql.connection.execute("ROLLBACK")
    assert not desk.reader.runs()
    assert desk.reader.find("flow", "k") is None


# --- cancelling


def test_a_timer_is_moved_and_cancelled_by_sql(desk: Desk, sql: Outsider) -> None:
    run_id = sql.start("flow", delay_seconds=60, timeout_seconds=10)
    sql.reschedule(run_id, 7200)
    desk.store.move_clock(HOUR)
    assert not desk.claims().runs
    sql.cancel(run_id, "no longer needed")
    desk.store.move_clock(2 * HOUR)
    assert not desk.claims().runs
    row = desk.row(run_id)
    assert row.state is State.CANCELLED
    assert "no longer needed" in str(row.error)


def test_a_run_can_be_brought_forward_by_sql_and_its_deadline_comes_along(
    desk: Desk, sql: Outsider
) -> None:
    run_id = sql.start("flow", delay_seconds=3600, timeout_seconds=60)
    sql.reschedule(run_id, 0)
    assert desk.state(run_id) is State.READY
    run = desk.claim()
    assert run.deadline_at is not None
    assert MINUTE - SECOND < run.deadline_at - run.now <= MINUTE


def test_a_run_that_has_begun_is_not_moved(desk: Desk, sql: Outsider) -> None:
    run = desk.started_and_claimed()
    with pytest.raises(REFUSED, match=r"scheduled or ready|rescheduled"):
        sql.reschedule(run.id, 0)


def test_a_running_run_is_asked_to_stop(desk: Desk, sql: Outsider) -> None:
    run = desk.started_and_claimed()
    sql.cancel(run.id, "enough")
    assert desk.state(run.id) is State.RUNNING
    assert desk.reader.cancelled("worker") == [(run.id, "enough")]


def test_a_parked_run_ends_and_wakes_who_waits_for_it(desk: Desk, sql: Outsider) -> None:
    waited_for = desk.parked(event())
    parent = desk.parked(child(waited_for.id))
    sql.cancel(waited_for.id)
    assert desk.state(waited_for.id) is State.CANCELLED
    assert desk.reader.waits(waited_for.id) == []
    assert desk.claim().id == parent.id


def test_a_run_with_undos_is_woken_to_undo(desk: Desk, sql: Outsider) -> None:
    run = desk.started_and_claimed()
    undo = StepRow("undo#1", "charge", "undo", "done")
    desk.done(SaveStep(run.id, run.attempt, undo))
    desk.park(run, event())
    sql.cancel(run.id, "take it back")
    again = desk.claim()
    assert (again.id, again.cancel_reason) == (run.id, "take it back")


def test_a_run_that_is_undone_already_is_left_alone(desk: Desk, sql: Outsider) -> None:
    run = desk.started_and_claimed()
    for kind in ("undo", "rollback"):
        desk.done(SaveStep(run.id, run.attempt, StepRow(kind, "charge", kind, "done")))
    desk.done(Attention(run.id, run.attempt, "{}"))
    before = desk.row(run.id)
    sql.cancel(run.id, "stop")
    assert desk.row(run.id) == before


def test_a_run_with_children_is_woken_to_cancel_them(desk: Desk, sql: Outsider) -> None:
    parent = desk.parked(event())
    desk.start(parent_id=parent.id, delay_us=HOUR)
    sql.cancel(parent.id, "all of you")
    again = desk.claim()
    assert (again.id, again.cancel_reason) == (parent.id, "all of you")


def test_cancelling_what_has_ended_changes_nothing(desk: Desk, sql: Outsider) -> None:
    run_id = desk.settled()
    sql.cancel(run_id)
    assert desk.state(run_id) is State.SUCCEEDED


def test_a_run_that_does_not_exist_is_named(desk: Desk, sql: Outsider) -> None:
    with pytest.raises(REFUSED, match="There is no"):
        sql.cancel(ID)
    with pytest.raises(REFUSED):
        sql.reschedule(ID, 0)


# --- SQLite's own traps


@pytest.fixture
def file_desk(sqlite_file: Path) -> Iterator[Desk]:
    store = SqliteStore(sqlite_file)
    desk = Desk(store, str(sqlite_file))
    yield desk
    desk.close()
    store.close()


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE"])
def test_no_conflict_clause_of_the_caller_replaces_a_run(file_desk: Desk, verb: str) -> None:
    run = file_desk.started_and_claimed(key="k")
    file_desk.query(f"{verb} INTO backroom_start (flow, key) VALUES ('flow', 'k')")
    file_desk.query(f"{verb} INTO backroom_start (flow, id) VALUES ('flow', '{run.id}')")
    assert file_desk.state(run.id) is State.RUNNING
    assert len(file_desk.reader.runs()) == 1


def test_a_trigger_of_the_users_starts_a_run_for_each_of_its_rows(file_desk: Desk) -> None:
    file_desk.query("CREATE TABLE bill (id INTEGER PRIMARY KEY)")
    file_desk.query(
        "CREATE TRIGGER bill_made AFTER INSERT ON bill BEGIN INSERT INTO backroom_start "
        "(flow, input, key) VALUES ('flow', json_object('bill', NEW.id), 'bill ' || NEW.id); END"
    )
    file_desk.query("INSERT INTO bill VALUES (1), (2), (3)")
    file_desk.query("REPLACE INTO bill VALUES (3)")
    inputs = sorted(run.input for run in file_desk.claims().runs)
    assert inputs == [f'{{"bill":{n}}}' for n in (1, 2, 3)]


def test_what_the_caller_inserted_before_is_not_taken_for_a_run(file_desk: Desk) -> None:
    """The number of the row that was inserted last is also one of a run."""
    file_desk.start(key="k")
    with closing(sqlite3.connect(file_desk.database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE bill (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO bill VALUES (1)")
        connection.execute("INSERT INTO backroom_start (flow, key) VALUES ('flow', 'k')")
        assert connection.execute("SELECT last_insert_rowid()").fetchone() == (1,)
    assert len(file_desk.reader.runs()) == 1
    assert len(file_desk.claims().runs) == 1


# --- PostgreSQL's rights


def test_a_role_without_any_other_right_starts_and_cancels(postgres_dsn: str) -> None:
    store = PostgresStore(postgres_dsn)
    desk = Desk(store, postgres_dsn)
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        role = "caller_" + postgres_dsn[-12:]
        admin.execute(f"CREATE ROLE {role}".encode())
        admin.execute(f"GRANT USAGE ON SCHEMA backroom TO {role}".encode())
        admin.execute(f"SET ROLE {role}".encode())
        for call in ("start('flow')", f"cancel('{ID}')", f"reschedule('{ID}')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(f"SELECT backroom.{call}".encode())
        admin.execute("RESET ROLE")
        admin.execute(
            "GRANT EXECUTE ON FUNCTION backroom.start, backroom.cancel, backroom.reschedule "
            f"TO {role}".encode()
        )
        admin.execute(f"SET ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute("SELECT * FROM backroom.run")
        sql = Outsider(admin)
        # Objects of the caller's own, of the same names, are not what the functions use.
        admin.execute("CREATE TEMP TABLE run (id uuid)")
        admin.execute("CREATE FUNCTION pg_temp.length(text) RETURNS int LANGUAGE sql AS 'SELECT 0'")
        admin.execute("SET search_path = pg_temp, pg_catalog")
        first, second = sql.start("flow", '{"a": 1}', key="k"), sql.start("flow", delay_seconds=60)
        sql.reschedule(second, 120)
        sql.cancel(second)
        admin.execute("RESET ROLE")
        assert desk.claim().id == first
        assert desk.state(second) is State.CANCELLED
        admin.execute(f"DROP OWNED BY {role}".encode())
        admin.execute(f"DROP ROLE {role}".encode())
    desk.close()
    store.close()


def test_the_functions_belong_to_their_schema(postgres_dsn: str) -> None:
    store = PostgresStore(postgres_dsn, schema="other_app")
    store.migrate()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        (row,) = connection.execute("SELECT other_app.start('flow')").fetchall()
    reader = store.reader()
    assert [run.id for run in reader.runs()] == [str(row[0])]
    reader.close()
    store.close()
