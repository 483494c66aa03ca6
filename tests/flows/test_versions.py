"""Versions of a flow: a run keeps its own, and only a worker that knows it performs it."""

import sqlite3
from contextlib import closing

import pytest

from backroom import Backroom, State, current_run, wait_for_event
from backroom.records.errors import Refused, UnknownFlow
from backroom.testing import at_work
from tests.flows.house import LONG, outcome, parked, result, state
from tests.store.by_sql import outsider


def first(app: Backroom) -> None:
    """The old program."""

    @app.flow(key="order")
    async def ship(order: str) -> str:
        await wait_for_event("go")
        return f"{order} by the first"


def both(app: Backroom) -> None:
    """The new program, which ends what the old one has begun."""

    @app.flow(name="ship", key="order")
    async def ship_1(order: str) -> str:
        await wait_for_event("go")
        return f"{order} by the first, kept"

    @app.flow(version=2, key="order")
    async def ship(order: str, fragile: bool = True) -> str:
        await wait_for_event("go")
        return f"{order} by version {current_run().version} of {current_run().flow}"


def second(app: Backroom) -> None:
    """A newer program, which has dropped the first version."""

    @app.flow(version=2, key="order")
    async def ship(order: str) -> str:
        await wait_for_event("go")
        return f"{order} by the second"


def program(database: str, declare: object) -> Backroom:
    app = Backroom(database, poll=0.02)
    assert callable(declare)
    declare(app)
    return app


def test_a_run_goes_on_with_the_version_that_it_was_started_with(database: str) -> None:
    with closing(program(database, first)) as app, at_work(app):
        old = app.start("ship", order="a")
        parked(old)
    with closing(program(database, both)) as app, at_work(app):
        new = app.start("ship", order="b")
        parked(new)
        for run in (app.run(old.id), new):
            run.emit("go").wait()
        assert result(app.run(old.id)) == "a by the first, kept"
        assert result(new) == "b by version 2 of ship"
        assert app.run(new.id).status().wait().flow == "ship"


def test_a_worker_leaves_a_version_alone_that_it_does_not_know(database: str) -> None:
    with closing(program(database, second)) as newer, closing(program(database, first)) as older:
        old = older.start("ship", order="a")
        new = newer.start("ship", order="b")
        with at_work(older):
            parked(older.run(old.id))
            assert state(older.run(new.id)) is State.READY
            why = older.run(new.id).why().wait(LONG)
            assert (why.reason, why.facts["flow"]) == ("no_worker_for_flow", "ship@2")
        old.emit("go").wait()
        with at_work(newer):
            parked(newer.run(new.id))
            assert state(newer.run(old.id)) is State.READY
            new.emit("go").wait()
            assert result(new) == "b by the second"
        with at_work(older):
            assert result(old) == "a by the first"


def test_the_same_key_is_the_same_run_whatever_the_version(database: str) -> None:
    with closing(program(database, first)) as older, closing(program(database, second)) as newer:
        old = older.start("ship", order="a")
        again = newer.start("ship", order="a")
        assert (again.id, again.created) == (old.id, False)
        with at_work(older):
            parked(old)
            old.emit("go").wait()
            assert result(again) == "a by the first"


def test_a_retried_run_keeps_its_version(database: str) -> None:
    with closing(program(database, both)) as app:
        run = app.start("ship", order="a")
        run.cancel("wait").wait()
        assert outcome(run) is State.CANCELLED
        run.retry().wait()
        run.emit("go").wait()
        with at_work(app):
            assert result(run) == "a by version 2 of ship"


def test_a_run_started_by_sql_is_of_the_version_that_it_names(database: str) -> None:
    with closing(program(database, both)) as app:
        app.open()
        with outsider(database) as outside:
            old = outside.start("ship", '{"order": "a"}')
            new = outside.start("ship", '{"order": "b"}', version=2)
        for run_id in (old, new):
            app.run(run_id).emit("go").wait()
        with at_work(app):
            assert result(app.run(old)) == "a by the first, kept"
            assert result(app.run(new)) == "b by version 2 of ship"
        with outsider(database) as outside, pytest.raises(Exception, match="version"):
            outside.start("ship", '{"order": "c"}', version=0)


def test_the_version_is_shown_in_the_public_view(database: str) -> None:
    with closing(program(database, second)) as app:
        app.start("ship", order="a")
        with outsider(database) as outside:
            mine = isinstance(outside.connection, sqlite3.Connection)
            view = "backroom_runs" if mine else "backroom.runs"
            found = outside.connection.execute(f"SELECT flow, version FROM {view}")
            assert found.fetchall() == [("ship", 2)]


def test_a_renamed_flow_answers_to_its_former_name_in_its_version(database: str) -> None:
    def renamed(app: Backroom) -> None:
        @app.flow(name="send", aliases=("ship",), version=2)
        async def anything(order: str) -> str:
            await wait_for_event("go")
            return f"{order} was sent"

    with closing(program(database, second)) as older, closing(program(database, renamed)) as newer:
        run = older.start("ship", order="a")
        with at_work(newer):
            parked(run)
            run.emit("go").wait()
            assert result(run) == "a was sent"
        assert newer.handle("ship").name == "send"


def test_versions_share_the_limit_of_their_flow(database: str) -> None:
    with closing(Backroom(database)) as app:

        @app.flow(name="ship", concurrency=3)
        async def ship_1() -> None: ...

        @app.flow(version=2, concurrency=3)
        async def ship() -> None: ...

        runs = [ship_1.start(), ship.start()]
        with at_work(app):
            assert [result(run) for run in runs] == [None, None]
        with pytest.raises(Refused, match="one queue"):
            app.flow(name="ship", version=3, concurrency=4)(ship_1.spec.function)


def test_one_version_can_be_declared_once(database: str) -> None:
    app = program(database, both)
    with pytest.raises(Refused, match="Two flows are called 'ship@2'"):
        second(app)


@pytest.mark.parametrize("version", [0, -1, 1.5, "2", True, 10**9 + 1])
def test_what_is_no_version_is_refused(version: int) -> None:
    with pytest.raises(Refused, match="can't be"):
        Backroom(":memory:").flow(version=version)


def test_an_unknown_flow_names_the_known_ones(database: str) -> None:
    with pytest.raises(UnknownFlow, match="ship, ship@2"):
        program(database, both).handle("nothing")
