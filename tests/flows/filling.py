"""The application of the kill tests, as its workers import it: chunks into a side table."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from backroom import Backroom, chunks, step
from tests.engine.supervised import FOLDER
from tests.flows.side import insert

PACE = "pace"  # the file that says up to which number may be written; without it up to the last


def until_its_turn(n: int) -> None:
    path = Path(os.environ[FOLDER], PACE)
    while path.exists() and int(path.read_text() or 0) < n:
        time.sleep(0.001)


@step(transaction=True)
def put(connection: Any, part: list[int]) -> int:
    for n in part:
        insert(connection, n)
    return len(part)


def declare(app: Backroom) -> Backroom:
    @app.flow
    def fill(rows: int, size: int) -> int:
        walk = chunks(range(rows), size=size)
        for part in walk:
            until_its_turn(part[-1])
            walk.notes["rows"] = walk.notes.get("rows", 0) + put(part)
        total: int = walk.notes["rows"]
        return total

    return app


app = declare(Backroom())
