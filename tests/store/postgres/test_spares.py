"""Connections of transaction steps: used again, and never with what another step has left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from backroom.records.runs import Claimed
from backroom.store.limit import Limit
from backroom.store.postgres import PostgresStore
from backroom.store.verbs import SaveStep
from tests.store.desk import Desk, step


@pytest.fixture
def desk(postgres_dsn: str) -> Iterator[Desk]:
    with closing(PostgresStore(postgres_dsn)) as store:
        store.migrate()
        with closing(Desk(store, postgres_dsn)) as desk:
            yield desk


class Steps:
    """Performs transaction steps of one run, one after another."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.run: Claimed = desk.started_and_claimed()
        self.performed = 0

    def __call__(self, body: Callable[[Any], object], limit: Limit | None = None) -> int:
        """The server's process that a step with this body has spoken to."""
        pids: list[int] = []
        self.performed += 1
        address = f"put#{self.performed}"

        def whole(connection: Any) -> SaveStep:
            pids.append(connection.info.backend_pid)
            body(connection)
            return SaveStep(self.run.id, self.run.attempt, step(address))

        self.desk.store.transact(whole, limit)
        return pids[-1]


@pytest.fixture
def perform(desk: Desk) -> Steps:
    return Steps(desk)


def nothing(connection: Any) -> None: ...


def test_the_next_step_gets_the_same_session(perform: Steps) -> None:
    assert len({perform(nothing) for _ in range(5)}) == 1


def test_what_a_step_leaves_in_its_session_is_gone(perform: Steps) -> None:
    def mess(connection: Any) -> None:
        connection.execute("SET search_path = pg_catalog")
        connection.execute("CREATE TEMP TABLE left_behind (n int)")
        connection.execute("SELECT pg_advisory_lock(7)")
        connection.execute("PREPARE mine AS SELECT 1")
        connection.execute("LISTEN news")

    def look(connection: Any) -> None:
        path = connection.execute("SHOW search_path").fetchone()
        assert "public" in path[0]
        for query in (
            "SELECT 1 FROM pg_class WHERE relname = 'left_behind'",
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7",
            "SELECT 1 FROM pg_prepared_statements WHERE name = 'mine'",
            "SELECT pg_listening_channels()",
        ):
            assert connection.execute(query).fetchall() == [], query

    assert perform(mess) == perform(look)


def test_what_a_step_sets_on_its_connection_object_is_gone(perform: Steps) -> None:
    kept: list[Any] = []

    def mess(connection: Any) -> None:
        connection.row_factory = dict_row
        connection.prepare_threshold = 0
        connection.adapters.register_loader("int4", psycopg.types.string.TextLoader)
        kept.append(connection)

    def look(connection: Any) -> None:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection is not kept[0]
        assert kept[0].closed

    assert perform(mess) == perform(look)
    with pytest.raises(psycopg.OperationalError):
        kept[0].execute("SELECT 1")


def test_prepared_statements_work_on_after_a_return(perform: Steps) -> None:
    def many(connection: Any) -> None:
        for n in range(10):
            assert connection.execute("SELECT %s::int", (n,)).fetchone() == (n,)

    assert perform(many) == perform(many)


def test_a_failed_step_gives_its_connection_back_too(perform: Steps) -> None:
    first = perform(nothing)
    with pytest.raises(ValueError, match="mine"):
        perform(fail)
    assert perform(nothing) == first


def fail(connection: Any) -> None:
    connection.execute("CREATE TABLE made (n int)")
    raise ValueError("mine")


def test_a_lost_spare_connection_is_replaced_unseen(perform: Steps, postgres_dsn: str) -> None:
    first = perform(nothing)
    with psycopg.connect(postgres_dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    assert perform(nothing) != first


def test_a_spare_connection_that_breaks_at_the_first_word_is_replaced(
    perform: Steps, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = perform(nothing)
    with psycopg.connect(postgres_dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    # Its end hasn't come through the network yet.
    monkeypatch.setattr("backroom.store.postgres.spares.is_dead", lambda connection: False)
    assert perform(nothing) != first


def test_the_connection_of_a_step_that_took_too_long_is_not_used_again(perform: Steps) -> None:
    first = perform(nothing)
    limit = Limit()

    def late(connection: Any) -> None:
        assert limit.expire()

    with pytest.raises(Exception, match="time-out"):
        perform(late, limit)
    assert perform(nothing) != first


def test_a_forked_child_does_not_use_its_parents_connections(perform: Steps) -> None:
    store = perform.desk.store
    assert isinstance(store, PostgresStore)
    first = perform(nothing)
    child = os.fork()
    if child == 0:
        connection, spare = store.transactor.spares.take()
        good = not spare and connection.info.backend_pid != first
        connection.close()
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert perform(nothing) == first


def test_a_closed_store_keeps_none(perform: Steps) -> None:
    store = perform.desk.store
    assert isinstance(store, PostgresStore)
    perform(nothing)
    store.close()
    perform(nothing)
    assert store.transactor.spares.spare == []
