"""`backroom backup` and `backroom restore`, while programs use the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backroom import Backroom, State, step
from backroom.testing import eventually
from tests.cli.conftest import Terminal
from tests.flows.house import LONG, result
from tests.store.copies import bring_back, copy_of

calls: list[str] = []
gate = threading.Event()


@step
def knock(who: str) -> str:
    calls.append(who)
    if len(calls) == 1:
        gate.wait(LONG)
    return f"{who} at call {len(calls)}"


def declared(database: str) -> Backroom:
    app = Backroom(database, poll=0.02, lease=1.0)

    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    @app.flow
    def visit(who: str) -> str:
        return knock(who)

    return app


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    app = declared(database)
    yield app
    app.close()


def test_everything_accepted_before_the_backup_is_there_and_ends(
    app: Backroom, database: str, tmp_path: Path
) -> None:
    """Workers and starts go on while the backup is made; then it is brought back."""
    double = app.handle("double")
    accepted: list[str] = []
    stop = threading.Event()

    def start() -> None:
        while not stop.is_set():
            runs = app.start_many(double.prepare(n=n) for n in range(20))
            accepted.extend(run.id for run in runs)

    starting = threading.Thread(target=start)
    with app.working():
        starting.start()
        eventually(lambda: len(accepted) >= 100, within=LONG)
        before = list(accepted)
        made = copy_of(app.office.store, database, tmp_path)
        eventually(lambda: len(accepted) >= len(before) + 40, within=LONG)
        stop.set()
        starting.join()
    store = app.office.store
    bring_back(store, database, made)
    app.close()
    again = declared(database)
    with again.working():
        for run_id in before:
            eventually(
                lambda: again.run(run_id).status().wait().state is State.SUCCEEDED,  # noqa: B023
                within=LONG,
            )
    rows = again.office.read(lambda reader: reader.runs(limit=100_000)).result(LONG)
    again.close()
    assert {row.id for row in rows} >= set(before)
    assert {row.state for row in rows} == {State.SUCCEEDED}
    assert len(rows) < len(accepted), "what came after the backup is lost"


def test_a_worker_that_is_still_up_is_shut_out_and_comes_back(
    app: Backroom, database: str, tmp_path: Path
) -> None:
    calls.clear()
    gate.clear()
    with app.working():
        run = app.start("visit", who="Ada")
        eventually(lambda: calls, within=LONG)
        made = copy_of(app.office.store, database, tmp_path)
        assert bring_back(app.office.store, database, made) == 1
        gate.set()  # the attempt of before ends, and nobody hears of it
        assert result(run) == "Ada at call 2"
    assert len(calls) == 2


def test_the_terminal_makes_a_copy_and_brings_it_back(sqlite_path: Path, tmp_path: Path) -> None:
    backroom = Terminal(str(sqlite_path))
    app = declared(str(sqlite_path))
    run = app.start("double", n=4)
    copy = tmp_path / "copy.db"
    said = backroom("backup", str(copy))
    assert said.out.startswith(f"{copy} holds all that was committed so far, ")
    assert backroom("backup", str(copy)).code == 1
    run.cancel().wait(LONG)
    said = backroom("restore", str(copy))
    assert said.code == 1
    assert "Pass --replace if it is to be lost" in said.err
    said = backroom("restore", str(copy), "--replace", "--by", "Grace")
    assert said.out.startswith(f"{sqlite_path} is restored. 0 runs are ready again")
    with app.working():
        assert result(run) == 8
    app.close()
    assert backroom("audit", "--json").json()[0]["by"] == "Grace"
    elsewhere = Terminal(str(tmp_path / "elsewhere.db"))
    assert elsewhere("restore", str(copy)).code == 0
    assert '"state": "ready"' in elsewhere("show", run.id, "--json").out
    assert elsewhere("restore", str(tmp_path / "missing")).code == 2


def test_postgresql_is_left_to_its_own_tools(postgres_dsn: str, tmp_path: Path) -> None:
    backroom = Terminal(postgres_dsn)
    assert backroom("migrate").code == 0
    said = backroom("backup", str(tmp_path / "copy"))
    assert (said.code, "pg_dump" in said.err) == (1, True)
    (tmp_path / "dump").touch()
    said = backroom("restore", str(tmp_path / "dump"), "--replace")
    assert (said.code, "without a file" in said.err) == (1, True)
    assert backroom("restore").out.endswith("0 runs are ready again that were running then.\n")
