"""Moving the database's clock forward, for tests: the one function that tells the time is replaced.

The offset is in the function's own text, so that every process sees it, and so that the planner can
still put the expression in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backroom.store.postgres.statement import Sql

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["move_clock"]

REAL = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"


def move_clock(connection: Connection[tuple[Any, ...]], sql: Sql, by_us: int) -> None:
    """Two that move it at the same moment queue up; neither move is lost."""
    with connection.transaction():
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"backroom.clock.{sql.schema}"],
        )
        row = connection.execute(f"{sql['now']} - {REAL}".encode()).fetchone()
        offset = int(row[0]) + by_us if row else by_us
        connection.execute(
            f'CREATE OR REPLACE FUNCTION "{sql.schema}".now_us() RETURNS bigint LANGUAGE sql '
            f"STABLE PARALLEL SAFE AS 'SELECT {REAL} + {offset}::bigint'".encode()
        )
