"""The application of the kill tests, as its workers import it: chunks into a side table."""

from __future__ import annotations

from typing import Any

from backroom import Backroom, chunks, step
from tests.flows.side import insert


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
            walk.notes["rows"] = walk.notes.get("rows", 0) + put(part)
        total: int = walk.notes["rows"]
        return total

    return app


app = declare(Backroom())
