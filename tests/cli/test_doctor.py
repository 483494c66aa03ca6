"""`backroom doctor`: what it looks at, and what it says about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backroom import Backroom
from tests.cli import shop
from tests.cli.conftest import Terminal


def findings(backroom: Terminal, *arguments: str) -> dict[str, str]:
    """What is found, and how bad it is."""
    said = backroom("doctor", "--json", *arguments, "--database", backroom.database)
    report: dict[str, Any] = json.loads(said.out)
    found = {finding["what"]: finding["level"] for finding in report["findings"]}
    assert said.code == int("error" in found.values())
    # The tests' server is that careless on purpose.
    return {what: level for what, level in found.items() if not what.startswith("fsync is off")}


def test_a_healthy_set_up(backroom: Terminal, client: Backroom) -> None:
    with client.working():
        shop.ship.start("pen").result().wait(20)
        found = findings(backroom)
    assert "error" not in found.values()
    assert any(what.startswith("1 worker is alive: ") for what in found)


def test_no_worker_is_a_warning(backroom: Terminal, client: Backroom) -> None:
    shop.ship.start("pen")
    found = findings(backroom)
    assert found["No worker is alive, and 1 run is not finished."] == "warning"


def test_work_that_no_worker_serves_is_a_warning(
    backroom: Terminal, client: Backroom, database: str
) -> None:
    other = Backroom(database)

    @other.flow
    async def elsewhere() -> None: ...

    elsewhere.start()
    elsewhere.start()
    elsewhere.using(queue="nobody").start()
    elsewhere.using(delay=60).start()
    other.close()
    with client.working():
        shop.ship.start("pen").result().wait(20)
        found = findings(backroom)
    assert found["2 runs are due of the flow elsewhere, which no worker serves."] == "warning"
    assert found["1 run is due of the queue nobody, which no worker serves."] == "warning"


def test_a_clock_that_is_off_and_a_run_that_waits_long_are_warnings(
    backroom: Terminal, client: Backroom
) -> None:
    shop.ship.start("pen")
    assert findings(backroom)["The database's clock and this machine's agree."] == "ok"
    client.office.store.move_clock(3600 * 1_000_000)
    found = findings(backroom)
    (clock,) = [what for what in found if what.startswith("The database's clock")]
    assert (found[clock], "ahead of this machine's" in clock) == ("warning", True)
    (late,) = [what for what in found if "the oldest for" in what]
    assert (found[late], late.split(", ")[0]) == ("warning", "1 run is due in the queue default")


def test_strict_turns_warnings_into_an_exit_code(backroom: Terminal, client: Backroom) -> None:
    shop.ship.start("pen")
    strict = backroom("doctor", "--strict")
    assert strict.code == 1
    assert "warning  No worker is alive" in strict.out


def test_a_server_is_looked_at_for_vacuum_and_poolers(postgres_dsn: str) -> None:
    backroom = Terminal(postgres_dsn)
    assert backroom("migrate").code == 0
    found = findings(backroom)
    assert found["autovacuum is on."] == "ok"
    assert found["The connection leads to the server itself."] == "ok"


def test_runs_without_their_code_are_a_warning(
    backroom: Terminal, client: Backroom, database: str
) -> None:
    other = Backroom(database)

    @other.flow
    async def removed() -> None: ...

    removed.start()
    removed.start()
    other.close()
    found = findings(backroom, "--app", "tests.cli.shop:app")
    what = "2 unfinished runs of the flow removed, which the application doesn't have."
    assert found[what] == "warning"
    names = sorted(client.flows)
    whole = f"tests.cli.shop:app has {len(names)} flows: {', '.join(names)}."
    assert found[whole] == "ok"
    said = backroom("doctor", "--app", "tests.cli.shop:app", "--database", database)
    assert "aliases=('removed',)" in " ".join(said.out.split())


def test_an_application_that_cannot_be_imported_is_an_error(
    backroom: Terminal, client: Backroom
) -> None:
    said = backroom("doctor", "--app", "nowhere:app", "--database", backroom.database)
    assert said.code == 1
    assert "error    There is no module 'nowhere'" in said.out
    assert "The schema is that of this program" in said.out, "and the rest is looked at as well"


@pytest.mark.blank
def test_a_database_without_tables_is_an_error(backroom: Terminal) -> None:
    said = backroom("doctor")
    assert said.code == 1
    assert "Run `backroom migrate`" in said.out


def test_settings_are_shown_with_where_they_come_from(
    backroom: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.backroom]\nlease = 9.0\nqueues = ['a', 'b']\n")
    monkeypatch.setenv("BACKROOM_GRACE", "3")
    monkeypatch.setenv("BACKROOM_GRAZE", "3")
    out = backroom("doctor", "--database", str(tmp_path / "x.db")).out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert rows["lease"][1:] == ["9.0", str(tmp_path / "pyproject.toml")]
    assert rows["queues"][1:3] == ["a,", "b"]
    assert rows["grace"][1:] == ["3.0", "BACKROOM_GRACE"]
    assert rows["database"][1:] == [str(tmp_path / "x.db"), "argument"]
    assert rows["poll"][1:] == ["0.2", "default"]
    told = " ".join(out.split())  # the lines are as wide as the terminal
    assert "BACKROOM_GRAZE is set but is no setting; the nearest one is BACKROOM_GRACE." in told
