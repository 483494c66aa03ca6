"""Two applications in one PostgreSQL database, each under a schema of its own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from backroom import Backroom, Run, errors
from tests.flows.house import result


def application(database: str, name: str) -> Backroom:
    app = Backroom(database, schema=name, poll=0.02)

    @app.flow
    async def who() -> str:
        return name

    return app


@pytest.fixture
def shop(postgres_dsn: str) -> Iterator[Backroom]:
    app = application(postgres_dsn, "shop")
    yield app
    app.close()


@pytest.fixture
def books(postgres_dsn: str) -> Iterator[Backroom]:
    app = application(postgres_dsn, "books")
    yield app
    app.close()


def test_their_runs_do_not_meet(shop: Backroom, books: Backroom) -> None:
    """The same flow, the same key: each application's worker performs its own."""
    with shop.working(), books.working():
        mine: list[Run[str]] = [shop.handle("who").using(key="k").start() for _ in range(2)]
        theirs: list[Run[str]] = [books.handle("who").using(key="k").start() for _ in range(2)]
        assert [result(run) for run in (*mine, *theirs)] == ["shop", "shop", "books", "books"]
    assert mine[0].id == mine[1].id != theirs[0].id == theirs[1].id
    with pytest.raises(errors.RunNotFound):
        books.run(mine[0].id).status().wait()


def test_a_worker_of_one_leaves_the_runs_of_the_other_alone(
    shop: Backroom, books: Backroom
) -> None:
    waiting = books.start("who")
    with shop.working():
        assert result(shop.start("who")) == "shop"
    assert waiting.status().wait().attempt == 0


def test_one_transaction_may_carry_starts_of_both(
    shop: Backroom, books: Backroom, postgres_dsn: str
) -> None:
    shop.open()
    books.open()
    with psycopg.connect(postgres_dsn) as connection:
        both = [app.handle("who").using(on=connection).start() for app in (shop, books)]
    with shop.working(), books.working():
        assert [result(run) for run in both] == ["shop", "books"]
    with psycopg.connect(postgres_dsn) as connection:
        lost = [app.handle("who").using(on=connection).start() for app in (shop, books)]
        connection.rollback()
    for run in lost:
        with pytest.raises(errors.RunNotFound):
            run.status().wait()


def test_each_has_its_own_functions_for_sql(
    shop: Backroom, books: Backroom, postgres_dsn: str
) -> None:
    shop.open()
    books.open()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        (row,) = connection.execute("SELECT shop.start('who')::text").fetchall()
    with shop.working():
        assert result(shop.run(row[0])) == "shop"
