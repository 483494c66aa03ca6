"""The plans of our statements don't depend on luck.

A prepared statement keeps its plan, and it may have been made while the tables were empty. So every
statement of a batch is planned here on empty tables, without knowing its values, and must look each
row up by an index or by its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from backroom.store.postgres import PostgresStore
from backroom.store.postgres.claims import lines
from backroom.store.postgres.statement import Sql, number_array, text_array
from tests.postgres import Server, drop_database
from tests.recycling import Stock
from tests.store.desk import Desk

LOOKING_UP = [
    "again", "alone_with_locks", "as_declared", "cancel", "claim", "claim_from_several",
    "claim_ruled",
    "clear_starts", "close_breaker", "consume",
    "count_running", "declare_queue", "drop_other_waits", "emit", "erase", "expire", "hand_back",
    "key_holders", "left_behind", "lock_families", "lock_held", "lock_queues", "lock_runs",
    "locks_held", "locks_of",
    "mail_of", "note_declared", "next_due", "next_due_ruled", "park", "park_waits", "pause_queue",
    "probe", "prune",
    "ready_parted", "release_held", "release_locks", "renew", "reschedule", "resume_queue",
    "revive", "run",
    "save_progress", "save_steps", "save_waits", "set_aside", "settle", "start", "states",
    "steps_of", "strike", "suspects", "take_keys", "waits_of", "wake_after_expiry",
]  # fmt: skip

SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Tid Scan", "Tid Range Scan")

Node = dict[str, Any]


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def scans(plan: Node) -> list[Node]:
    """What is read of tables; of a bitmap's two nodes the one that reads the index."""
    return [
        node
        for node in nodes(plan)
        if node["Node Type"] == "Bitmap Index Scan"
        or ("Relation Name" in node and node["Node Type"] in SCANS)
    ]


def positional(text: str) -> tuple[str, int]:
    """A statement with $1, $2 … for its named values, and how many there are."""
    found: dict[str, str] = {}

    def place(match: re.Match[str]) -> str:
        return found.setdefault(match[1], f"${len(found) + 1}")

    return re.sub(r"%\((\w+)\)s", place, text).replace("%%", "%"), len(found)


@pytest.fixture(scope="module")
def untouched(postgres: Server, stock_of: Callable[[Server], Stock]) -> Iterator[str]:
    """A database that nobody has used: no vacuum has found its tables empty."""
    dsn = stock_of(postgres).new()
    yield dsn
    drop_database(postgres, dsn)


@pytest.mark.parametrize("name", LOOKING_UP)
def test_a_statement_planned_on_empty_tables_looks_rows_up(name: str, untouched: str) -> None:
    sql = Sql("backroom")
    text, count = positional(sql[name])
    with psycopg.connect(untouched) as connection:
        connection.execute(sql["settings"], {"lock_timeout": "0"})
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE it AS {text}".encode())
        nulls = f"({', '.join(['NULL'] * count)})" if count else ""
        row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE it {nulls}".encode()).fetchone()
    assert row is not None
    for scan in scans(row[0][0]["Plan"]):
        by = scan.get("Index Cond") or scan.get("TID Cond")
        assert by, f"a scan of everything: {scan}"


@pytest.mark.parametrize("name", ["claim", "claim_from_several"])
@pytest.mark.parametrize("analysed", [True, False], ids=["analysed", "not analysed"])
def test_a_claim_reads_no_more_than_it_takes(
    name: str, analysed: bool, desk: Desk, store: PostgresStore
) -> None:
    desk.query(
        "INSERT INTO {b}live (id, flow, queue, priority, state, available_at) "
        "SELECT gen_random_uuid(), 'flow', 'default', n % 3, 'ready', n "
        "FROM generate_series(1, 100000) AS n"
    )
    if analysed:
        desk.query("ANALYZE {b}live")
    values = {
        **lines(["default"]),
        "floors": number_array([0] * 10),
        "flows": text_array(["flow"]),
        "limit": 100,
        "worker": "worker",
    }
    with psycopg.connect(desk.database) as connection:
        connection.execute(store.sql["settings"], {"lock_timeout": "0"})
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {store.sql[name]}".encode()
        row = connection.execute(explain, values).fetchone()
        connection.rollback()
    assert row is not None
    plan = row[0][0]["Plan"]
    (due,) = [scan for scan in scans(plan) if scan.get("Index Name") == "live_due"]
    assert due["Actual Rows"] * due["Actual Loops"] <= 3 * 100
    assert not [scan for scan in scans(plan) if scan["Node Type"] == "Seq Scan"]
    assert plan["Actual Rows"] >= 1
