"""Statements in one round trip.

In pipeline mode everything is sent before the first answer is read. BEGIN and COMMIT travel with
the rest: if a statement fails, the server skips all that follows, the COMMIT included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from backroom.store.postgres.statement import Statement

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["send"]


def send(connection: Connection[tuple[Any, ...]], statements: Iterable[Statement]) -> None:
    """Execute the statements and hand each its rows. Raises what psycopg raises.

    After an error the connection may stand inside a failed transaction.
    """
    waiting = []
    with connection.pipeline():
        for statement in statements:
            cursor = connection.cursor()
            cursor.execute(statement.sql, statement.values)
            waiting.append((cursor, statement.take))
        rows = [None if take is None else cursor.fetchall() for cursor, take in waiting]
    for (_, take), got in zip(waiting, rows, strict=True):
        if take is not None and got is not None:
            take(got)
