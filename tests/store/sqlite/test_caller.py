"""Starting and emitting on the caller's own sqlite3 connection and transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backroom.records.errors import Refused, RunNotFound, SchemaError, StoreUnavailable
from backroom.records.runs import Started
from backroom.records.states import State
from backroom.store.sqlite import SqliteStore
from backroom.store.verbs import Start
from tests.store.desk import Desk, event


@pytest.fixture
def store(sqlite_file: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(sqlite_file)
    yield store
    store.close()


@pytest.fixture
def desk(store: SqliteStore) -> Iterator[Desk]:
    desk = Desk(store, str(store.path))
    desk.query("CREATE TABLE invoice (id INTEGER PRIMARY KEY)")
    yield desk
    desk.close()


@pytest.fixture
def explicit(desk: Desk) -> Iterator[sqlite3.Connection]:
    """A connection that commits by itself unless told otherwise."""
    with closing(sqlite3.connect(desk.database, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def implicit(desk: Desk) -> Iterator[sqlite3.Connection]:
    """A connection as sqlite3 makes it: a write begins a transaction."""
    with closing(sqlite3.connect(desk.database)) as connection:
        yield connection


def test_the_run_exists_if_the_callers_rows_do(desk: Desk, explicit: sqlite3.Connection) -> None:
    run = desk.new()
    explicit.execute("BEGIN IMMEDIATE")
    explicit.execute("INSERT INTO invoice VALUES (1)")
    assert desk.store.start_on(explicit, [run]) == [Started(run.id, True)]
    assert desk.reader.run(run.id) is None
    explicit.execute("COMMIT")
    assert desk.state(run.id) is State.READY
    assert desk.query("SELECT id FROM invoice") == [(1,)]


def test_the_run_does_not_exist_if_the_caller_rolls_back(
    desk: Desk, explicit: sqlite3.Connection
) -> None:
    run = desk.new(key="k")
    explicit.execute("BEGIN IMMEDIATE")
    desk.store.start_on(explicit, [run])
    explicit.execute("ROLLBACK")
    assert desk.reader.run(run.id) is None
    assert desk.reader.find("flow", "k") is None


def test_a_connection_that_commits_by_itself_is_refused(
    desk: Desk, explicit: sqlite3.Connection
) -> None:
    run = desk.new()
    with pytest.raises(Refused, match="BEGIN IMMEDIATE"):
        desk.store.start_on(explicit, [run])
    assert not explicit.in_transaction
    assert desk.reader.run(run.id) is None


def test_an_implicit_transaction_begins_with_the_start(
    desk: Desk, implicit: sqlite3.Connection
) -> None:
    first, second = desk.new(), desk.new()
    desk.store.start_on(implicit, [first])
    assert implicit.in_transaction
    implicit.execute("INSERT INTO invoice VALUES (1)")
    implicit.rollback()
    assert desk.reader.run(first.id) is None
    with implicit:
        desk.store.start_on(implicit, [second])
    assert desk.state(second.id) is State.READY


def test_an_event_travels_with_the_transaction(desk: Desk, explicit: sqlite3.Connection) -> None:
    run = desk.parked(event("go"))
    explicit.execute("BEGIN IMMEDIATE")
    desk.store.emit_on(explicit, run.id, "event-1", "go", "{}")
    assert desk.reader.mail([run.id]) == []
    explicit.execute("COMMIT")
    assert desk.claim().id == run.id


def test_a_refused_event_leaves_the_transaction_open(
    desk: Desk, explicit: sqlite3.Connection
) -> None:
    explicit.execute("BEGIN IMMEDIATE")
    explicit.execute("INSERT INTO invoice VALUES (1)")
    with pytest.raises(RunNotFound):
        desk.store.emit_on(explicit, "unknown", "event-1", "go", "{}")
    assert explicit.in_transaction
    explicit.execute("COMMIT")
    assert desk.query("SELECT id FROM invoice") == [(1,)]


def test_keys_hold_within_the_callers_transaction(desk: Desk, explicit: sqlite3.Connection) -> None:
    held = desk.start(key="k")
    explicit.execute("BEGIN IMMEDIATE")
    assert desk.store.start_on(explicit, [desk.new(key="k")]) == [Started(held, False)]
    explicit.execute("COMMIT")


def test_factories_of_the_caller_neither_break_us_nor_change(
    desk: Desk, explicit: sqlite3.Connection
) -> None:
    explicit.row_factory = sqlite3.Row
    explicit.text_factory = bytes
    held = desk.start(key="k")
    explicit.execute("BEGIN IMMEDIATE")
    new = desk.new()
    started = desk.store.start_on(explicit, [desk.new(key="k"), new])
    assert started == [Started(held, False), Started(new.id, True)]
    explicit.execute("COMMIT")
    assert explicit.row_factory is sqlite3.Row
    assert explicit.text_factory is bytes
    assert explicit.execute("SELECT 'ü' AS u").fetchone()["u"] == "ü".encode()


def test_another_database_is_refused(desk: Desk, tmp_path: Path) -> None:
    for other in (":memory:", str(tmp_path / "other.db")):
        with (
            closing(sqlite3.connect(other)) as connection,
            pytest.raises(Refused, match="leads to"),
        ):
            desk.store.start_on(connection, [desk.new()])


def test_another_way_to_the_same_file_is_fine(desk: Desk, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(desk.database)
    with closing(sqlite3.connect(link)) as connection, connection:
        run = desk.new()
        desk.store.start_on(connection, [run])
    assert desk.state(run.id) is State.READY


def test_what_is_no_sqlite_connection_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match=r"sqlite3\.Connection"):
        desk.store.start_on(object(), [desk.new()])


def test_read_then_start_after_another_write_names_the_remedy(
    desk: Desk, explicit: sqlite3.Connection
) -> None:
    explicit.execute("BEGIN")
    explicit.execute("SELECT * FROM invoice").fetchall()
    desk.do(Start(desk.new()))
    with pytest.raises(StoreUnavailable, match="BEGIN IMMEDIATE"):
        desk.store.start_on(explicit, [desk.new()])
    explicit.execute("ROLLBACK")


def test_a_file_without_our_tables_names_the_remedy(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "plain.db")
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(SchemaError, match="backroom migrate"):
            store.start_on(connection, [])
        connection.rollback()
