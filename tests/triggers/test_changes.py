"""Rows that start flows when they change, whoever changes them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backroom import Backroom, BackroomError, Change
from backroom.testing import at_work, eventually
from tests.triggers.conftest import Outsider

Declare = Callable[..., None]


@pytest.fixture
def expense(outside: Outsider) -> Outsider:
    outside("CREATE TABLE expense (id integer PRIMARY KEY, status text, amount integer)")
    return outside


@pytest.fixture
def watch(app: Backroom) -> Declare:
    """Declare a flow `review` with these triggers on it, and install them."""

    def declare(table: Any = "expense", **given: Any) -> None:
        @app.on_change(table, **given)
        @app.flow
        async def review(change: Change) -> None: ...

        app.install_triggers()

    return declare


def short(changes: list[Any]) -> list[tuple[Any, ...]]:
    return [(c.operation, c.key["id"], c.old and c.old["status"], c.new and c.new["status"])
            for c in changes]  # fmt: skip


# --- from any client, in its own transaction


@pytest.mark.parametrize("how", ["insert", "update", "delete"])
def test_a_change_by_any_client_starts_the_flow(
    app: Backroom, database: str, expense: Outsider, how: str
) -> None:
    performed = []

    @app.on_change("expense", **{how: True})  # type: ignore[arg-type]  # one of three names
    @app.flow
    async def review(change: Change) -> str:
        performed.append(change)
        return change.operation

    app.install_triggers()
    with at_work(app):
        for statement in (
            "INSERT INTO expense VALUES (7, 'new', 150)",
            "UPDATE expense SET status = 'paid'",
            "DELETE FROM expense",
        ):
            shell(database, statement)
        (change,) = eventually(lambda: performed)
    assert (change.table, change.operation, change.key) == ("expense", how, {"id": 7})
    old = {"insert": None, "update": "new", "delete": "paid"}[how]
    assert (change.old and change.old["status"]) == old
    assert abs(change.at - datetime.now(UTC)) < timedelta(minutes=5)


def shell(database: str, statement: str) -> None:
    """Another program: the database's own terminal."""
    program = "psql" if database.startswith("postgresql") else "sqlite3"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if program == "psql":
        words = [program, "-q", "-c", statement, database]
    else:
        words = [program, "-cmd", ".timeout 30000", database, statement]
    subprocess.run(words, check=True, timeout=30)


def test_nothing_is_missed_while_no_worker_runs(expense: Outsider, watch: Declare) -> None:
    watch()
    expense("INSERT INTO expense VALUES (1, 'new', 1), (2, 'new', 2)")
    expense("UPDATE expense SET status = 'paid' WHERE id = 2")
    expense("DELETE FROM expense WHERE id = 2")
    assert sorted(short(expense.changes())) == sorted([
        ("insert", 1, None, "new"), ("insert", 2, None, "new"), ("update", 2, "new", "paid"),
        ("delete", 2, "paid", None),
    ])  # fmt: skip


def test_a_write_that_is_rolled_back_starts_nothing(expense: Outsider, watch: Declare) -> None:
    watch()
    expense("BEGIN")
    expense("INSERT INTO expense VALUES (1, 'new', 1)")
    expense("ROLLBACK")
    assert expense.changes() == []


def test_a_late_commit_is_not_passed_by(
    app: Backroom, database: str, expense: Outsider, watch: Declare
) -> None:
    """Its place in the order is before that of what was read already."""
    if expense.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    import psycopg

    watch()
    with psycopg.connect(database) as slow:
        slow.execute("INSERT INTO expense VALUES (1, 'slow', 1)")
        expense("INSERT INTO expense VALUES (2, 'quick', 1)")
        assert [c.key["id"] for c in expense.changes()] == [2]
    assert [c.key["id"] for c in expense.changes()] == [2, 1]


# --- which changes count


def test_only_real_changes_of_the_named_columns_count(expense: Outsider, watch: Declare) -> None:
    watch(columns=["status"])
    expense("INSERT INTO expense VALUES (1, NULL, 1)")
    expense("UPDATE expense SET amount = 2")
    expense("UPDATE expense SET status = status")
    expense("UPDATE expense SET status = 'paid', amount = 3")
    expense("UPDATE expense SET status = 'paid'")
    expense("UPDATE expense SET status = 'PAID'")
    assert short(expense.changes()) == [
        ("update", 1, None, "paid"), ("update", 1, "paid", "PAID"),
    ]  # fmt: skip


def test_an_update_that_changes_nothing_counts_for_nothing(
    expense: Outsider, watch: Declare
) -> None:
    watch(update=True)
    expense("INSERT INTO expense VALUES (1, 'new', NULL)")
    expense("UPDATE expense SET status = 'new', amount = NULL")
    expense("UPDATE expense SET amount = 5")
    assert short(expense.changes()) == [("update", 1, "new", "new")]


def test_a_change_that_fails_the_condition_costs_no_run(expense: Outsider, watch: Declare) -> None:
    watch(when="new.amount > 100 AND old.status IS DISTINCT FROM new.status")
    expense("INSERT INTO expense VALUES (1, 'new', 150), (2, 'new', 5), (3, 'new', NULL)")
    expense("UPDATE expense SET status = 'paid'")
    expense("UPDATE expense SET amount = 1000")
    expense("DELETE FROM expense")
    assert short(expense.changes()) == [("insert", 1, None, "new"), ("update", 1, "new", "paid")]


@pytest.mark.parametrize(
    ("when", "ids"),
    [
        ("new.status LIKE 'a%'", [1]),
        ("new.status ILIKE 'a%'", [1, 2]),
        ("new.status NOT LIKE '_b*'", [1, 2, 4]),
        ("new.status IN ('A1', 'xb*')", [2, 3]),
        ("new.amount BETWEEN 1 AND 2", [1, 2]),
        ("new.amount * 2 - 1 >= 5", [3]),
        ("coalesce(new.amount, 0) = 0 OR abs(new.amount - 3) = 0", [3, 4]),
        ("CASE WHEN new.amount > 1 THEN new.status END IS NOT NULL", [2, 3]),
        ("lower(new.status) = 'a1'", [1, 2]),
        ("length(new.status) = 3 AND NOT new.amount IS NULL", [3]),
        ("New.Amount > 9223372036854775806 + 1 OR new.amount * 9223372036854775807 > 0", [1, 2, 3]),
        ("nullif(new.status, 'a1') IS NULL", [1]),
        ("new.status = 'it''s' AND TRUE", [4]),
        ("-new.amount > -2", [1]),
    ],
)
def test_conditions_mean_the_same_on_both_databases(
    expense: Outsider, watch: Declare, when: str, ids: list[int]
) -> None:
    watch(insert=True, when=when)
    expense("INSERT INTO expense VALUES (1, 'a1', 1), (2, 'A1', 2), (3, 'xb*', 3)")
    expense("INSERT INTO expense VALUES (4, 'it''s', NULL)")
    assert sorted(change.key["id"] for change in expense.changes()) == ids


def test_a_flow_is_given_the_columns_it_asks_for(expense: Outsider, watch: Declare) -> None:
    watch(insert=True, carry=["amount"])
    expense("INSERT INTO expense VALUES (1, 'new', 5)")
    assert [change.new for change in expense.changes()] == [{"id": 1, "amount": 5}]


def test_a_flow_may_have_many_triggers(app: Backroom, expense: Outsider) -> None:
    @app.on_change("expense", insert=True, when="new.amount > 100", name="big")
    @app.on_change("expense", delete=True, name="gone")
    @app.flow
    async def review(change: Change) -> None: ...

    @app.on_change("expense", insert=True)
    @app.flow
    async def count(change: Change) -> None: ...

    app.install_triggers()
    expense("INSERT INTO expense VALUES (1, 'new', 500)")
    expense("DELETE FROM expense")
    assert sorted(run.flow for run in expense.runs()) == ["count", "review", "review"]


# --- typed


@dataclass
class Expense:
    id: int
    status: str
    amount: Decimal


def test_a_typed_change_has_rows_of_that_type(app: Backroom, expense: Outsider) -> None:
    @app.on_change("expense", insert=True)
    @app.flow
    async def review(change: Change[Expense]) -> None: ...

    app.install_triggers()
    expense("INSERT INTO expense VALUES (1, 'new', 5)")
    (change,) = expense.changes()
    assert change.new == Expense(1, "new", Decimal(5))


def test_a_table_can_be_named_by_its_model(expense: Outsider, watch: Declare) -> None:
    class Base(DeclarativeBase):
        pass

    class Expense(Base):
        __tablename__ = "expense"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str] = mapped_column("status")

    watch(Expense, columns=[Expense.state])
    expense("INSERT INTO expense VALUES (1, 'new', 5)")
    expense("UPDATE expense SET status = 'paid'")
    assert short(expense.changes()) == [("update", 1, "new", "paid")]


# --- the runs of one row


def test_runs_of_one_row_come_one_after_another_in_the_order_of_its_changes(
    app: Backroom, expense: Outsider
) -> None:
    performed: dict[int, list[Any]] = {}
    busy: set[int] = set()

    @app.on_change("expense", update=True)
    @app.flow
    async def review(change: Change) -> None:
        assert change.new
        row, amount = change.key["id"], change.new["amount"]
        assert row not in busy
        busy.add(row)
        performed.setdefault(row, []).append((change.old and change.old["amount"], amount))
        busy.remove(row)
        if amount == 3:
            raise ValueError("this one fails, and the next one goes on")

    app.install_triggers()
    expense("INSERT INTO expense VALUES (1, 'new', 0), (2, 'new', 0)")
    for _ in range(6):
        expense("UPDATE expense SET amount = amount + 1")
    with at_work(app):
        eventually(lambda: sum(map(len, performed.values())) == 12)
    steps = [(n, n + 1) for n in range(6)]
    assert performed == {1: steps, 2: steps}


def test_a_hundred_updates_of_a_row_become_one_run(expense: Outsider, watch: Declare) -> None:
    watch(update=True, coalesce=True)
    expense("INSERT INTO expense VALUES (1, 'new', 0), (2, 'new', 0)")
    for turn in range(100):
        expense("UPDATE expense SET amount = amount + 1 WHERE id = 1")
        if turn % 40 == 0:
            expense.fire()  # a worker looks while they come in
    expense("UPDATE expense SET amount = 7 WHERE id = 2")
    changes = {c.key["id"]: (c.old["amount"], c.new["amount"]) for c in expense.changes()}
    assert changes == {1: (0, 100), 2: (0, 7)}
    assert len(expense.runs()) == 2
    (row,) = expense.app.office.read(lambda reader: reader.triggers()).result()
    assert (row.started, row.merged, row.pending) == (2, 99, 0)


def test_what_was_made_and_removed_again_is_two_things(expense: Outsider, watch: Declare) -> None:
    watch(coalesce=True)
    expense("INSERT INTO expense VALUES (1, 'new', 0)")
    expense("UPDATE expense SET status = 'paid'")
    expense("DELETE FROM expense")
    expense("INSERT INTO expense VALUES (1, 'again', 0)")
    assert short(expense.changes()) == [
        ("insert", 1, None, "paid"), ("delete", 1, "paid", None), ("insert", 1, None, "again"),
    ]  # fmt: skip


# --- pausing


def test_a_paused_trigger_loses_nothing(app: Backroom, expense: Outsider, watch: Declare) -> None:
    from backroom.store.verbs import PauseTrigger

    watch(update=True)
    expense("INSERT INTO expense VALUES (1, 'new', 0)")
    assert app.office.doors.call(PauseTrigger("review", False, "Ann")) is True
    for _ in range(3):
        expense("UPDATE expense SET amount = amount + 1")
        assert expense.fire() == 0
    (row,) = app.office.read(lambda reader: reader.triggers()).result()
    assert (row.paused_by, row.pending) == ("Ann", 3)
    assert app.office.doors.call(PauseTrigger("review", True)) is True
    expense("UPDATE expense SET amount = amount + 1")
    assert [change.new["amount"] for change in expense.changes()] == [1, 2, 3, 4]
    assert app.office.doors.call(PauseTrigger("nobody")) is False


# --- what is refused


@pytest.mark.parametrize(
    "when",
    [
        "amount > 1", "new.amount / 2 > 1", "new.amount = (SELECT 1)", "pg_sleep(1) IS NULL",
        "new.amount > 1; DROP TABLE expense", "new.status LIKE old.status", "new.amount::int > 1",
        "EXISTS (SELECT 1)", "new.status ~ 'x'", "new.* = 1", "random() > new.amount", "SELECT 1",
        "new.amount BETWEEN SYMMETRIC 2 AND 1", "load_extension('x') IS NULL", "", "new.a > $1",
        "new.amount > current_user", "CAST(new.amount AS text) = '1'", "public.new.amount > 1",
    ],
)  # fmt: skip
def test_a_condition_that_could_do_more_than_compare_is_refused(
    sqlite_app: Backroom, when: str
) -> None:
    with pytest.raises(BackroomError):

        @sqlite_app.on_change("expense", when=when)
        @sqlite_app.flow
        async def review(change: Change) -> None: ...


def test_a_condition_that_does_not_fit_the_table_is_refused_when_it_is_installed(
    expense: Outsider, watch: Declare
) -> None:
    with pytest.raises(BackroomError, match="no_such"):
        watch(when="new.no_such > 1")
    assert expense.app.office.read(lambda reader: reader.triggers()).result() == []


def test_a_condition_of_the_wrong_type_is_refused(expense: Outsider, watch: Declare) -> None:
    if expense.is_sqlite:
        pytest.skip("SQLite compares anything with anything")
    with pytest.raises(BackroomError, match="doesn't fit the table"):
        watch(when="new.amount = 'abc'")


def test_a_flow_that_cannot_be_given_a_change_is_refused(sqlite_app: Backroom) -> None:
    app = sqlite_app

    @app.flow
    async def nothing() -> None: ...

    @app.flow
    async def two(a: int, b: int) -> None: ...

    @app.flow(key="change.key")
    async def keyed(change: Change) -> None: ...

    for flow in (nothing, two, keyed):
        with pytest.raises(BackroomError):
            app.on_change("expense")(flow)
    with pytest.raises(BackroomError, match="takes a flow"):
        app.on_change("expense")(lambda change: None)
    with pytest.raises(BackroomError, match="only an update changes a column"):
        app.on_change("expense", insert=True, columns=["a"])(two)


def test_two_triggers_need_two_names(sqlite_app: Backroom) -> None:
    @sqlite_app.flow
    async def review(change: Change) -> None: ...

    sqlite_app.on_change("expense")(review)
    with pytest.raises(BackroomError, match="Two triggers are called 'review'"):
        sqlite_app.on_change("expense")(review)
