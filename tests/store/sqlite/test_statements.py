"""The statements that must stay fast use their index, whatever the number of rows behind."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backroom.store.sqlite.transaction import PACKAGE, sql
from backroom.store.statements import load, names


@pytest.fixture
def connection(sqlite_file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        yield connection


@pytest.mark.parametrize("name", names(PACKAGE))
def test_every_statement_fits_the_schema(connection: sqlite3.Connection, name: str) -> None:
    plan_of(connection, name)


# The inbox is read from its beginning, up to a limit.
WALKING = {
    "any_changes",
    "breakers",
    "changes",
    "hand_all_back",
    "locks",
    "queues",
    "runs",
    "runs_alive",
    "triggers",
}


@pytest.mark.parametrize("name", sorted(set(names(PACKAGE)) - WALKING))
def test_no_statement_walks_a_table_that_grows(connection: sqlite3.Connection, name: str) -> None:
    small = (
        "json_each", "backroom_worker", "backroom_queue", "backroom_schedule", "newest",
        "backroom_audit", "backroom_epoch", "backroom_trigger", "t", "chain",
        "CONSTANT", "f",
        "family", "g", "n", "q", "p",
        "parts", "picked", "s", "stuck", "w", "backroom_clock", "(subquery-2)", "(subquery-3)",
    )  # fmt: skip
    scans = [
        line
        for line in plan_of(connection, name)
        if line.startswith("SCAN") and line.split()[1] not in small
    ]
    assert scans in ([], ["SCAN l USING INDEX backroom_live_held"])


def test_the_due_runs_come_in_order_from_the_index(connection: sqlite3.Connection) -> None:
    plan = plan_of(connection, "due_runs")
    assert any("backroom_live_due (queue=? AND priority=? AND available_at>?" in p for p in plan)
    assert not any("TEMP B-TREE" in line for line in plan)


def test_comments_are_not_sent() -> None:
    assert not any("--" in sql(name) for name in names(PACKAGE))


def test_another_schema_is_quoted() -> None:
    assert load(PACKAGE, "now", "other") == load(PACKAGE, "now")


def plan_of(connection: sqlite3.Connection, name: str) -> list[str]:
    statement = sql(name)
    plain = statement.count("?") - sum(statement.count(f"?{n}") for n in range(1, 10))
    numbered = max([n for n in range(1, 20) if f"?{n}" in statement], default=0)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * (plain or numbered))
    return [row[3] for row in rows]
