"""A site whose application is loaded, and used, before its server forks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from backroom import Backroom

app = Backroom()
LOADED_IN = os.getpid()


@app.flow
async def ship(order: str) -> str:
    return f"{order} is on its way"


# Lanes, readers and doorbells of the parent are at work when it forks.
FIRST = ship.start("before the fork")
assert FIRST.status().wait().flow == "ship"


def site(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    run = ship.start(environ["PATH_INFO"])
    told = {
        "pid": os.getpid(),
        "forked": os.getpid() != LOADED_IN,
        "run": run.id,
        "state": run.status().wait().state,
        "first": FIRST.status().wait().state,
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
