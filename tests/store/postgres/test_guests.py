"""Starts and events inside the caller's own transaction, on whatever connection the caller has."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from backroom.records.errors import Refused, RunNotFound
from backroom.records.runs import Started
from backroom.store.postgres import PostgresStore
from tests.postgres import Server, drop_database, fresh_database
from tests.store.desk import Desk


@pytest.fixture
def caller(desk: Desk) -> Iterator[psycopg.Connection]:
    with psycopg.connect(desk.database) as connection:
        yield connection


def test_a_run_exists_if_and_only_if_the_caller_commits(
    desk: Desk, caller: psycopg.Connection
) -> None:
    first, second = desk.new(), desk.new(key="k")
    assert desk.store.start_on(caller, [first]) == [Started(first.id, True)]
    assert desk.reader.run(first.id) is None
    caller.rollback()
    assert desk.reader.run(first.id) is None
    assert desk.store.start_on(caller, [second]) == [Started(second.id, True)]
    desk.store.emit_on(caller, second.id, "event", "go", "{}")
    caller.commit()
    assert desk.row(second.id).key == "k"
    assert [mail.id for mail in desk.reader.mail([second.id])] == ["event"]


def test_the_connection_may_be_of_any_taste(desk: Desk) -> None:
    with psycopg.connect(
        desk.database, row_factory=dict_row, cursor_factory=psycopg.ClientCursor
    ) as connection:
        run = desk.new(key="k")
        assert desk.store.start_on(connection, [run, desk.new(key="k")]) == [
            Started(run.id, True),
            Started(run.id, False),
        ]


def test_a_refusal_leaves_the_callers_transaction_usable(
    desk: Desk, caller: psycopg.Connection
) -> None:
    run = desk.new()
    desk.store.start_on(caller, [run])
    with pytest.raises(RunNotFound):
        desk.store.emit_on(caller, desk.new_id(), "event", "go", "{}")
    caller.commit()
    assert desk.row(run.id).id == run.id


def test_a_connection_that_commits_by_itself_is_refused(
    desk: Desk, caller: psycopg.Connection
) -> None:
    caller.autocommit = True
    with pytest.raises(Refused, match="No transaction is open"):
        desk.store.start_on(caller, [desk.new()])
    with caller.transaction():
        desk.store.start_on(caller, [desk.new()])


def test_a_failed_transaction_is_refused(desk: Desk, caller: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        caller.execute("SELECT 1 / 0")
    with pytest.raises(Refused, match="failed already"):
        desk.store.start_on(caller, [desk.new()])


def test_another_database_is_refused(desk: Desk, postgres: Server) -> None:
    other = fresh_database(postgres)
    migrated = fresh_database(postgres)
    PostgresStore(migrated).migrate()
    for dsn in (other, migrated):
        with (
            psycopg.connect(dsn) as connection,
            pytest.raises(Refused, match="leads to the database"),
        ):
            desk.store.start_on(connection, [desk.new()])
        drop_database(postgres, dsn)


def test_what_is_no_connection_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="no psycopg connection"):
        desk.store.start_on(object(), [desk.new()])
