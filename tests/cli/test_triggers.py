"""`backroom triggers`, and what `doctor` says about them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from backroom import Backroom
from backroom.store.verbs import Fire
from tests.cli import watched
from tests.cli.conftest import Terminal

APP = ("--app", "tests.cli.watched:app")


@pytest.fixture
def client(database: str) -> Iterator[Backroom]:
    watched.app.close()
    watched.app.override(database=database, migrate="auto")
    write(database, "CREATE TABLE expense (id integer PRIMARY KEY, amount integer)")
    yield watched.app
    watched.app.close()


@pytest.fixture
def installed(backroom: Terminal, client: Backroom) -> Backroom:
    assert backroom("triggers", "install", *APP).code == 0
    return client


def write(database: str, *statements: str) -> None:
    if database.startswith("postgresql"):
        with psycopg.connect(database, autocommit=True) as server:
            for statement in statements:
                server.execute(statement.encode())
        return
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        for statement in statements:
            file.execute(statement)


def status(backroom: Terminal) -> dict[str, Any]:
    return {row["name"]: row for row in backroom("triggers", "status", "--json", *APP).json()}


def test_a_dry_run_shows_the_sql_and_does_nothing(backroom: Terminal, client: Backroom) -> None:
    said = backroom("triggers", "install", "--dry-run", *APP)
    assert said.code == 0, said.err
    assert "CREATE TRIGGER" in said.out
    assert "-- review: would be installed; it is not installed." in said.out
    assert {row["installed"] for row in status(backroom).values()} == {False}


def test_install_says_what_it_did_and_does_it_once(backroom: Terminal, client: Backroom) -> None:
    said = backroom("triggers", "install", *APP)
    assert said.out.splitlines() == [
        "every: installed; it is not installed.", "review: installed; it is not installed.",
    ]  # fmt: skip
    said = backroom("triggers", "install", *APP)
    assert said.out.splitlines() == ["every: as declared.", "review: as declared."]


def test_status_counts_and_sees_what_differs(
    backroom: Terminal, installed: Backroom, database: str
) -> None:
    write(
        database, "INSERT INTO expense VALUES (1, 1)", "UPDATE expense SET amount = 5",
        "UPDATE expense SET amount = 500",
    )  # fmt: skip
    assert status(backroom)["review"]["pending"] == 1
    installed.office.doors.call(Fire())
    rows = status(backroom)
    assert [(rows[n]["started"], rows[n]["pending"], rows[n]["differs"]) for n in rows] == [
        (2, 0, None), (1, 0, None)
    ]  # fmt: skip
    write(
        database,
        "DROP TABLE expense",
        "CREATE TABLE expense (id integer PRIMARY KEY, amount integer)",
    )
    assert "missing" in status(backroom)["review"]["differs"]
    said = backroom("triggers", "status", *APP)
    assert said.out.splitlines()[0].split()[:3] == ["TRIGGER", "TABLE", "FLOW"]
    assert "missing" in said.out
    write(database, "DROP TABLE expense")
    assert "isn't there" in status(backroom)["review"]["differs"]


def test_pause_resume_and_why(backroom: Terminal, installed: Backroom, database: str) -> None:
    said = backroom("triggers", "pause", "review", "--by", "Ann", *APP)
    assert said.out == "review is paused. Go on with: backroom triggers resume review\n"
    write(database, "INSERT INTO expense VALUES (1, 1)", "UPDATE expense SET amount = 500")
    said = backroom("triggers", "why", "review", *APP)
    assert "It is paused by Ann. Go on with: backroom triggers resume review" in said.out
    assert "1 change waits, but no worker is alive" in said.out
    assert "A change starts a run only where: new.amount > 100" in said.out
    assert backroom("triggers", "resume", "review", *APP).out == "review goes on.\n"
    installed.office.doors.call(Fire())
    assert "Nothing stands in the way" in backroom("triggers", "why", "review", *APP).out
    assert "not installed" in backroom("triggers", "why", "nobody", *APP).out


def test_why_names_the_changes_of_runs_that_were_refused(
    backroom: Terminal, installed: Backroom, database: str
) -> None:
    cause = watched.review.start({"table": "expense", "operation": "insert", "key": {}, "old": None,
                                  "new": None, "at": "2026-01-01T00:00:00Z"})  # type: ignore[arg-type]  # fmt: skip
    write(database, "INSERT INTO expense VALUES (1, 1)")
    if database.startswith("postgresql"):
        with psycopg.connect(database) as server:
            server.execute("SELECT set_config('backroom.cause', %s, true)", (cause.id,))
            server.execute("UPDATE expense SET amount = 500")
    else:
        with closing(sqlite3.connect(database)) as file, file:
            file.execute("INSERT INTO backroom_cause VALUES (?)", (cause.id,))
            file.execute("UPDATE expense SET amount = 500")
            file.execute("DELETE FROM backroom_cause")
    installed.office.doors.call(Fire())
    installed.close()
    said = backroom("triggers", "why", "review", *APP)
    assert f"1 change by run {cause.id} of the flow itself (review → review)" in said.out
    (refused,) = backroom("triggers", "why", "review", "--json", *APP).json()["refused"]
    assert (refused["outcome"], refused["cause_id"]) == ("own", cause.id)
    assert json.loads(refused["key"]) == {"id": 1}
    assert backroom("triggers", "why", "every", "--json", *APP).json()["refused"] == []


def test_remove_takes_care_of_what_waits(
    backroom: Terminal, installed: Backroom, database: str
) -> None:
    write(database, "INSERT INTO expense VALUES (1, 1)", "UPDATE expense SET amount = 500")
    said = backroom("triggers", "remove", "review", *APP)
    assert said.code == 1
    assert "1 change of review would be lost that is no run yet" in said.err
    assert "DROP TRIGGER" in backroom("triggers", "remove", "review", "--dry-run", *APP).out
    assert backroom("triggers", "remove", "review", "--discard", *APP).out == "review is removed.\n"
    assert backroom("triggers", "remove", "review", *APP).code == 1
    write(database, "UPDATE expense SET amount = 600")
    assert not status(backroom)["review"]["installed"]


def test_doctor_sees_what_is_not_as_declared(
    backroom: Terminal, client: Backroom, database: str
) -> None:
    def findings() -> dict[str, str]:
        said = backroom("doctor", "--json", "--database", database, *APP)
        return {found["what"]: found["level"] for found in json.loads(said.out)["findings"]}

    what = "The trigger review is not as declared: it is not installed."
    assert findings()[what] == "error"
    backroom("triggers", "install", *APP)
    assert findings()["2 triggers on tables: every, review."] == "ok"
    write(database, "INSERT INTO expense VALUES (1, 1)", "UPDATE expense SET amount = 500")
    client.office.store.move_clock(600_000_000)
    found = findings()
    assert found["1 change of the trigger review, not runs yet for long."] == "warning"
