"""Sixty-four writers, some of whom roll back or take their time, while workers are killed."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from backroom import Backroom
from backroom.testing import eventually
from tests.engine.processes import program
from tests.triggers import stormy
from tests.triggers.storm import Storm, committed, connect, faults, prepare

CHANGES = int(os.environ.get("STORM_CHANGES", "20000"))
KILLS = int(os.environ.get("STORM_KILLS", "20"))


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_nothing_is_missed_made_up_or_out_of_turn(database: str, tmp_path: Path) -> None:
    client = Backroom(database)
    client.open()
    prepare(database, stormy.TABLES, rows=500)
    client.office.store.install_triggers(stormy.app.row_triggers)
    on_file = not database.startswith("postgresql")
    storm = Storm(
        database, writers=64, changes=CHANGES // 64, rows=500,
        # A file has one writer at a time: who takes ten seconds makes everybody wait.
        slow=0.001 if on_file else 0.01, slow_seconds=0.2 if on_file else 10,
    )  # fmt: skip
    blowing = threading.Thread(target=storm.blow)
    with program(
        "worker", "-n", "2", database=database, folder=tmp_path, app="tests.triggers.stormy:app"
    ) as work:
        work.ready()
        blowing.start()
        seen = 0
        for _ in range(KILLS):
            goal = min(seen + CHANGES // (2 * KILLS), CHANGES // 2)
            eventually(lambda: count(database) >= goal, within=600)  # noqa: B023
            seen = count(database)
            for name in [w.name for w in client.office.read(lambda r: r.workers()).result(20)][:1]:
                with suppress(ProcessLookupError):
                    os.kill(int(name.rpartition(":")[2]), signal.SIGKILL)
        blowing.join()
        total = sum(committed(database).values())
        eventually(lambda: count(database) >= total, within=1800)
    with closing(connect(database)) as connection:
        rows = connection.execute("SELECT id, was, n FROM seen ORDER BY place").fetchall()
    in_turn: dict[int, list[tuple[int, int]]] = {}
    for row, was, n in rows:
        in_turn.setdefault(row, []).append((was, n))
    client.close()
    assert faults(committed(database), in_turn) == {"missed": 0, "phantom": 0, "out of turn": 0}


def count(database: str) -> int:
    with closing(connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM seen").fetchone()[0])
