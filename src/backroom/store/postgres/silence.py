"""A server that was asked and says nothing any more is given up.

Keepalives and `tcp_user_timeout` find out a dead network. They don't see a peer whose system still
acknowledges what arrives while nobody answers: a hung pooler or load balancer, a connection that
is open on our side of it only. Without a limit a lane would wait on it for ever, its worker alive
and renewed and doing nothing.

What an author does in a transaction step isn't limited here: it has the step's time-out.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import cache
from typing import Any

from backroom.store.postgres.driver import psycopg

__all__ = ["SILENCE_SECONDS", "impatient", "silent"]

SILENCE_SECONDS = 60.0  # longer than any of our statements takes, waiting for locks included


def silent(seconds: float) -> Exception:
    error: Exception = psycopg().OperationalError(f"the server has said nothing for {seconds:g} s")
    return error


@cache
def impatient(seconds: float) -> Any:
    """A class of connections whose own statements are given up so."""
    pg = psycopg()

    class Impatient(pg.Connection):  # type: ignore[misc, name-defined]  # psycopg comes late
        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            return super().wait(limited(gen, seconds), *args, **kwargs)

    return Impatient


def limited(gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """psycopg's own wait wakes such a generator ten times a second with "nothing"."""
    heard = time.monotonic()
    try:
        wants = next(gen)
        while True:
            came = yield wants
            if came:
                heard = time.monotonic()
            elif time.monotonic() - heard > seconds:
                gen.close()
                raise silent(seconds)
            wants = gen.send(came)
    except StopIteration as end:
        return end.value
