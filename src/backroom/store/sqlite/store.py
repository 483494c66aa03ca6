"""SqliteStore: where the file is, and everything that is made from that."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from backroom.records import limits
from backroom.records.errors import BackroomError
from backroom.records.runs import NewRun, Started
from backroom.records.triggers import Plan, RowTrigger
from backroom.store.limit import Limit
from backroom.store.sqlite import caller, clock, doctor, watching
from backroom.store.sqlite.backup import backup, restore
from backroom.store.sqlite.bell import Ringer, SqliteBell
from backroom.store.sqlite.connection import connect
from backroom.store.sqlite.epoch import begin_epoch
from backroom.store.sqlite.faults import mapped
from backroom.store.sqlite.forking import Keeper
from backroom.store.sqlite.locks import LockWaits
from backroom.store.sqlite.migrate import applied, check, migrate
from backroom.store.sqlite.reader import SqliteReader
from backroom.store.sqlite.session import SqliteSession
from backroom.store.sqlite.transact import Transactor
from backroom.store.verbs import Emit, SaveStep, Start

__all__ = ["SqliteStore"]


class SqliteStore:
    """One SQLite file. Thread-safe; opens nothing by itself.

    `checkpoints`: False for programs that only drop in, beside one that keeps the log short.
    `busy_timeout_ms`: how long to wait for another's write transaction.
    """

    dialect = "sqlite"

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        checkpoints: bool = True,
        busy_timeout_ms: int = 30_000,
    ) -> None:
        self.path = Path(path).absolute()
        self._checkpoints = checkpoints
        self._busy_timeout_ms = busy_timeout_ms
        self._lock_waits = LockWaits()
        self._transactor = Transactor(
            self.path, busy_timeout_ms=busy_timeout_ms, lock_waits=self._lock_waits
        )
        self._turns = threading.BoundedSemaphore(limits.TRANSACTIONS)
        self._looker = SqliteReader(self.path, busy_timeout_ms=1_000)
        self._ringer = Ringer(self._bells)
        self._clocksmith = Keeper(lambda: connect(self.path, "rw", busy_timeout_ms=busy_timeout_ms))

    def session(self) -> SqliteSession:
        return SqliteSession(
            self.path,
            busy_timeout_ms=self._busy_timeout_ms,
            checkpoints=self._checkpoints,
            lock_waits=self._lock_waits,
        )

    def reader(self) -> SqliteReader:
        return SqliteReader(self.path, busy_timeout_ms=self._busy_timeout_ms)

    def schema_version(self) -> int | None:
        if not self.path.exists():
            return None
        with self._connection() as connection:
            return max(applied(connection), default=None)

    def migrate(self) -> list[str]:
        return migrate(self.path, busy_timeout_ms=self._busy_timeout_ms)

    def check_schema(self) -> None:
        with self._connection() as connection:
            check(connection, self.path)

    def start_on(self, connection: Any, runs: Sequence[NewRun]) -> list[Started]:
        return caller.start_on(connection, self.path, runs)

    def emit_on(self, connection: Any, run_id: str, event_id: str, name: str, payload: str) -> None:
        caller.emit_on(connection, self.path, Emit(run_id, event_id, name, payload))

    async def join(self, connection: Any, verbs: Sequence[Start | Emit]) -> list[object]:
        return await caller.join(connection, self.path, verbs)

    def transact(
        self, body: Callable[[Any], SaveStep], limit: Limit | None = None, *, cause: str = ""
    ) -> None:
        with self._turns:
            self._transactor.transact(body, limit, cause)

    def mark(self, connection: Any, cause: str) -> None:
        watching.mark(connection, cause)

    def ring(self) -> None:
        self._ringer.ring()

    def bell(self) -> SqliteBell:
        return SqliteBell()

    def backup(self, target: Path) -> None:
        backup(self.path, target, busy_timeout_ms=self._busy_timeout_ms)

    def restore(self, source: Path | None, audit_id: str, by: str) -> int:
        if source is None:
            with self._connection() as connection:
                check(connection, self.path)
                return begin_epoch(connection, audit_id, by)
        return restore(self.path, source, audit_id, by, busy_timeout_ms=self._busy_timeout_ms)

    def rewrite(self) -> None:
        with self._connection() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def ring_ends(self) -> None:
        """Looking costs so little on one machine that nobody listens."""

    def bell_of_ends(self) -> None:
        return None

    def move_clock(self, by_us: int) -> None:
        with mapped(self.path), self._clocksmith.using() as connection:
            clock.move_clock(connection, by_us)

    def stop_clock(self) -> None:
        with self._connection() as connection:
            clock.stop_clock(connection)

    def plan_triggers(self, declared: Sequence[RowTrigger]) -> list[Plan]:
        with self._connection() as connection:
            return [watching.plan(connection, trigger) for trigger in declared]

    def install_triggers(self, declared: Sequence[RowTrigger]) -> list[Plan]:
        with self._connection() as connection:
            return watching.install(connection, declared)

    def remove_trigger(self, name: str, *, dry_run: bool = False) -> Plan:
        with self._connection() as connection:
            return watching.remove(connection, name, dry_run=dry_run)

    def diagnose(self) -> list[tuple[str, str, str]]:
        return doctor.diagnose(self.path, busy_timeout_ms=self._busy_timeout_ms)

    def close(self) -> None:
        self._ringer.close()
        self._looker.close()
        with mapped(self.path):
            self._clocksmith.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question or one deed."""
        connection = connect(
            self.path, "rw", busy_timeout_ms=self._busy_timeout_ms, checkpoints=self._checkpoints
        )
        with closing(connection), mapped(self.path):
            yield connection

    def _bells(self) -> list[str]:
        try:
            return self._looker.bells()
        except BackroomError:
            return []  # a doorbell never complains
