"""Moving the database's clock forward, for tests: the one function that tells the time is replaced.

The offset is in the function's own text, so that every process sees it, and so that the planner can
still put the expression in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backroom.store.postgres.statement import Sql

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["move_clock", "stop_clock"]

REAL = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"


def move_clock(connection: Connection[tuple[Any, ...]], sql: Sql, by_us: int) -> None:
    """Two that move it at the same moment queue up; neither move is lost."""
    with connection.transaction():
        _lock(connection, sql)
        if _stands_still(connection, sql):
            _replace(connection, sql, str(_number(connection, sql["now"]) + by_us))
        else:
            offset = _number(connection, f"{sql['now']} - {REAL}") + by_us
            _replace(connection, sql, f"{REAL} + {offset}")


def stop_clock(connection: Connection[tuple[Any, ...]], sql: Sql) -> None:
    """Let it stand still, but for moves."""
    with connection.transaction():
        _lock(connection, sql)
        _replace(connection, sql, str(_number(connection, sql["now"])))


def _lock(connection: Connection[tuple[Any, ...]], sql: Sql) -> None:
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"backroom.clock.{sql.schema}"]
    )


def _number(connection: Connection[tuple[Any, ...]], expression: str) -> int:
    row = connection.execute(expression.encode()).fetchone()
    return int(row[0]) if row else 0


def _stands_still(connection: Connection[tuple[Any, ...]], sql: Sql) -> bool:
    row = connection.execute(
        "SELECT prosrc FROM pg_proc WHERE oid = %s::regprocedure", [f'"{sql.schema}".now_us()']
    ).fetchone()
    return row is not None and "statement_timestamp" not in row[0]


def _replace(connection: Connection[tuple[Any, ...]], sql: Sql, expression: str) -> None:
    connection.execute(
        f'CREATE OR REPLACE FUNCTION "{sql.schema}".now_us() RETURNS bigint LANGUAGE sql '
        f"STABLE PARALLEL SAFE AS 'SELECT {expression}::bigint'".encode()
    )
