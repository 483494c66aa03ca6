"""A flow that writes what it watches isn't started by itself, and chains come to an end."""

from __future__ import annotations

from typing import Any

import pytest

from backroom import Backroom, Change, State, current_run, step
from backroom.records import limits
from backroom.testing import at_work, eventually
from tests.triggers.conftest import Outsider


@pytest.fixture
def expense(outside: Outsider) -> Outsider:
    outside("CREATE TABLE expense (id integer PRIMARY KEY, status text, amount integer)")
    outside("INSERT INTO expense VALUES (1, 'new', 0), (2, 'new', 0)")
    return outside


@step(transaction=True)
def raise_amount(connection: Any, row: int) -> None:
    connection.execute(f"UPDATE expense SET amount = amount + 1 WHERE id = {row}")


def settled(outside: Outsider) -> bool:
    """Whether every change has become a run or was refused, and every run has ended."""
    app = outside.app
    if app.office.read(lambda reader: reader.any_changes()).result():
        return False
    rows = app.office.read(lambda reader: reader.runs(limit=1_000)).result()
    return bool(rows) and all(row.state is State.SUCCEEDED for row in rows)


def amount(outside: Outsider, row: int = 1) -> int:
    ((found,),) = outside(f"SELECT amount FROM expense WHERE id = {row}")
    return int(found)


def refused(outside: Outsider, trigger: str) -> list[tuple[str, int, str]]:
    firings = outside.app.office.read(lambda reader: reader.firings(trigger)).result()
    return [(firing.outcome, firing.count, firing.path) for firing in firings]


def test_what_a_run_writes_itself_does_not_start_its_flow_again(
    app: Backroom, expense: Outsider
) -> None:
    @app.on_change("expense", update=True)
    @app.flow
    def review(change: Change) -> None:
        raise_amount(change.key["id"])

    app.install_triggers()
    expense("UPDATE expense SET status = 'paid' WHERE id = 1")
    with at_work(app):
        eventually(lambda: settled(expense))
        assert amount(expense) == 1
        # Somebody else's edit of the row that the run has written starts it all the same.
        expense("UPDATE expense SET status = 'gone' WHERE id = 1")
        eventually(lambda: amount(expense) == 2)
        eventually(lambda: settled(expense))
    assert [path for _, _, path in refused(expense, "review")] == ["review → review"] * 2
    assert len(expense.runs()) == 2


def test_an_edit_of_the_same_moment_still_starts_it(app: Backroom, expense: Outsider) -> None:
    """Causes belong to transactions, not to times or rows."""

    @step(transaction=True)
    def both(connection: Any) -> None:
        connection.execute("UPDATE expense SET amount = 10 WHERE id = 1")

    @app.on_change("expense", update=True)
    @app.flow
    def review(change: Change) -> None:
        if change.new and change.new["amount"] == 1:
            both()

    app.install_triggers()
    expense("UPDATE expense SET amount = 1 WHERE id = 1")
    with at_work(app):
        eventually(lambda: amount(expense) == 10)
        expense("UPDATE expense SET amount = 11 WHERE id = 1")
        expense("UPDATE expense SET amount = 5 WHERE id = 2")
        eventually(lambda: len(expense.runs()) == 3 and settled(expense))
    assert [outcome for outcome, _, _ in refused(expense, "review")] == ["own"]


def test_a_trigger_may_ask_for_its_own_writes_and_ends_at_the_limit(
    app: Backroom, expense: Outsider
) -> None:
    @app.on_change("expense", update=True, own_writes=True)
    @app.flow
    def grow(change: Change) -> None:
        raise_amount(change.key["id"])

    app.install_triggers()
    expense("UPDATE expense SET amount = 1 WHERE id = 1")
    with at_work(app):
        eventually(lambda: refused(expense, "grow"))
        eventually(lambda: settled(expense))
    assert amount(expense) == 1 + limits.TRIGGER_DEPTH
    path = " → ".join(["grow"] * (limits.TRIGGER_DEPTH + 1))
    assert refused(expense, "grow") == [("depth", 1, path)]
    runs = expense.runs()
    assert len(runs) == limits.TRIGGER_DEPTH
    assert [run.cause_id for run in runs] == [None, *(run.id for run in runs[:-1])]


@pytest.mark.parametrize("length", [2, 10])
def test_a_circle_of_flows_ends_at_the_limit(app: Backroom, outside: Outsider, length: int) -> None:
    for place in range(length):
        outside(f"CREATE TABLE t{place} (id integer PRIMARY KEY)")

    @step(transaction=True)
    def put(connection: Any, place: int, row: int) -> None:
        connection.execute(f"INSERT INTO t{place} VALUES ({row})")

    def link(place: int) -> None:
        @app.on_change(f"t{place}", insert=True)
        @app.flow(name=f"flow{place}")
        def pass_on(change: Change) -> None:
            put((place + 1) % length, change.key["id"] + 1)

    for place in range(length):
        link(place)
    app.install_triggers()
    outside("INSERT INTO t0 VALUES (1)")
    last = f"flow{limits.TRIGGER_DEPTH % length}"
    with at_work(app):
        eventually(lambda: refused(outside, last))
    ((outcome, count, path),) = refused(outside, last)
    assert (outcome, count) == ("depth", 1)
    assert path.split(" → ") == [f"flow{n % length}" for n in range(limits.TRIGGER_DEPTH + 1)]
    assert len(outside.runs()) == limits.TRIGGER_DEPTH


def test_a_child_belongs_to_the_run_that_started_it(app: Backroom, expense: Outsider) -> None:
    @app.flow
    def child(row: int) -> None:
        raise_amount(row)

    @app.on_change("expense", update=True)
    @app.flow
    def review(change: Change) -> None:
        child(change.key["id"])

    app.install_triggers()
    expense("UPDATE expense SET status = 'paid' WHERE id = 1")
    with at_work(app):
        eventually(lambda: refused(expense, "review"))
        eventually(lambda: settled(expense))
    assert refused(expense, "review") == [("own", 1, "review → child → review")]


def test_a_step_with_a_connection_of_its_own_says_whose_work_it_is(
    app: Backroom, database: str, expense: Outsider
) -> None:
    @step
    def by_hand(row: int) -> None:
        from sqlalchemy import create_engine, text

        address = database.replace("postgresql://", "postgresql+psycopg://")
        if not database.startswith("postgresql"):
            address = f"sqlite:///{database}"
        engine = create_engine(address)
        with engine.begin() as connection, current_run().writing(connection):
            connection.execute(text(f"UPDATE expense SET amount = 1 WHERE id = {row}"))
        with engine.begin() as connection:
            connection.execute(text("UPDATE expense SET status = 'else' WHERE id = 2"))
        engine.dispose()

    @app.on_change("expense", update=True)
    @app.flow
    def review(change: Change) -> None:
        if change.key["id"] == 1:
            by_hand(1)

    app.install_triggers()
    expense("UPDATE expense SET status = 'paid' WHERE id = 1")
    with at_work(app):
        eventually(lambda: refused(expense, "review"))
        eventually(lambda: len(expense.runs()) == 2 and settled(expense))
    assert refused(expense, "review") == [("own", 1, "review → review")]
