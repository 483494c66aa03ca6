"""The caller's own transaction: from what callers have to the driver's connection below it."""

from __future__ import annotations

import sys
from typing import Any

from backroom.records.errors import Refused

__all__ = ["database_connection"]


def database_connection(given: Any) -> Any:
    """The sqlite3 or psycopg connection under a SQLAlchemy session or connection, or the thing
    itself.

    Only libraries that are loaded already are looked at: what the caller passes was made by one of
    them, and backroom must not import what the caller doesn't use.
    """
    orm = sys.modules.get("sqlalchemy.orm")
    engine = sys.modules.get("sqlalchemy.engine")
    if orm is not None and isinstance(given, orm.Session | orm.scoped_session):
        # connection() begins the session's transaction if that hasn't happened yet.
        given = given.connection()
    if engine is not None and isinstance(given, engine.Connection):
        if not given.in_transaction():
            given.begin()
        given = given.connection.dbapi_connection
    sqlite = sys.modules.get("sqlite3")
    psycopg = sys.modules.get("psycopg")
    if sqlite is not None and isinstance(given, sqlite.Connection):
        return given
    if psycopg is not None and isinstance(given, psycopg.Connection):
        return given
    raise Refused(
        f"on={type(given).__module__}.{type(given).__qualname__} is not a transaction that a "
        "run can join. "
        "Pass a sqlite3 or psycopg connection, or a SQLAlchemy session or connection "
        "(synchronous ones)."
    )
