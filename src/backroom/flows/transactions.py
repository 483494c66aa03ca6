"""The caller's own transaction: from what callers have to the driver's connection below it.

    sqlite3, psycopg                     the connection itself
    SQLAlchemy's Session, Connection     begun if need be, then the driver's connection
    Flask-SQLAlchemy's db.session        a scoped session of SQLAlchemy's
    django.db.connection                 inside transaction.atomic(), the driver's connection
    aiosqlite, psycopg's AsyncConnection, SQLAlchemy's AsyncSession and AsyncConnection
                                         the same; used by the caller's own task, when it awaits

Only libraries that are loaded already are looked at: what the caller passes was made by one of
them, and backroom must not import what the caller doesn't use.
"""

from __future__ import annotations

import sys
from typing import Any

from backroom.records.errors import Refused

__all__ = ["asynchronous_connection", "database_connection", "is_asynchronous"]


def database_connection(given: Any) -> Any:
    """The sqlite3 or psycopg connection of a synchronous caller. Refused: there is none."""
    if is_a(given, "sqlalchemy.orm", "Session", "scoped_session"):
        # connection() begins the session's transaction if that hasn't happened yet.
        given = given.connection()
    if is_a(given, "sqlalchemy.engine", "Connection"):
        if not given.in_transaction():
            given.begin()
        given = given.connection.dbapi_connection
    if is_a(given, "django.db.backends.base.base", "BaseDatabaseWrapper") or is_a(
        given, "django.utils.connection", "ConnectionProxy"
    ):
        given = below_django(given)
    if is_a(given, "sqlite3", "Connection") or is_a(given, "psycopg", "Connection"):
        return given
    raise unusable(given)


def is_asynchronous(given: Any) -> bool:
    """Whether the start has to wait until the caller awaits it."""
    return (
        is_a(
            given, "sqlalchemy.ext.asyncio", "AsyncSession", "async_scoped_session",
            "AsyncConnection",
        )
        or is_a(given, "aiosqlite", "Connection")
        or is_a(given, "psycopg", "AsyncConnection")
    )  # fmt: skip


async def asynchronous_connection(given: Any) -> Any:
    """The aiosqlite or psycopg connection of an asynchronous caller. Refused: there is none."""
    if is_a(given, "sqlalchemy.ext.asyncio", "AsyncSession", "async_scoped_session"):
        given = await given.connection()
    if is_a(given, "sqlalchemy.ext.asyncio", "AsyncConnection"):
        if not given.in_transaction():
            await given.begin()
        given = (await given.get_raw_connection()).driver_connection
    if is_a(given, "aiosqlite", "Connection") or is_a(given, "psycopg", "AsyncConnection"):
        return given
    raise unusable(given)


def below_django(given: Any) -> Any:
    """The driver's connection of one of Django's, which has to stand in a transaction."""
    if given.get_autocommit():
        raise Refused(
            f"No transaction is open on Django's connection {given.alias!r}, which commits every "
            "statement by itself. Enter transaction.atomic() before, or start without a connection."
        )
    given.validate_no_broken_transaction()
    return given.connection


def is_a(given: Any, module: str, *names: str) -> bool:
    """Whether it is an instance of one of these classes, without importing their module."""
    home = sys.modules.get(module)
    return home is not None and isinstance(
        given, tuple(getattr(home, name) for name in names if hasattr(home, name))
    )


def unusable(given: Any) -> Refused:
    return Refused(
        f"on={type(given).__module__}.{type(given).__qualname__} is not a transaction that a "
        "run can join. "
        "Pass a connection of sqlite3, psycopg or aiosqlite, a session or connection of "
        "SQLAlchemy's over one of these drivers, or django.db.connection."
    )
