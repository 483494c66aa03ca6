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
from backroom.store.postgres.pipeline import Pipeline
from backroom.store.postgres.starts import PlainStarts
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
        self.counted: set[str] = set()  # queues that take in no more than so many runs
        self.settled: Pipeline | None = None  # the session that has our settings for good
        self.committing = False

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        if not verbs:
            return []
        try:
            return self.started_plainly(verbs) or self.applied(verbs)
        except StoreError as error:
            if blocked_at_a_door(error.__cause__, verbs):
                return [Busy(str(error))]
            raise

    def started_plainly(self, verbs: Sequence[Verb]) -> list[object] | None:
        """The short way, for starts that are nothing more; None: nothing was stored."""
        if not PlainStarts.fits(verbs):
            return None
        starts = PlainStarts(self.sql, verbs)
        if not starts.queues.isdisjoint(self.counted):
            return None
        self.commit(starts.before_commit)
        if not starts.counted:
            return starts.answers
        self.counted.update(starts.queues)
        return None

    def applied(self, verbs: Sequence[Verb]) -> list[object]:
        made: list[Batch] = []  # a second try of the same verbs is a new batch

        def statements() -> Iterator[Statement]:
            made.append(Batch(self.sql, verbs))
            return made[-1].before_commit()

        self.commit(statements)
        self.look(made[-1].after_commit)
        return made[-1].answers

    def commit(self, statements: Callable[[], Iterator[Statement]]) -> None:
        """One transaction, tried again where that may help."""
        for tries in range(1, TRIES + 1):
            try:
                self.transact(statements())
                return
            except psycopg().Error as error:
                if tries == TRIES or not self.worth_another_try(error):
                    raise fault(error, committing=self.committing) from error
            pause(tries)

    def transact(self, statements: Iterable[Statement]) -> None:
        """One transaction in one round trip. An error leaves the session ready for the next one.

        Without a pooler in between the session is ours, and has our settings for good.
        """
        self.committing = False
        pipeline = self.link.pipeline()
        try:
            if self.link.address.direct and self.settled is not pipeline:
                pipeline.send([Statement(self.sql["session"], self.settings)])
                self.settled = pipeline
            pipeline.send(self.framed(statements, settled=self.settled is pipeline))
        except BaseException:
            self.link.recover()
            raise

    def framed(self, statements: Iterable[Statement], *, settled: bool) -> Iterator[Statement]:
        yield Statement(self.sql["begin"])
        if not settled:
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
            self.link.address.is_pooled()
            self.link.drop()  # whose pipeline may go on preparing after another thread gave it up
            return True
        if sqlstate(error) == PLAN_CHANGED:
            self.link.drop()  # with all that was prepared on it
        return is_passing(error)

    def close(self) -> None:
        self.link.close()


def blocked_at_a_door(error: BaseException | None, verbs: Sequence[Verb]) -> bool:
    """A caller who is alone in the batch can be told to come again; that is an answer."""
    return (
        len(verbs) == 1
        and isinstance(verbs[0], DOORS)
        and error is not None
        and sqlstate(error) == LOCK_TIMEOUT
    )


def pause(tries: int) -> None:
    """A little longer after every try, and never the same for two that met each other."""
    time.sleep((secrets.randbelow(4000) + 1000) * tries / 1_000_000)
