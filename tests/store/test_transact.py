"""An author's SQL and a fenced checkpoint in one transaction."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from backroom.records.errors import LeaseLost, OutcomeUnknown, StoreUnavailable, TransactionEnded
from backroom.records.runs import Claimed
from backroom.store.limit import Limit
from backroom.store.postgres.transact import Call
from backroom.store.protocol import Store
from backroom.store.verbs import SaveStep
from tests.store.desk import Desk, step


@pytest.fixture
def side(desk: Desk) -> Desk:
    desk.query("CREATE TABLE side (n integer)")
    return desk


def numbers(desk: Desk) -> list[int]:
    return [row[0] for row in desk.query("SELECT n FROM side ORDER BY n")]


def saving(run: Claimed, address: str = "put#1") -> SaveStep:
    return SaveStep(run.id, run.attempt, step(address))


def test_the_rows_and_the_checkpoint_come_together(side: Desk) -> None:
    run = side.started_and_claimed()

    def body(connection: Any) -> SaveStep:
        connection.execute("INSERT INTO side VALUES (1)")
        assert side.reader.steps(run.id) == []
        assert numbers(side) == []
        return saving(run)

    side.store.transact(body)
    assert [row.address for row in side.reader.steps(run.id)] == ["put#1"]
    assert numbers(side) == [1]


def test_an_old_attempt_writes_neither(side: Desk) -> None:
    old = side.started_and_claimed()
    side.lose(old)

    def body(connection: Any) -> SaveStep:
        connection.execute("INSERT INTO side VALUES (1)")
        return saving(old)

    with pytest.raises(LeaseLost):
        side.store.transact(body)
    assert side.reader.steps(old.id) == []
    assert numbers(side) == []


def test_an_error_of_the_body_comes_out_as_it_is(side: Desk) -> None:
    raised = OSError("mine")

    def body(connection: Any) -> SaveStep:
        connection.execute("INSERT INTO side VALUES (1)")
        raise raised

    with pytest.raises(OSError, match="mine") as caught:
        side.store.transact(body)
    assert caught.value is raised
    assert numbers(side) == []


def test_what_expired_is_not_committed(side: Desk) -> None:
    run = side.started_and_claimed()
    limit = Limit()

    def body(connection: Any) -> SaveStep:
        connection.execute("INSERT INTO side VALUES (1)")
        assert limit.expire()
        return saving(run)

    with pytest.raises(Exception, match="time-out"):
        side.store.transact(body, limit)
    assert numbers(side) == []
    assert side.reader.steps(run.id) == []


def test_what_is_committing_does_not_expire() -> None:
    limit = Limit()
    assert limit.may_commit()
    assert not limit.expire()


def test_a_transaction_that_the_database_itself_rolled_back_is_noticed(side: Desk) -> None:
    run = side.started_and_claimed()

    def body(connection: Any) -> SaveStep:
        if side.store.dialect == "sqlite":
            connection.set_authorizer(None)  # stands for SQLite's own rollback, after a full disk
        connection.execute("ROLLBACK")
        return saving(run)

    with pytest.raises(TransactionEnded):
        side.store.transact(body)
    assert side.reader.steps(run.id) == []


@pytest.mark.parametrize("took", [True, False])
def test_a_commit_of_unknown_outcome_is_looked_up_before_it_is_repeated(
    side: Desk, monkeypatch: pytest.MonkeyPatch, took: bool
) -> None:
    run = side.started_and_claimed()
    bodies: list[int] = []

    def body(connection: Any) -> SaveStep:
        bodies.append(len(bodies))
        connection.execute("INSERT INTO side VALUES (1)")
        return saving(run)

    with monkeypatch.context() as patch:
        break_the_first_commit(side.store, patch, took=took)
        if side.store.dialect == "sqlite" and not took:
            with pytest.raises(OutcomeUnknown):  # the attempt gives the run back
                side.store.transact(body)
        else:
            side.store.transact(body)
    if side.store.dialect == "sqlite" and not took:
        side.store.transact(body)
    assert numbers(side) == [1]
    assert len(bodies) == (1 if took else 2)
    assert [row.address for row in side.reader.steps(run.id)] == ["put#1"]


def break_the_first_commit(store: Store, patch: pytest.MonkeyPatch, *, took: bool) -> None:
    """The connection breaks as the first commit is sent, before or after it took."""
    if store.dialect == "sqlite":
        from backroom.store.sqlite.transact import Transactor

        def commit(self: Transactor, connection: Any) -> None:
            connection.execute("COMMIT" if took else "ROLLBACK")
            raise OutcomeUnknown("the disk failed")

        patch.setattr(Transactor, "_commit", commit)
        return
    whole = Call.perform
    calls: list[Call] = []

    def perform(self: Call) -> None:
        calls.append(self)
        if len(calls) > 1:
            whole(self)
            return
        if took:
            whole(self)
        else:
            with (
                psycopg.connect(side_address(store), autocommit=True) as connection,
                connection.transaction(force_rollback=True),
            ):
                self.inside(connection)
        self.committing = True
        raise psycopg.OperationalError("the connection is lost")

    patch.setattr(Call, "perform", perform)


def side_address(store: Any) -> str:
    address: str = store.address.dsn
    return address


def test_a_connection_that_breaks_inside_keeps_nothing(postgres_dsn: str) -> None:
    from backroom.store.postgres import PostgresStore

    store = PostgresStore(postgres_dsn)
    other = Desk(store, postgres_dsn)
    other.query("CREATE TABLE side (n integer)")
    run = other.started_and_claimed()

    def body(connection: Any) -> SaveStep:
        connection.execute("INSERT INTO side VALUES (1)")
        other.query(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        connection.execute("INSERT INTO side VALUES (2)")
        return saving(run)

    with pytest.raises(StoreUnavailable, match="broke inside"):
        store.transact(body)
    assert numbers(other) == []
    other.close()
    store.close()


def test_an_attempt_that_is_overtaken_inside_writes_neither(postgres_dsn: str) -> None:
    """On SQLite nobody can: the write lock is ours from the first statement on."""
    from backroom.store.postgres import PostgresStore

    store = PostgresStore(postgres_dsn)
    other = Desk(store, postgres_dsn)
    other.query("CREATE TABLE side (n integer)")
    old = other.started_and_claimed()

    def body(connection: Any) -> SaveStep:
        connection.execute("INSERT INTO side VALUES (1)")
        other.lose(old)
        return saving(old)

    with pytest.raises(LeaseLost):
        store.transact(body)
    assert numbers(other) == []
    other.close()
    store.close()
