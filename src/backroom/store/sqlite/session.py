"""A writing connection: each `apply` is one BEGIN IMMEDIATE … COMMIT.

What went wrong before the COMMIT is surely not stored. A COMMIT that fails for want of space
isn't either; one that fails in another way may have reached the disk, and says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from backroom.records.errors import OutcomeUnknown
from backroom.store.sqlite.batch import perform
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.faults import as_store_error, mapped
from backroom.store.sqlite.forking import Keeper
from backroom.store.sqlite.locks import LockWaits, take_write_lock
from backroom.store.sqlite.migrate import check
from backroom.store.sqlite.transaction import Transaction
from backroom.store.verbs import Register, Renew, Verb

__all__ = ["SqliteSession"]


class SqliteSession:
    """One writing connection, opened at the first `apply`; for one thread at a time."""

    def __init__(
        self, path: Path, *, busy_timeout_ms: int, checkpoints: bool, lock_waits: LockWaits
    ) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._checkpoints = checkpoints
        self._lock_waits = lock_waits
        self._keeper = Keeper(self._open)

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        for verb in verbs:
            if isinstance(verb, Register | Renew):
                self._lock_waits.lease_us = verb.lease_us
        with self._keeper.using() as connection:
            try:
                take_write_lock(connection, self._busy_timeout_ms, self._lock_waits)
                tx = Transaction(connection, may_rescue=self._lock_waits.may_rescue())
                answers = perform(tx, verbs)
            except sqlite3.Error as error:
                self._roll_back(connection)
                raise as_store_error(error, self._path) from error
            except BaseException:
                self._roll_back(connection)
                raise
            self._commit(connection)
        return answers

    def close(self) -> None:
        with mapped(self._path):
            self._keeper.close()

    def _open(self) -> sqlite3.Connection:
        connection = connect(
            self._path,
            "rw",
            busy_timeout_ms=self._busy_timeout_ms,
            checkpoints=self._checkpoints,
        )
        try:
            check(connection, self._path)
            # `take_write_lock` waits; later nothing has to.
            connection.execute("PRAGMA busy_timeout = 0")
        except BaseException:
            connection.close()
            raise
        return connection

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(connection)
            self._keeper.drop()
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
                raise OutcomeUnknown(
                    f"{self._path} failed while committing ({error}); it is not known whether that "
                    "took. Repeat the call with the same ids."
                ) from error
            raise as_store_error(error, self._path) from error

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._keeper.drop()
