"""An author's SQL and its checkpoint are committed together, or neither is."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from backroom import Backroom, Retry, State, current_run, errors, step
from backroom.records.errors import InvalidInput, StepFailed
from backroom.testing import at_work
from tests.flows.house import LONG, EvenChance, checkpoints, outcome, result
from tests.flows.side import Side, insert


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, world=EvenChance(), poll=0.02)
    yield made
    made.close()


@pytest.fixture
def side(app: Backroom, database: str) -> Side:
    assert app.office.store.schema_version()
    return Side(database)


def test_a_transaction_step_writes_and_is_kept(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any, n: int) -> int:
        insert(connection, n)
        return 2 * n

    @app.flow
    def both(n: int) -> list[int]:
        return [put(n), put(n=n + 1)]

    with at_work(app):
        run = both.start(4)
        assert result(run) == [8, 10]
        assert checkpoints(app, run) == {"put#1": "done", "put#2": "done"}
    assert side.numbers() == [4, 5]


def test_an_async_flow_sends_it_to_a_thread(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any, n: int) -> int:
        insert(connection, n)
        return n

    @app.flow
    async def two() -> list[int]:
        return [await asyncio.to_thread(put, 1), await asyncio.to_thread(put, 2)]

    with at_work(app):
        assert result(two.start()) == [1, 2]
    assert side.numbers() == [1, 2]


def test_outside_of_a_flow_it_is_the_plain_function(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def double(connection: str, n: int) -> tuple[str, int]:
        return connection, 2 * n

    assert double("mine", 4) == ("mine", 8)


def test_an_error_takes_the_writes_back_and_counts_as_a_try(app: Backroom, side: Side) -> None:
    tries: list[int] = []

    @step(transaction=True, retry=Retry(attempts=3, delay_seconds=0))
    def put(connection: Any, n: int) -> int:
        insert(connection, n)
        tries.append(current_run().tries)
        if len(tries) < 3:
            raise OSError("not yet")
        return n

    @app.flow
    def once() -> int:
        return put(7)

    with at_work(app):
        assert result(once.start()) == 7
    assert tries == [1, 2, 3]
    assert side.numbers() == [7]


def test_a_step_that_fails_for_good_leaves_nothing(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any) -> None:
        insert(connection, 1)
        raise OSError("no")

    @app.flow
    def caught() -> str:
        try:
            put()
        except StepFailed as error:
            return error.message
        return ""

    with at_work(app):
        run = caught.start()
        assert result(run) == "no"
        assert checkpoints(app, run) == {"put#1": "failed"}
    assert side.numbers() == []


def test_the_alternative_has_a_transaction_too(app: Backroom, side: Side) -> None:
    def instead(connection: Any, n: int) -> int:
        insert(connection, n, "instead")
        return -n

    @step(transaction=True, otherwise=instead)
    def put(connection: Any, n: int) -> int:
        insert(connection, n, "first")
        raise OSError("no")

    @app.flow
    def once() -> int:
        return put(3)

    with at_work(app):
        assert result(once.start()) == -3
    assert side.query("SELECT n, who FROM side") == [(3, "instead")]


def test_a_result_that_cannot_be_kept_takes_the_writes_back(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any) -> Any:
        insert(connection, 1)
        return connection

    @app.flow
    def once() -> None:
        put()

    with at_work(app):
        assert outcome(once.start()) is State.FAILED
    assert side.numbers() == []


@pytest.mark.parametrize("how", ["commit()", "rollback()", "COMMIT", "ROLLBACK", "with"])
def test_a_step_that_ends_its_transaction_fails(app: Backroom, side: Side, how: str) -> None:
    tries: list[int] = []

    @step(transaction=True, retry=Retry(attempts=2, delay_seconds=0))
    def put(connection: Any, how: str) -> None:
        tries.append(current_run().tries)
        insert(connection, 1)
        match how:
            case "commit()":
                connection.commit()
            case "rollback()":
                connection.rollback()
            case "with":
                with connection:
                    pass
            case _:
                connection.execute(how)

    @app.flow
    def once(how: str) -> None:
        put(how)

    with at_work(app):
        run = once.start(how)
        assert outcome(run) is State.FAILED
        error = run.status().wait(LONG).error or ""
    refused_by_psycopg = "forbidden within a Transaction context" in error
    assert "TransactionEnded" in error or refused_by_psycopg
    assert len(tries) == (2 if refused_by_psycopg else 1)
    kept = [1] if how == "COMMIT" and side.database.startswith("postgresql") else []
    assert side.numbers() == kept, "PostgreSQL can't be kept from a COMMIT in SQL"


def test_a_time_out_takes_the_writes_back(app: Backroom, side: Side) -> None:
    late = threading.Event()
    tries: list[int] = []

    @step(transaction=True, timeout=0.3, retry=Retry(attempts=2, delay_seconds=0))
    def put(connection: Any, n: int) -> int:
        tries.append(current_run().tries)
        insert(connection, current_run().tries)
        if len(tries) == 1:
            assert late.wait(LONG)
        return n

    @app.flow
    def once() -> int:
        threading.Timer(0.6, late.set).start()
        return put(1)

    with at_work(app):
        assert result(once.start()) == 1
    assert side.numbers() == [2]


def test_a_deferred_constraint_fails_the_step_at_the_commit(app: Backroom, database: str) -> None:
    assert app.office.store.schema_version()
    side = Side(database, create="CREATE TABLE parent (n integer PRIMARY KEY)")
    side.query(
        "CREATE TABLE side (n integer NOT NULL REFERENCES parent (n) DEFERRABLE INITIALLY "
        "DEFERRED, who text)"
    )

    @step(transaction=True)
    def put(connection: Any, n: int) -> int:
        insert(connection, n)
        return n

    @app.flow
    def once() -> int:
        return put(1)

    with at_work(app):
        run = once.start()
        assert outcome(run) is State.FAILED
        assert "oreign" in (run.status().wait(LONG).error or "").lower()
        assert checkpoints(app, run) == {"put#1": "failed"}
    assert side.numbers() == []


def test_a_run_can_be_started_in_the_steps_transaction(app: Backroom, side: Side) -> None:
    @app.flow
    def after(n: int) -> int:
        return n

    @step(transaction=True)
    def put(connection: Any, n: int) -> str:
        insert(connection, n)
        return after.using(on=connection).start(n).id

    @app.flow
    def once() -> str:
        return put(5)

    with at_work(app):
        started = result(once.start())
        assert app.run(started).result().wait(LONG) == 5


def test_the_connection_is_not_among_the_arguments(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any, n: int) -> int:
        return n

    @app.flow
    def wrong() -> int:
        return put(1, 2, 3)  # type: ignore[call-overload, no-any-return]

    with at_work(app):
        run = wrong.start()
        with pytest.raises(errors.RunFailed) as caught:
            result(run)
    assert caught.value.kind == InvalidInput.__name__
    assert "(n: int) -> int" in caught.value.message


def test_a_transaction_step_is_a_def_function_with_a_connection() -> None:
    with pytest.raises(TypeError, match="first parameter takes the connection"):

        @step(transaction=True)
        async def wrong(connection: Any) -> None: ...

    with pytest.raises(TypeError, match="first parameter takes the connection"):
        step(transaction=True, name="put")(lambda: None)  # type: ignore[arg-type, misc]


def test_two_that_lock_in_opposite_order_both_end(postgres_dsn: str) -> None:
    """The deadlock is PostgreSQL's to break; the loser's transaction is made again."""
    app = Backroom(postgres_dsn, poll=0.02)
    assert app.office.store.schema_version()
    side = Side(postgres_dsn)
    side.query("INSERT INTO side (n) VALUES (1), (2)")
    both_hold = threading.Barrier(2)
    bodies: list[int] = []

    @step(transaction=True)
    def touch(connection: psycopg.Connection, first: int, second: int) -> None:
        bodies.append(first)
        connection.execute("UPDATE side SET who = 'x' WHERE n = %s", (first,))
        if len(bodies) <= 2:
            both_hold.wait(LONG)
        connection.execute("UPDATE side SET who = 'x' WHERE n = %s", (second,))

    @app.flow
    def pair(first: int, second: int) -> None:
        touch(first, second)

    with at_work(app):
        runs = [pair.start(1, 2), pair.start(2, 1)]
        assert [outcome(run) for run in runs] == [State.SUCCEEDED, State.SUCCEEDED]
    app.close()
    assert len(bodies) == 3
