"""A start in the caller's own transaction: the run is there if and only if their rows are."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from backroom import Backroom, Run, State, errors, wait_for_event
from backroom.flows.flow import AsyncFlow
from tests.flows.callers import ASYNCHRONOUS, SYNCHRONOUS, AsyncCaller, Caller, is_postgres
from tests.flows.house import parked, result, state


class ChangedTheirMind(Exception):
    pass


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    """An application beside a table of the caller's own."""
    made = Backroom(database, poll=0.02)
    execute(database, "CREATE TABLE note (text varchar(20))")
    made.open()
    yield made
    made.close()


@pytest.fixture
def greet(app: Backroom) -> AsyncFlow[[str], str]:
    @app.flow
    async def greet(name: str) -> str:
        return f"hello, {name}"

    return greet


def execute(database: str, statement: str) -> list[tuple[object, ...]]:
    if is_postgres(database):
        with psycopg.connect(database, autocommit=True) as server:
            cursor = server.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        return file.execute(statement).fetchall()


def notes(database: str) -> int:
    return len(execute(database, "SELECT text FROM note"))


def exists(run: Run[str]) -> bool:
    try:
        return bool(run.status().wait())
    except errors.RunNotFound:
        return False


# --- synchronous callers


@pytest.mark.parametrize("caller", SYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_the_run_comes_with_the_callers_commit(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: Caller
) -> None:
    with caller(database) as (on, write):
        write()
        run = greet.using(on=on).start("you")
        assert not exists(run)
    assert notes(database) == 1
    with app.working():
        assert result(run) == "hello, you"


@pytest.mark.parametrize("caller", SYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_the_run_goes_with_the_callers_rollback(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: Caller
) -> None:
    with suppress(ChangedTheirMind), caller(database) as (on, write):
        write()
        run = greet.using(on=on, key="k").start("you")
        raise ChangedTheirMind
    assert notes(database) == 0
    assert not exists(run)
    assert greet.using(key="k").start("you").created


@pytest.mark.parametrize("caller", SYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_the_start_may_be_the_first_thing_in_the_transaction(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: Caller
) -> None:
    with suppress(ChangedTheirMind), caller(database) as (on, write):
        run = greet.using(on=on).start("you")
        write()
        raise ChangedTheirMind
    assert notes(database) == 0
    assert not exists(run)


@pytest.mark.parametrize("caller", SYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_the_run_goes_with_its_savepoint_and_the_rest_stays(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: Caller
) -> None:
    with caller(database) as (on, write):
        write()
        kept = greet.using(on=on).start("you")
        statement(on, "SAVEPOINT inner_one")
        write()
        gone = greet.using(on=on, key="k").start("nobody")
        statement(on, "ROLLBACK TO SAVEPOINT inner_one")
    assert notes(database) == 1
    assert not exists(gone)
    assert greet.using(key="k").start("again").created
    with app.working():
        assert result(kept) == "hello, you"


def statement(on: Any, sql: str) -> None:
    """Perform it on the caller's connection or session."""
    on.execute(sql if isinstance(on, sqlite3.Connection | psycopg.Connection) else text(sql))


# --- asynchronous callers


@pytest.mark.parametrize("caller", ASYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_the_run_comes_with_an_asynchronous_callers_commit(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: AsyncCaller
) -> None:
    async def request() -> Run[str]:
        async with caller(database) as (on, write):
            await write()
            run = await greet.using(on=on).start("you")
            with pytest.raises(errors.RunNotFound):
                await run.status()
        return run

    run = asyncio.run(request())
    assert notes(database) == 1
    with app.working():
        assert result(run) == "hello, you"


@pytest.mark.parametrize("caller", ASYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_the_run_goes_with_an_asynchronous_callers_rollback(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: AsyncCaller
) -> None:
    async def request() -> Run[str]:
        with suppress(ChangedTheirMind):
            async with caller(database) as (on, write):
                run = await greet.using(on=on, key="k").start("you")
                await write()
                raise ChangedTheirMind
        return run

    run = asyncio.run(request())
    assert notes(database) == 0
    assert not exists(run)
    assert greet.using(key="k").start("you").created


@pytest.mark.parametrize("caller", ASYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_many_runs_and_an_event_join_an_asynchronous_transaction(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: AsyncCaller
) -> None:
    @app.flow
    async def listen() -> str:
        return await wait_for_event("word", str)

    listener = listen.start()

    async def request() -> list[Run[str]]:
        async with caller(database) as (on, _):
            prepared = (greet.prepare(name) for name in ("ann", "bob"))
            runs = app.start_many(prepared, on=on)
            for run in runs:
                await run
            assert not app.start_many([], on=on)
            await listener.emit("word", "now", on=on)
            assert not await asyncio.to_thread(exists, runs[0])
        return runs

    with app.working():
        parked(listener)
        runs = asyncio.run(request())
        assert [result(run) for run in runs] == ["hello, ann", "hello, bob"]
        assert result(listener) == "now"


@pytest.mark.parametrize("caller", ASYNCHRONOUS, ids=lambda caller: caller.__name__)
def test_a_refusal_leaves_the_asynchronous_transaction_usable(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caller: AsyncCaller
) -> None:
    async def request() -> None:
        async with caller(database) as (on, write):
            await write()
            ended = app.run("01900000-0000-7000-8000-000000000001")
            with pytest.raises(errors.RunNotFound):
                await ended.emit("word", on=on)

    asyncio.run(request())
    assert notes(database) == 1


def test_a_key_that_is_taken_gives_its_run_to_an_asynchronous_caller(
    app: Backroom, greet: AsyncFlow[[str], str], database: str
) -> None:
    first = greet.using(key="k").start("you")

    async def request() -> Run[str]:
        async with ASYNCHRONOUS[0](database) as (on, _):
            again = greet.using(key="k", on=on).start("you")
            await again
            return await again  # as often as one likes

    again = asyncio.run(request())
    assert (again.id, again.created) == (first.id, False)


def test_a_forgotten_await_on_an_asynchronous_connection_is_told(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def request() -> None:
        async with ASYNCHRONOUS[0](database) as (on, _):
            greet.using(on=on).start("you")
            gc.collect()

    with caplog.at_level(logging.ERROR, "backroom"):
        asyncio.run(request())
    assert "Starting greet was never awaited" in caplog.text
    assert app.office.read(lambda reader: reader.runs()).result() == []


def test_waiting_in_a_thread_for_an_asynchronous_connection_is_refused(
    app: Backroom, greet: AsyncFlow[[str], str], database: str
) -> None:
    async def request() -> None:
        async with ASYNCHRONOUS[0](database) as (on, _):
            run = greet.using(on=on).start("you")
            with pytest.raises(RuntimeError, match="await"):
                run.wait()
            await run
            assert run.wait() is run

    asyncio.run(request())


def test_an_asynchronous_connection_to_elsewhere_is_refused(
    app: Backroom, greet: AsyncFlow[[str], str], database: str, tmp_path: object
) -> None:
    async def request() -> None:
        async with ASYNCHRONOUS[1](f"{tmp_path}/other.db") as (on, _):
            run = greet.using(on=on).start("you")
            with pytest.raises(errors.Refused, match=r"leads to|no psycopg connection"):
                await run

    asyncio.run(request())


def test_an_asynchronous_connection_that_commits_by_itself_is_refused(
    app: Backroom, greet: AsyncFlow[[str], str], database: str
) -> None:
    import aiosqlite

    async def request() -> None:
        if is_postgres(database):
            server = await psycopg.AsyncConnection.connect(database, autocommit=True)
            async with server:
                with pytest.raises(errors.Refused, match="No transaction is open"):
                    await greet.using(on=server).start("you")
                async with server.transaction():
                    await greet.using(on=server).start("you")
        else:
            async with aiosqlite.connect(database, isolation_level=None) as file:
                with pytest.raises(errors.Refused, match="No transaction is open"):
                    await greet.using(on=file).start("you")
                await file.execute("BEGIN IMMEDIATE")
                await greet.using(on=file).start("you")
                await file.commit()

    asyncio.run(request())
    (row,) = app.office.read(lambda reader: reader.runs()).result()
    assert row.state is State.READY


def test_what_is_no_transaction_is_refused(greet: AsyncFlow[[str], str]) -> None:
    with pytest.raises(errors.Refused, match="is not a transaction"):
        greet.using(on="shop.db").start("you")


def test_a_run_that_was_started_aside_can_be_looked_at(
    app: Backroom, greet: AsyncFlow[[str], str], database: str
) -> None:
    """What a handle offers works once the caller has committed."""

    async def request() -> State:
        async with ASYNCHRONOUS[1](database) as (on, _):
            run = await greet.using(on=on, delay=60).start("you")
        return await run.cancel()

    assert asyncio.run(request()) is State.CANCELLED
    (row,) = app.office.read(lambda reader: reader.runs()).result()
    assert state(app.run(row.id)) is State.CANCELLED
