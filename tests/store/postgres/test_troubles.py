"""What goes wrong between us and the server, and what callers are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from backroom.records.errors import (
    Busy,
    Contended,
    OutcomeUnknown,
    SchemaError,
    StoreError,
    StoreUnavailable,
)
from backroom.records.runs import Started
from backroom.store.postgres import PostgresStore
from backroom.store.verbs import Park, Start
from tests.store.desk import Desk, event
from tests.store.postgres.waiting import until_blocked

KILL_OURS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'backroom'"
)


def test_a_connection_lost_between_two_calls_is_not_noticed_by_callers(desk: Desk) -> None:
    desk.start()
    assert desk.reader.now()
    desk.query(KILL_OURS)
    desk.start()
    assert len(desk.reader.runs()) == 2


def test_a_connection_lost_during_the_commit_leaves_the_outcome_unknown(desk: Desk) -> None:
    run = desk.new(key="k")
    with psycopg.connect(desk.database) as other, ThreadPoolExecutor(1) as thread:
        desk.store.start_on(other, [desk.new(key="k")])
        blocked = thread.submit(desk.session.apply, [Start(run)])
        until_blocked(desk.database)
        desk.query(KILL_OURS + " AND wait_event_type = 'Lock'")
        with pytest.raises(OutcomeUnknown, match="same id"):
            blocked.result()
        other.rollback()
    assert desk.do(Start(run)) == Started(run.id, True)


def test_a_key_that_others_hold_for_long_is_answered_with_busy(
    desk: Desk, postgres_dsn: str
) -> None:
    impatient = PostgresStore(postgres_dsn, lock_timeout_seconds=0.01).session()
    with psycopg.connect(desk.database) as other:
        desk.store.start_on(other, [desk.new(key="k")])
        (answer,) = impatient.apply([Start(desk.new(key="k"))])
        assert isinstance(answer, Busy)
        with pytest.raises(Contended, match="nothing was stored"):
            impatient.apply([Start(desk.new()), Start(desk.new(key="k"))])
    (answer,) = impatient.apply([Start(desk.new(key="k"))])
    assert isinstance(answer, Started)
    impatient.close()


def test_prepared_statements_that_a_pooler_loses_cost_one_retry(desk: Desk) -> None:
    for _ in range(6):
        desk.start()
    connection = desk.session.link.connection()  # type: ignore[attr-defined]  # PostgreSQL's own
    connection.execute("DEALLOCATE ALL", prepare=False)
    for _ in range(6):
        desk.start()
    assert len(desk.reader.runs()) == 12


def test_an_address_where_nobody_answers_is_named() -> None:
    session = PostgresStore("postgresql://nobody@127.0.0.1:1/nothing").session()
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        session.apply([Start(Desk.new(_Ids(), "flow"))])  # type: ignore[arg-type]


class _Ids:
    def new_id(self) -> str:
        return "00000000-0000-0000-0000-000000000001"


def test_a_wrong_password_or_database_is_named(desk: Desk, postgres_dsn: str) -> None:
    parts = urlsplit(postgres_dsn)
    with pytest.raises(StoreUnavailable, match="no such database"):
        PostgresStore(parts._replace(path="/no_such_database").geturl()).schema_version()


def test_missing_tables_are_named_with_their_remedy(desk: Desk, postgres_dsn: str) -> None:
    other = PostgresStore(postgres_dsn, schema="other")
    with pytest.raises(SchemaError, match="backroom migrate"):
        other.check_schema()
    session = other.session()
    with pytest.raises(SchemaError, match="backroom migrate"):
        session.apply([Start(desk.new())])
    session.close()


def test_two_applications_share_a_database_under_two_schemas(desk: Desk, postgres_dsn: str) -> None:
    other = Desk(PostgresStore(postgres_dsn, schema="other_app"), postgres_dsn)
    assert other.store.migrate()
    mine = desk.start(key="k")
    theirs = other.start(key="k")
    assert [row.id for row in desk.reader.runs()] == [mine]
    assert [row.id for row in other.reader.runs()] == [theirs]
    other.close()


def test_a_schema_name_that_would_need_quotes_is_refused() -> None:
    with pytest.raises(ValueError, match="small letters"):
        PostgresStore("", schema='x"; DROP TABLE y')


FORKS = """
import os, sys
from backroom.records.runs import NewRun
from backroom.store.postgres import PostgresStore
from backroom.store.verbs import Park, Start
store = PostgresStore(sys.argv[1])
session = store.session()
def start(number):
    return session.apply([Start(NewRun(f"00000000-0000-0000-0000-{number:012}", "flow"))])
start(1)
child = os.fork()
for number in range(10):
    start(100 * (2 if child else 3) + number)
if child:
    assert os.waitpid(child, 0)[1] == 0
session.close()
"""


def test_a_forked_process_opens_its_own_connection(desk: Desk) -> None:
    program = [sys.executable, "-W", "ignore", "-c", FORKS, desk.database]
    subprocess.run(program, check=True, timeout=30)
    assert len(desk.reader.runs()) == 21


MIGRATES = """
import sys
from backroom.store.postgres import PostgresStore
from backroom.store.postgres import migrate
def stop(*_):
    print("now", flush=True)
    sys.stdin.read()
migrate.in_schema = stop
PostgresStore(sys.argv[1], schema="half").migrate()
"""


def test_a_migration_killed_in_the_middle_leaves_nothing_half_done(
    desk: Desk, postgres_dsn: str
) -> None:
    program = [sys.executable, "-c", MIGRATES, postgres_dsn]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        os.kill(process.pid, signal.SIGKILL)
    half = PostgresStore(postgres_dsn, schema="half")
    assert half.schema_version() is None
    assert half.migrate()
    half.check_schema()


@pytest.mark.parametrize("bad", ["\0", "\ud800"], ids=["NUL", "half a surrogate pair"])
def test_a_text_that_is_none_is_refused_and_harms_nothing(desk: Desk, bad: str) -> None:
    with pytest.raises(StoreError, match="nothing of this batch was stored"):
        desk.session.apply([Start(desk.new()), Start(desk.new(input=bad))])
    desk.start()
    assert len(desk.reader.runs()) == 1


def test_a_migration_elsewhere_costs_prepared_statements_one_retry(desk: Desk) -> None:
    for _ in range(8):
        desk.claims()
    desk.query("ALTER TABLE {b}live ALTER COLUMN failures TYPE bigint")
    run_id = desk.start()
    assert [run.id for run in desk.claims().runs] == [run_id]


def test_the_servers_default_isolation_is_not_ours(desk: Desk, postgres_dsn: str) -> None:
    """An event that comes while a parking run waits for the lock is seen after it."""
    name = urlsplit(postgres_dsn).path.removeprefix("/")
    desk.query(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    run = desk.started_and_claimed()
    session = desk.store.session()
    with psycopg.connect(desk.database) as emitter, ThreadPoolExecutor(1) as thread:
        emitter.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        desk.store.emit_on(emitter, run.id, "event", "go", "{}")
        parking = thread.submit(session.apply, [Park(run.id, run.attempt, (event("go"),))])
        until_blocked(desk.database)
        emitter.commit()
        assert parking.result() == [None]
    session.close()
    assert [claimed.id for claimed in desk.claims().runs] == [run.id]
