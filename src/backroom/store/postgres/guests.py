"""Start and emit on the caller's own connection, inside the caller's own transaction.

The connection is the application's: its row factory, cursor class and settings are as the
application likes them and stay so. We write with a cursor of our own between a savepoint and its
release, so a refusal leaves nothing behind in the caller's transaction, nor does it abort it.

A deadlock or serialisation failure is raised as psycopg's own error: the whole transaction has to
be repeated, and who does that is the application or its framework, which knows it by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from backroom.records.errors import Refused, SchemaError
from backroom.records.runs import NewRun, Started
from backroom.store.postgres.batch import Batch
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import fault, is_passing
from backroom.store.postgres.statement import Sql
from backroom.store.verbs import Emit, Start, Verb

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

__all__ = ["Identity", "emit_on", "identity_of", "start_on"]

Identity = tuple[str, str]


def start_on(
    connection: Any, sql: Sql, ours: Callable[[], Identity], runs: Sequence[NewRun]
) -> list[Started]:
    answers = perform(connection, sql, ours, [Start(run) for run in runs])
    return [answer for answer in answers if isinstance(answer, Started)]


def emit_on(connection: Any, sql: Sql, ours: Callable[[], Identity], verb: Emit) -> None:
    perform(connection, sql, ours, [verb])


def perform(
    connection: Any, sql: Sql, ours: Callable[[], Identity], verbs: Sequence[Verb]
) -> list[object]:
    """The statements of these verbs, one by one; the first refusal is raised."""
    refuse_unusable(connection)
    identity = ours()
    pg = psycopg()
    cursor = pg.Cursor(connection, row_factory=pg.rows.tuple_row)
    batch = Batch(sql, verbs)
    with savepoint(cursor):
        if identity_of(cursor, sql) != identity:
            refuse_other_database(connection)
        for statement in batch.before_commit():
            cursor.execute(statement.sql, statement.values)
            if statement.take is not None:
                statement.take(cursor.fetchall())
        for answer in batch.answers:
            if isinstance(answer, Refused):
                raise answer
    return batch.answers


@contextmanager
def savepoint(cursor: Cursor[tuple[Any, ...]]) -> Iterator[None]:
    pg = psycopg()
    try:
        cursor.execute("SAVEPOINT backroom_guest")
        try:
            yield
        except BaseException:
            if not cursor.connection.closed:
                cursor.execute("ROLLBACK TO SAVEPOINT backroom_guest")
                cursor.execute("RELEASE SAVEPOINT backroom_guest")
            raise
        cursor.execute("RELEASE SAVEPOINT backroom_guest")
    except pg.Error as error:
        if is_passing(error):
            raise
        raise fault(error) from error


def refuse_unusable(connection: Any) -> None:
    pg = psycopg()
    if not isinstance(connection, pg.Connection):
        raise Refused(
            f"A {type(connection).__qualname__} is no psycopg connection, and the runs are kept in "
            "PostgreSQL. Pass the psycopg.Connection whose transaction this call shall join."
        )
    idle = connection.info.transaction_status == pg.pq.TransactionStatus.IDLE
    if connection.closed or (idle and connection.autocommit):
        raise Refused(
            "No transaction is open on this connection, which commits every statement by itself. "
            "Enter `with connection.transaction():` before, or start without a connection."
        )
    if connection.info.transaction_status == pg.pq.TransactionStatus.INERROR:
        raise Refused(
            "The transaction on this connection has failed already. Roll it back, then begin anew."
        )


def identity_of(cursor: Connection[Any] | Cursor[tuple[Any, ...]], sql: Sql) -> Identity | None:
    """Which database a connection leads to; None: one without our tables."""
    there = cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f'"{sql.schema}".migration'])
    if there.fetchone() != (True,):
        return None
    name, born = cursor.execute(sql["identity"]).fetchone() or ("", "")
    return name, born or ""


def require(identity: Identity | None) -> Identity:
    if identity is None:
        raise SchemaError("The tables of backroom are missing. Run `backroom migrate`.")
    return identity


def refuse_other_database(connection: Connection[Any]) -> NoReturn:
    raise Refused(
        f"This connection leads to the database {connection.info.dbname}, and the runs are kept in "
        "another one. Pass a connection to the database that this app was made with, or start "
        "without one."
    )
