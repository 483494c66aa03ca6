"""A session: a connection that writes, one batch of verbs in one transaction at a time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from backroom.records.errors import Busy, OutcomeUnknown, StoreError
from backroom.store.postgres.batch import Batch
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import (
    LOCK_TIMEOUT,
    PLAN_CHANGED,
    fault,
    is_passing,
    is_pooled,
    sqlstate,
)
from backroom.store.postgres.link import Link
from backroom.store.postgres.statement import Sql, Statement
from backroom.store.verbs import Cancel, Emit, Reschedule, Revive, Start, Verb

__all__ = ["PostgresSession"]

TRIES = 6  # the first one, and five more after a deadlock or a serialisation failure

DOORS = (Start, Emit, Cancel, Revive, Reschedule)


class PostgresSession:
    def __init__(self, link: Link, sql: Sql, lock_timeout_ms: int) -> None:
        self.link = link
        self.sql = sql
        self.settings = {"lock_timeout": str(lock_timeout_ms)}
        self.committing = False

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        if not verbs:
            return []
        for tries in range(1, TRIES + 1):
            batch = Batch(self.sql, verbs)
            try:
                self.transact(batch.before_commit())
                break
            except psycopg().Error as error:
                if tries < TRIES and self.worth_another_try(error):
                    pause(tries)
                elif blocked_at_a_door(error, verbs):
                    return [Busy(str(fault(error)))]
                else:
                    raise fault(error, committing=self.committing) from error
        self.look(batch.after_commit)
        return batch.answers

    def transact(self, statements: Iterable[Statement]) -> None:
        """One transaction in one round trip. An error leaves the session ready for the next one."""
        self.committing = False
        pipeline = self.link.pipeline()
        try:
            pipeline.send(self.framed(statements))
        except BaseException:
            self.link.recover()
            raise

    def framed(self, statements: Iterable[Statement]) -> Iterator[Statement]:
        yield Statement(self.sql["begin"])
        yield Statement(self.sql["settings"], self.settings)
        yield from statements
        self.committing = True  # from here on the server may have seen the COMMIT
        yield Statement(self.sql["commit"])

    def look(self, statements: Callable[[], Iterator[Statement]]) -> None:
        """What has to be read after the commit. It can be read again, on a second connection."""
        for last in (False, True):
            reads = list(statements())
            if not reads:
                return
            try:
                self.transact(reads)
                return
            except (psycopg().Error, StoreError) as error:
                if last:
                    raise OutcomeUnknown(
                        "The transaction took, but the connection to PostgreSQL broke before its "
                        "answers were complete. Look, or repeat the call with the same id."
                    ) from error

    def worth_another_try(self, error: BaseException) -> bool:
        if is_pooled(error):
            self.link.address.prepare_threshold = None
            self.link.drop()  # whose pipeline may go on preparing after another thread gave it up
            return True
        if sqlstate(error) == PLAN_CHANGED:
            self.link.drop()  # with all that was prepared on it
        return is_passing(error)

    def close(self) -> None:
        self.link.close()


def blocked_at_a_door(error: BaseException, verbs: Sequence[Verb]) -> bool:
    """A caller who is alone in the batch can be told to come again; that is an answer."""
    return len(verbs) == 1 and isinstance(verbs[0], DOORS) and sqlstate(error) == LOCK_TIMEOUT


def pause(tries: int) -> None:
    """A little longer after every try, and never the same for two that met each other."""
    time.sleep((secrets.randbelow(4000) + 1000) * tries / 1_000_000)
