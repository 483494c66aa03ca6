"""Schedules made by plain SQL, and by the command line: both databases, the same words."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from backroom import Backroom, every, wait_for_event
from backroom.cli.program import program
from backroom.schedules.planning import Overlap
from backroom.testing import at_work, eventually
from tests.store.conftest import open_store
from tests.store.desk import Desk


def do(database: str, act: str, *values: str) -> None:
    """One statement of the public interface."""
    columns = {
        "add": ("name", "flow", "calendar"),
        "pause": ("name", "paused_by"),
        "resume": ("name",),
        "remove": ("name",),
    }[act]
    # Twice the braces: what `Desk.query` gets is a template.
    quoted = ", ".join(f"'{value}'" for value in values).replace("{", "{{").replace("}", "}}")
    desk = Desk(open_store(database), database)
    try:
        if desk.store.dialect == "sqlite":
            into = f"backroom_{act}_schedule ({', '.join(columns)})"
            desk.query(f"INSERT INTO {into} VALUES ({quoted})")
        else:
            desk.query(f"SELECT backroom.{act}_schedule({quoted})")
    finally:
        desk.close()
        desk.store.close()


def test_a_schedule_is_added_paused_and_removed_by_sql(database: str) -> None:
    app = Backroom(database)
    seen: list[int] = []

    @app.flow
    async def count() -> None:
        seen.append(1)

    app.open()
    do(database, "add", "hourly", "count", json.dumps({"every": 3600}))
    with at_work(app) as bench:
        eventually(lambda: app.schedules.show("hourly").wait().next)
        bench.move_clock(hours=1)
        eventually(lambda: seen == [1])
        do(database, "pause", "hourly", "Ann")
        assert app.schedules.show("hourly").wait().paused_by == "Ann"
        bench.move_clock(hours=1)
        eventually(lambda: app.schedules.slots("hourly").wait()[0].decision == "skipped")
        do(database, "resume", "hourly")
        do(database, "remove", "hourly")
        bench.move_clock(hours=5)
    assert seen == [1]
    assert app.schedules.show("hourly").wait().retired
    app.close()


def test_a_calendar_that_cannot_be_read_is_told_in_the_row(database: str) -> None:
    app = Backroom(database)

    @app.flow
    async def work() -> None: ...

    app.open()
    do(database, "add", "odd", "work", json.dumps({"cron": "0 0 30 2 *"}))
    with at_work(app):
        eventually(lambda: app.schedules.show("odd").wait().row.error)
    told = app.schedules.show("odd").wait()
    assert "never comes true" in (told.error or "")
    assert told.next == ()
    do(database, "add", "odd", "work", json.dumps({"every": 60}))
    assert app.schedules.show("odd").wait().next != ()
    app.close()


@pytest.mark.parametrize("values", [("1x", "f", "{}"), ("x", "f g", "{}"), ("x", "f", "[]")])
def test_what_would_harm_the_database_is_refused(database: str, values: tuple[str, ...]) -> None:
    Backroom(database).open()
    with pytest.raises(Exception, match=r"can't be|has letters|JSON objects"):
        do(database, "add", *values)


def run(database: str, *words: str) -> str:
    result = CliRunner().invoke(program, ["schedules", *words, "--database", database])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_line_adds_shows_pauses_and_removes(database: str, tmp_path: Path) -> None:
    Backroom(database).open()
    said = run(database, "add", "nightly", "close", "--cron", "30 2 * * *", "--tz", "Asia/Tokyo")
    assert "02:30:00+09:00" in said
    assert "nightly" in run(database, "list")
    assert run(database, "next", "nightly", "--count", "3").count("02:30:00+09:00") == 3
    run(database, "pause", "nightly", "--by", "Ann")
    assert "paused by Ann" in run(database, "show", "nightly")
    told = json.loads(run(database, "show", "nightly", "--json"))
    assert told["calendar"] == {"cron": "30 2 * * *", "tz": "Asia/Tokyo"}
    run(database, "resume", "nightly")
    run(database, "remove", "nightly")
    assert "There are no schedules." in run(database, "list")
    refused = CliRunner().invoke(
        program, ["schedules", "add", "x", "close", "--cron", "0 0 30 2 *", "--database", database]
    )
    assert refused.exit_code == 1
    assert "never comes true" in refused.output


def test_overlaps_are_queued_cancelled_or_skipped(database: str) -> None:
    """One flow by three schedules; its first runs never end by themselves."""
    app = Backroom(database)
    overlaps: tuple[Overlap, ...] = ("queue", "cancel", "skip")

    @app.flow
    async def wait() -> None:
        await wait_for_event("go")

    for overlap in overlaps:
        app.schedule(every(hours=1), name=overlap, overlap=overlap)(wait)

    def decided(name: str) -> int:
        return sum(slot.count for slot in app.schedules.slots(name).wait())

    with at_work(app) as bench:
        bench.move_clock(hours=1)
        eventually(lambda: [decided(name) for name in overlaps] == [1, 1, 1])
        bench.move_clock(hours=1)
        eventually(lambda: [decided(name) for name in overlaps] == [2, 2, 2])
        newest = {name: app.schedules.slots(name).wait() for name in overlaps}
        assert newest["skip"][0].reason == "the run before it has not ended"
        replaced = app.run(newest["cancel"][1].run_id or "")
        eventually(lambda: replaced.status().wait().state == "cancelled")
        second = app.run(newest["queue"][0].run_id or "")
        assert second.status().wait().attempt == 0
        app.run(newest["queue"][1].run_id or "").emit("go", None).wait()
        eventually(lambda: second.status().wait().attempt >= 1)
    app.close()
