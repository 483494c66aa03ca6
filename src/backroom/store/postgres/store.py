"""One PostgreSQL database as a store: where it is, and what can be had from it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backroom.records import limits
from backroom.records.errors import Refused
from backroom.records.runs import NewRun, Started
from backroom.records.triggers import Plan, RowTrigger
from backroom.store.limit import Limit
from backroom.store.postgres import clock, guests, migrate, watching
from backroom.store.postgres.bell import PostgresBell, listen
from backroom.store.postgres.diagnose import diagnose
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.epoch import begin_epoch
from backroom.store.postgres.faults import fault
from backroom.store.postgres.link import Address, Link
from backroom.store.postgres.reader import PostgresReader
from backroom.store.postgres.ringer import Ringer, notify
from backroom.store.postgres.session import PostgresSession
from backroom.store.postgres.silence import SILENCE_SECONDS
from backroom.store.postgres.statement import Sql
from backroom.store.postgres.transact import Transactor
from backroom.store.verbs import Emit, SaveStep, Start

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["PostgresStore"]

PREPARE_THRESHOLD = 5  # uses before a statement is prepared
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")

T = TypeVar("T")


class PostgresStore:
    """One schema of one database.

    schema              where our tables are; two applications in one database have one each
    listen_dsn          an address past the pooler, for the doorbell; None: the same
    prepare             whether to prepare statements; None: unless a pooler is found in between
    lock_timeout_seconds    how long a batch waits for rows and keys that others hold
    silence_seconds         after this long without a word the server is given up
    """

    dialect = "postgresql"

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "backroom",
        listen_dsn: str | None = None,
        prepare: bool | None = None,
        lock_timeout_seconds: float = 5.0,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        if not SCHEMA.fullmatch(schema):
            raise ValueError(
                f"{schema!r} can't be the schema's name. Use small letters, digits and "
                "underscores, up to 40, not beginning with a digit."
            )
        self.sql = Sql(schema)
        self.address = Address(
            dsn,
            None if prepare is False else PREPARE_THRESHOLD,
            insist=prepare is True,
            silence_seconds=silence_seconds,
        )
        self.listen_address = Address(listen_dsn or dsn, None)
        link = Link(self.address, limited=True)
        self.ringer = Ringer(partial(notify, link, self.channel), link.close)
        self.known_identity: guests.Identity | None = None
        self.lock_timeout_ms = round(lock_timeout_seconds * 1000)
        self.transactor = Transactor(self.address, self.sql, self.lock_timeout_ms)
        self.turns = threading.BoundedSemaphore(limits.TRANSACTIONS)
        self.clock_link = Link(self.address)  # tests move it often
        self.clock_lock = threading.Lock()

    def session(self) -> PostgresSession:
        return PostgresSession(Link(self.address), self.sql, self.lock_timeout_ms)

    def reader(self) -> PostgresReader:
        return PostgresReader(Link(self.address, limited=True), self.sql)

    def schema_version(self) -> int | None:
        have = self.on_connection(lambda c: migrate.applied(c, self.sql))
        return max(have) if have else None

    def migrate(self) -> list[str]:
        return self.on_connection(lambda c: migrate.migrate(c, self.sql, self.lock_timeout_ms))

    def check_schema(self) -> None:
        migrate.check(self.on_connection(lambda c: migrate.applied(c, self.sql)))

    def start_on(self, connection: Any, runs: Sequence[NewRun]) -> list[Started]:
        return guests.start_on(connection, self.sql, self.identity, runs)

    def emit_on(self, connection: Any, run_id: str, event_id: str, name: str, payload: str) -> None:
        verb = Emit(run_id, event_id, name, payload)
        guests.emit_on(connection, self.sql, self.identity, verb)

    async def join(self, connection: Any, verbs: Sequence[Start | Emit]) -> list[object]:
        if self.known_identity is None:
            await asyncio.to_thread(self.identity)
        return await guests.join(connection, self.sql, guests.require(self.known_identity), verbs)

    def transact(
        self, body: Callable[[Any], SaveStep], limit: Limit | None = None, *, cause: str = ""
    ) -> None:
        with self.turns:
            self.transactor.transact(body, limit, cause)

    def mark(self, connection: Any, cause: str) -> None:
        watching.mark(connection, cause)

    def ring(self) -> None:
        self.ringer.ring("work")

    def bell(self) -> PostgresBell | None:
        return listen(self.listen_address, self.channel("work"), self.ring)

    def ring_ends(self) -> None:
        self.ringer.ring("ends")

    def bell_of_ends(self) -> PostgresBell | None:
        return listen(self.listen_address, self.channel("ends"), self.ring_ends)

    def channel(self, bell: str) -> str:
        return f"{self.sql.schema}_{bell}"

    def backup(self, target: Path) -> None:
        raise Refused(
            "PostgreSQL has tools of its own for that. Use pg_dump, or a base backup with its log; "
            "the page on keeping data says how."
        )

    def restore(self, source: Path | None, audit_id: str, by: str) -> int:
        if source is not None:
            raise Refused(
                f"PostgreSQL has tools of its own to bring back {source}. Restore it with them, "
                "then run `backroom restore` without a file."
            )
        self.check_schema()
        return self.on_connection(lambda c: begin_epoch(c, self.sql, audit_id, by))

    def rewrite(self) -> None:
        self.on_connection(lambda c: c.execute(self.sql["rewrite"]))

    def move_clock(self, by_us: int) -> None:
        with self.clock_lock:
            try:
                clock.move_clock(self.clock_link.connection(), self.sql, by_us)
            except psycopg().Error as error:
                raise fault(error) from error

    def stop_clock(self) -> None:
        self.on_connection(lambda c: clock.stop_clock(c, self.sql))

    def plan_triggers(self, declared: Sequence[RowTrigger]) -> list[Plan]:
        return self.on_connection(
            lambda c: [watching.plan(c, self.sql, trigger) for trigger in declared]
        )

    def install_triggers(self, declared: Sequence[RowTrigger]) -> list[Plan]:
        return self.on_connection(
            lambda c: watching.install(c, self.sql, declared, self.lock_timeout_ms)
        )

    def remove_trigger(self, name: str, *, dry_run: bool = False) -> Plan:
        return self.on_connection(
            lambda c: watching.remove(c, self.sql, name, self.lock_timeout_ms, dry_run=dry_run)
        )

    def diagnose(self) -> list[tuple[str, str, str]]:
        return diagnose(self.address, self.sql)

    def close(self) -> None:
        self.ringer.close()
        self.transactor.spares.close()
        self.clock_link.close()

    def identity(self) -> guests.Identity:
        """Which database this is, for comparison with where a caller's connection leads."""
        if self.known_identity is None:
            found = self.on_connection(lambda c: guests.identity_of(c, self.sql))
            self.known_identity = guests.require(found)
        return self.known_identity

    def on_connection(self, work: Callable[[Connection[tuple[Any, ...]]], T]) -> T:
        """Something rare, on a connection of its own."""
        connection = self.address.connect()
        try:
            return work(connection)
        except psycopg().Error as error:
            raise fault(error) from error
        finally:
            connection.close()
