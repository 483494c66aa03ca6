"""Everybody whose own transaction a start can join: how each begins, writes, commits, rolls back.

A caller is a context manager around one transaction. Leaving it commits; an exception rolls back.
What it yields is what `using(on=...)` gets, and a way to write a row of the caller's own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
)
from typing import Any

import aiosqlite
import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

__all__ = ["ASYNCHRONOUS", "SYNCHRONOUS", "AsyncCaller", "Caller", "is_postgres"]

Joined = tuple[Any, Callable[[], object]]
"""What `on` gets, and what writes the caller's own row."""

AsyncJoined = tuple[Any, Callable[[], Awaitable[object]]]

Caller = Callable[[str], AbstractContextManager[Joined]]
AsyncCaller = Callable[[str], AbstractAsyncContextManager[AsyncJoined]]

NOTE = "INSERT INTO note (text) VALUES ('mine')"


def is_postgres(database: str) -> bool:
    return database.startswith("postgresql")


@contextmanager
def driver(database: str) -> Iterator[Joined]:
    """sqlite3 or psycopg."""
    if is_postgres(database):
        with psycopg.connect(database) as server:
            yield server, lambda: server.execute(NOTE)
        return
    with closing(sqlite3.connect(database)) as file, file:
        yield file, lambda: file.execute(NOTE)


@contextmanager
def sqlalchemy_session(database: str) -> Iterator[Joined]:
    engine = create_engine(url(database), poolclass=NullPool)
    with Session(engine) as session, session.begin():
        yield session, lambda: session.execute(text(NOTE))


@contextmanager
def sqlalchemy_connection(database: str) -> Iterator[Joined]:
    engine = create_engine(url(database), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection, lambda: connection.execute(text(NOTE))


@contextmanager
def sqlalchemy_scoped_session(database: str) -> Iterator[Joined]:
    engine = create_engine(url(database), poolclass=NullPool)
    session = scoped_session(sessionmaker(engine))
    try:
        yield session, lambda: session.execute(text(NOTE))
        session.commit()
    finally:
        session.remove()


@contextmanager
def flask_sqlalchemy(database: str) -> Iterator[Joined]:
    """Inside a request, where Flask-SQLAlchemy's session lives."""
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy

    site = Flask("site")
    site.config["SQLALCHEMY_DATABASE_URI"] = url(database)
    db = SQLAlchemy(site, engine_options={"poolclass": NullPool})
    with site.test_request_context("/"):
        yield db.session, lambda: db.session.execute(text(NOTE))
        db.session.commit()


@asynccontextmanager
async def asynchronous_driver(database: str) -> AsyncIterator[AsyncJoined]:
    """aiosqlite, or psycopg's AsyncConnection."""
    if is_postgres(database):
        async with await psycopg.AsyncConnection.connect(database) as server:
            yield server, lambda: server.execute(NOTE)
        return
    async with aiosqlite.connect(database) as file:
        yield file, lambda: file.execute(NOTE)
        await file.commit()


@asynccontextmanager
async def sqlalchemy_async_session(database: str) -> AsyncIterator[AsyncJoined]:
    engine = create_async_engine(async_url(database), poolclass=NullPool)
    async with AsyncSession(engine) as session, session.begin():
        yield session, lambda: session.execute(text(NOTE))


@asynccontextmanager
async def sqlalchemy_async_connection(database: str) -> AsyncIterator[AsyncJoined]:
    engine = create_async_engine(async_url(database), poolclass=NullPool)
    async with engine.begin() as connection:
        yield connection, lambda: connection.execute(text(NOTE))


@asynccontextmanager
async def sqlalchemy_async_scoped_session(database: str) -> AsyncIterator[AsyncJoined]:
    engine = create_async_engine(async_url(database), poolclass=NullPool)
    session = async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: "this one")
    try:
        yield session, lambda: session.execute(text(NOTE))
        await session.commit()
    finally:
        await session.remove()


SYNCHRONOUS: tuple[Caller, ...] = (
    driver,
    sqlalchemy_session,
    sqlalchemy_connection,
    sqlalchemy_scoped_session,
    flask_sqlalchemy,
)

ASYNCHRONOUS: tuple[AsyncCaller, ...] = (
    asynchronous_driver,
    sqlalchemy_async_session,
    sqlalchemy_async_connection,
    sqlalchemy_async_scoped_session,
)


def url(database: str) -> str:
    if is_postgres(database):
        return database.replace("postgresql://", "postgresql+psycopg://", 1)
    return f"sqlite:///{database}"


def async_url(database: str) -> str:
    return url(database).replace("sqlite:///", "sqlite+aiosqlite:///", 1)
