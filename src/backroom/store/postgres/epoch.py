"""A new epoch: higher attempt numbers, so that nothing a worker of before sends is taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backroom.rules.epochs import first_attempt
from backroom.store.postgres.statement import Sql

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["begin_epoch"]


def begin_epoch(connection: Connection[tuple[Any, ...]], sql: Sql, audit_id: str, by: str) -> int:
    """In one transaction; answers how many runs were running, which are ready again."""
    with connection.transaction():
        before, now = connection.execute(sql["first_attempt"]).fetchone() or (1, 0)
        number = first_attempt(now, before)
        connection.execute(
            f'CREATE OR REPLACE FUNCTION "{sql.schema}".first_attempt() RETURNS integer '
            f"LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT {number}'".encode()
        )
        connection.execute(sql["forget_workers"])
        released = connection.execute(sql["hand_all_back"]).rowcount
        what = json.dumps({"first_attempt": number})
        values = {"id": audit_id, "act": "restore", "by": by, "what": what}
        connection.execute(sql["insert_audit"], values)
    return released
