"""An author's SQL and the checkpoint of its step in one transaction.

    BEGIN ─ SAVEPOINT ─ the author's statements ─ RELEASE ─ fence, checkpoint ─ COMMIT

Each call has a connection to itself, and finds nothing on it that another call has left
(`store/postgres/spares.py`). psycopg refuses authors' `commit()` inside its transaction block; a
COMMIT in SQL is noticed, since our savepoint is gone with it. The run's hot row is locked after the
body, not before: nobody who cancels or rescues the run has to wait for the author's statements.

A connection that breaks at the COMMIT leaves open whether it took, and the server may still be at
it. The look locks the hot row first, which the old transaction holds to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backroom.records.errors import (
    LeaseLost,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    TimedOut,
    TransactionEnded,
)
from backroom.store.limit import Limit
from backroom.store.postgres.batch import Batch
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import (
    LOCK_TIMEOUT,
    breaks_connection,
    fault,
    is_passing,
    is_pooled,
    sqlstate,
)
from backroom.store.postgres.link import Address
from backroom.store.postgres.session import TRIES, pause
from backroom.store.postgres.spares import Spares
from backroom.store.postgres.statement import Sql, Statement, id_array, valid_id
from backroom.store.verbs import SaveStep

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Transactor"]

PATIENCE_SECONDS = 30.0
NO_SAVEPOINT = ("3B001", "25P01")  # no such savepoint; no transaction at all
CHAIN = 10  # how many causes of an error are looked at: libraries wrap the driver's


class Transactor:
    """Makes such transactions on one database; used by any number of threads at once."""

    def __init__(self, address: Address, sql: Sql, lock_timeout_ms: int) -> None:
        self.address = address
        self.spares = Spares(address)
        self.sql = sql
        self.settings = {"lock_timeout": str(lock_timeout_ms)}

    def transact(
        self, body: Callable[[Any], SaveStep], limit: Limit | None, cause: str = ""
    ) -> None:
        tries = 1
        while True:
            call = Call(self, body, limit, cause)
            try:
                call.perform()
                return
            except Exception as error:
                told = call.told(error)
                if not call.is_worth_another(error):
                    if told is error:
                        raise
                    raise told from error
                if call.committing and breaks_connection(error):
                    assert call.verb is not None
                    if self.took(call.verb):
                        return
                if tries == TRIES:
                    raise told from (None if told is error else error)
            pause(tries)
            tries += 1

    def took(self, verb: SaveStep) -> bool:
        """Whether a commit of unknown outcome has kept the checkpoint; LeaseLost, OutcomeUnknown.

        The server may be away for a moment, as it was when the connection broke.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        tries = 1
        while True:
            try:
                return self.look(verb)
            except (psycopg().Error, StoreError) as error:
                if time.monotonic() > deadline:
                    raise OutcomeUnknown(
                        "The connection to PostgreSQL broke while a step's transaction was "
                        "committing, and no look could tell whether it took."
                    ) from error
            pause(min(tries, 100) * 10)
            tries += 1

    def look(self, verb: SaveStep) -> bool:
        connection = self.address.connect()
        try:
            with connection.transaction():
                held = connection.execute(self.sql["lock_runs"], {"ids": id_array([verb.run_id])})
                holds = [row[1:] for row in held.fetchall()] == [(verb.attempt, "running")]
                row = connection.execute(
                    self.sql["step_stands"], {"id": verb.run_id, "address": verb.step.address}
                ).fetchone()
        finally:
            connection.close()
        if row == (verb.step.state, verb.attempt):
            return True
        if not holds:
            raise LeaseLost(verb.run_id, verb.attempt)
        return False


class Call:
    """One try: from BEGIN to COMMIT."""

    def __init__(
        self,
        transactor: Transactor,
        body: Callable[[Any], SaveStep],
        limit: Limit | None,
        cause: str = "",
    ) -> None:
        self.cause = cause
        self.transactor = transactor
        self.body = body
        self.limit = limit
        self.verb: SaveStep | None = None
        self.in_body = False
        self.committing = False
        self.broke = False
        self.was_spare = False  # the connection lay idle before, and may have been lost meanwhile

    def perform(self) -> None:
        spares = self.transactor.spares
        connection, self.was_spare = spares.take()
        try:
            with connection.transaction():
                self.inside(connection)
                self.committing = True  # from here on the server may have seen the COMMIT
        except BaseException:
            self.broke = connection.broken
            raise
        finally:
            if self.limit is not None:
                self.limit.over()
            if self.limit is not None and self.limit.expired:
                connection.close()  # a cancel may be on its way, and must not hit the next one
            else:
                spares.give_back(connection)

    def inside(self, connection: Connection[Any]) -> None:
        ours = psycopg().Cursor(connection, row_factory=psycopg().rows.tuple_row)
        # In one round trip. A savepoint of the author's own leaves the setting as it is.
        told = ""
        if valid_id(self.cause):
            told = f"SELECT set_config('backroom.cause', '{self.cause}', true); "
        ours.execute(f"{told}SAVEPOINT backroom_step".encode(), prepare=False)
        if self.limit is not None:
            self.limit.began(lambda: connection.cancel_safe(timeout=1))
        self.in_body = True
        self.verb = self.body(connection)
        self.in_body = False
        self.refuse_late()
        self.release(ours)
        ours.execute(self.transactor.sql["settings"], self.transactor.settings)
        batch = Batch(self.transactor.sql, [self.verb])
        for statement in batch.before_commit():
            run(ours, statement)
        lost = batch.fence.answer(0, self.verb)
        if lost is not None:
            raise lost
        if self.limit is not None and not self.limit.may_commit():
            self.refuse_late()

    def release(self, ours: Any) -> None:
        """Close our savepoint; without it this is no longer our transaction."""
        try:
            ours.execute("RELEASE SAVEPOINT backroom_step")
        except psycopg().Error as error:
            if sqlstate(error) in NO_SAVEPOINT:
                with suppress(psycopg().Error):  # the block around us wants a transaction to leave
                    ours.execute("BEGIN")
                raise TransactionEnded from error
            raise

    def refuse_late(self) -> None:
        if self.limit is not None and self.limit.expired:
            raise TimedOut("The transaction took longer than its step's time-out.")

    def is_worth_another(self, error: BaseException) -> bool:
        """Whether the whole transaction will do on a second try."""
        if self.limit is not None and self.limit.expired:
            return False
        if is_drivers(error) and not self.in_body:
            if self.committing and breaks_connection(error):
                return True  # after a look
            if self.was_spare and self.verb is None and breaks_connection(error):
                return True  # nothing has happened yet
            if is_pooled(error) and self.transactor.address.prepare_threshold is not None:
                self.transactor.address.is_pooled()
                return True
            return is_passing(error) or sqlstate(error) == LOCK_TIMEOUT
        return self.in_body and any(map(is_passing, causes(error)))

    def told(self, error: Exception) -> Exception:
        """The error as its step shall see it."""
        if self.limit is not None and self.limit.expired:
            return TimedOut("The transaction took longer than its step's time-out.")
        if self.in_body:
            if self.broke and any(map(is_drivers, causes(error))):
                return StoreUnavailable(
                    f"The connection to PostgreSQL broke inside a step's transaction ({error}). "
                    "Nothing of it is kept."
                )
            return error
        return fault(error, committing=self.committing) if self.is_ours(error) else error

    def is_ours(self, error: Exception) -> bool:
        """Whether our own statements have failed, and not what the author's have led to."""
        state = sqlstate(error)
        if self.committing and state[:2] in ("23", "P0"):
            return False  # a deferred constraint or trigger
        return is_drivers(error) and state != "25P02"  # a statement failed and the step went on


def is_drivers(error: BaseException) -> bool:
    return isinstance(error, psycopg().Error)


def run(cursor: Any, statement: Statement) -> None:
    cursor.execute(statement.sql, statement.values)
    if statement.take is not None:
        statement.take(cursor.fetchall())


def causes(error: BaseException) -> list[BaseException]:
    """An error and what it came from: libraries wrap the driver's own."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(found) < CHAIN:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found
