"""`backroom prune`, and the workers that do it by themselves."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest

from backroom import Backroom
from backroom.engine import duties
from backroom.engine.world import World
from backroom.records.runs import RunRow
from backroom.testing import eventually
from tests.cli import shop
from tests.cli.conftest import Terminal

DAY_US = 24 * 3600 * 1_000_000
WEEKS = "15d"


def ended_long_ago(client: Backroom, how_many: int) -> list[str]:
    """Runs that were cancelled a month ago."""
    runs = [shop.pay.start(Decimal(7)) for _ in range(how_many)]
    for run in runs:
        run.cancel().wait()
    client.office.store.move_clock(31 * DAY_US)
    return [run.id for run in runs]


def test_prune_removes_what_is_old(backroom: Terminal, client: Backroom) -> None:
    gone = ended_long_ago(client, 3)
    stays = shop.pay.start(Decimal(7))
    dry = backroom("prune", "--older-than", WEEKS, "--dry-run")
    assert dry.out == "3 runs would be removed.\n"
    assert backroom("prune", "--older-than", WEEKS).out == "Removed 3 runs.\n"
    assert backroom("show", gone[0]).code == 1
    assert backroom("show", stays.id).code == 0
    told = backroom("prune", "--older-than", WEEKS, "--json").json()
    assert told == {"removed": 0, "found": 0, "kept": 0, "more": False}


def test_prune_stops_when_its_time_is_up(
    backroom: Terminal, client: Backroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backroom.records import limits

    monkeypatch.setattr(limits, "SWEEP_RUNS", 2)
    seconds = count()
    monkeypatch.setattr(World, "monotonic", lambda _: next(seconds))
    ended_long_ago(client, 7)
    said = backroom("prune", "--older-than", WEEKS, "--for", "2s")
    assert said.out == "Removed 4 runs.\nThere may be more; run it again.\n"
    assert backroom("prune", "--older-than", WEEKS).out == "Removed 3 runs.\n"


def test_prune_wants_a_time_it_can_read(backroom: Terminal, client: Backroom) -> None:
    said = backroom("prune", "--older-than", "a month")
    assert said.code == 2
    assert "--older-than 'a month' can't be read" in said.err


def test_workers_remove_what_is_older_than_the_setting_says(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "PRUNE_SECONDS", 0.01)
    monkeypatch.setattr(duties, "BITE", 2)
    monkeypatch.setattr(duties, "BITE_SECONDS", 0.0)
    app = Backroom(database, keep_days=2)

    @app.flow
    async def note(text: str) -> str:
        return text

    try:
        with app.working():
            old = [note.start(str(n)) for n in range(5)]
            for run in old:
                run.result().wait(20)
            app.office.store.move_clock(3 * DAY_US)
            young = note.start("young")
            asleep = note.using(delay=60).start("asleep")
            young.result().wait(20)
            left = {young.id, asleep.id}
            eventually(lambda: {row.id for row in runs(app)} == left, within=20)
    finally:
        app.close()


def runs(app: Backroom) -> list[RunRow]:
    return app.office.read(lambda reader: reader.runs()).result(20)
