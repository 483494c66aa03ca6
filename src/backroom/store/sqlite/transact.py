"""An author's SQL and the checkpoint of its step in one transaction.

    BEGIN IMMEDIATE ─ SAVEPOINT ─ the author's statements ─ RELEASE ─ fence, checkpoint ─ COMMIT

Each call has a connection of its own, since what authors do to a connection stays with it. An
authorizer refuses their COMMIT and ROLLBACK before these can do anything; the savepoint tells us
if SQLite itself has rolled the transaction back inside (a full disk, say).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backroom.records.errors import (
    LeaseLost,
    OutcomeUnknown,
    StoreError,
    TimedOut,
    TransactionEnded,
)
from backroom.store.limit import Limit
from backroom.store.sqlite.checkpoints import save_steps
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.faults import as_store_error, mapped
from backroom.store.sqlite.fence import fence_of
from backroom.store.sqlite.forking import Keeper
from backroom.store.sqlite.locks import LockWaits, take_write_lock
from backroom.store.sqlite.migrate import check
from backroom.store.sqlite.transaction import Transaction, sql
from backroom.store.sqlite.watching import mark
from backroom.store.verbs import SaveStep

__all__ = ["Transactor"]

STEP_STANDS = sql("step_stands")


class Transactor:
    """Makes such transactions on one file; used by any number of threads at once."""

    def __init__(self, path: Path, *, busy_timeout_ms: int, lock_waits: LockWaits) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._lock_waits = lock_waits

    def transact(
        self, body: Callable[[Any], SaveStep], limit: Limit | None, cause: str = ""
    ) -> None:
        with self._connection() as connection:
            try:
                verb = self._perform(connection, body, limit, cause)
                self._commit(connection)
                return
            except OutcomeUnknown as error:
                unknown = error
            except BaseException:
                roll_back(connection)
                raise
            finally:
                if limit is not None:
                    limit.over()
        # The file failed while committing. Whether that took is told by what a new connection sees.
        try:
            took = self._look(verb)
        except StoreError as error:
            raise unknown from error
        if not took:
            raise unknown

    def _perform(
        self,
        connection: sqlite3.Connection,
        body: Callable[[Any], SaveStep],
        limit: Limit | None,
        cause: str,
    ) -> SaveStep:
        """All but the commit."""
        with mapped(self._path):
            take_write_lock(connection, self._busy_timeout_ms, self._lock_waits)
            if cause:
                mark(connection, cause)
            connection.execute("SAVEPOINT backroom_step")
        denied: list[str] = []
        connection.set_authorizer(ender_of(denied))
        if limit is not None:
            limit.began(connection.interrupt)
        try:
            verb = body(connection)
        except BaseException as error:
            refuse_late(limit, error)
            if denied:
                raise TransactionEnded(f"{denied[0]} was refused") from error
            raise
        finally:
            connection.set_authorizer(None)
        refuse_late(limit)
        if denied:
            raise TransactionEnded(f"{denied[0]} was refused")
        connection.text_factory = str
        release(connection, self._path)
        with mapped(self._path):
            tx = Transaction(connection)
            answers: list[object] = [None]
            save_steps(tx, fence_of(tx, [verb]), [(0, verb)], answers)
            if cause:
                mark(connection, "")
        if isinstance(answers[0], LeaseLost):
            raise answers[0]
        if limit is not None and not limit.may_commit():
            refuse_late(limit)
        return verb

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.IntegrityError:
            raise  # of the author's rows: a deferred foreign key
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
                raise OutcomeUnknown(
                    f"{self._path} failed while committing ({error}); it is not known whether that "
                    "took. Check the disk and the system's log."
                ) from error
            raise as_store_error(error, self._path) from error

    def _look(self, verb: SaveStep) -> bool:
        """Whether the checkpoint is there."""
        with self._connection() as connection, mapped(self._path):
            take_write_lock(connection, self._busy_timeout_ms, self._lock_waits)
            row = connection.execute(STEP_STANDS, (verb.run_id, verb.step.address)).fetchone()
            connection.execute("ROLLBACK")
        return bool(row == (verb.step.state, verb.attempt))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one call; no fork happens meanwhile."""
        keeper = Keeper(self._open)
        try:
            with keeper.using() as connection:
                yield connection
        finally:
            keeper.close()

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._path, "rw", busy_timeout_ms=self._busy_timeout_ms)
        try:
            check(connection, self._path)
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA foreign_keys = ON")  # can't be set inside a transaction
        except BaseException:
            connection.close()
            raise
        return connection


def ender_of(denied: list[str]) -> Callable[..., int]:
    """An authorizer that refuses what would begin or end a transaction, and notes it."""

    def authorize(action: int, what: str | None, *_: object) -> int:
        if action != sqlite3.SQLITE_TRANSACTION:
            return sqlite3.SQLITE_OK
        denied.append(what or "")
        return sqlite3.SQLITE_DENY

    return authorize


def release(connection: sqlite3.Connection, path: Path) -> None:
    """Close our savepoint; without it this is no longer our transaction."""
    try:
        connection.execute("RELEASE backroom_step")
    except sqlite3.OperationalError as error:
        if "no such savepoint" in str(error):
            raise TransactionEnded("SQLite has rolled it back after an error inside") from error
        raise as_store_error(error, path) from error


def refuse_late(limit: Limit | None, error: BaseException | None = None) -> None:
    if limit is not None and limit.expired:
        raise TimedOut("The transaction took longer than its step's time-out.") from error


def roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # closing the connection does the same
        if connection.in_transaction:
            connection.execute("ROLLBACK")
