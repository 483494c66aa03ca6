"""Start and emit on the caller's own connection, inside the caller's own transaction.

The connection is the application's: its row factory, cursor class and settings are as the
application likes them and stay so. We write with a cursor of our own between a savepoint and its
release, so a refusal leaves nothing behind in the caller's transaction, nor does it abort it.

The caller may be asynchronous. So what is said to the server is a generator, told once, and two
drivers speak it: one blocks, one awaits.

    visit()  ── yields a statement ──▶  speak() or speak_awaiting()  ── executes ──▶  the connection
             ◀── its rows, or an error ──

A deadlock or serialisation failure is raised as psycopg's own error: the whole transaction has to
be repeated, and who does that is the application or its framework, which knows it by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from backroom.records.errors import Refused, SchemaError
from backroom.records.runs import NewRun, Started
from backroom.store.postgres.batch import Batch
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import fault, is_passing
from backroom.store.postgres.statement import Row, Sql, Statement
from backroom.store.verbs import Emit, Start, Verb

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection

__all__ = ["Identity", "emit_on", "identity_of", "join", "require", "start_on"]

T = TypeVar("T")

Identity = tuple[str, str]
Talk = Generator[Statement, Sequence[Row], T]
"""Statements go out, rows come in; what it returns at the end."""


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
    pg = psycopg()
    refuse_unusable(connection, pg.Connection)
    talk = visit(connection, sql, ours(), verbs)
    try:
        return speak(connection, talk)
    except pg.Error as error:
        if is_passing(error):
            raise
        raise fault(error) from error


async def join(
    connection: Any, sql: Sql, identity: Identity, verbs: Sequence[Verb]
) -> list[object]:
    """The same on an asynchronous connection, in the caller's own task."""
    pg = psycopg()
    refuse_unusable(connection, pg.AsyncConnection)
    try:
        return await speak_awaiting(connection, visit(connection, sql, identity, verbs))
    except pg.Error as error:
        if is_passing(error):
            raise
        raise fault(error) from error


def visit(connection: Any, sql: Sql, ours: Identity, verbs: Sequence[Verb]) -> Talk[list[object]]:
    batch = Batch(sql, verbs)
    yield Statement("SAVEPOINT backroom_guest")
    try:
        if (yield from identify(sql)) != ours:
            refuse_other_database(connection)
        for statement in batch.before_commit():
            rows = yield statement
            if statement.take is not None:
                statement.take(rows)
        for answer in batch.answers:
            if isinstance(answer, Refused):
                raise answer
    except BaseException:
        if not connection.closed:
            yield Statement("ROLLBACK TO SAVEPOINT backroom_guest")
            yield Statement("RELEASE SAVEPOINT backroom_guest")
        raise
    yield Statement("RELEASE SAVEPOINT backroom_guest")
    return batch.answers


def speak(connection: Connection[Any], talk: Talk[T]) -> T:
    pg = psycopg()
    cursor = pg.Cursor(connection, row_factory=pg.rows.tuple_row)
    try:
        statement = next(talk)
        while True:
            try:
                cursor.execute(statement.sql, statement.values or None)
                rows = cursor.fetchall() if cursor.description else []
            except BaseException as error:
                statement = talk.throw(error)
            else:
                statement = talk.send(rows)
    except StopIteration as end:
        answer: T = end.value
        return answer


async def speak_awaiting(connection: AsyncConnection[Any], talk: Talk[T]) -> T:
    pg = psycopg()
    cursor = pg.AsyncCursor(connection, row_factory=pg.rows.tuple_row)
    try:
        statement = next(talk)
        while True:
            try:
                await cursor.execute(statement.sql, statement.values or None)
                rows = await cursor.fetchall() if cursor.description else []
            except BaseException as error:
                statement = talk.throw(error)
            else:
                statement = talk.send(rows)
    except StopIteration as end:
        answer: T = end.value
        return answer


def refuse_unusable(connection: Any, kind: Any) -> None:
    pg = psycopg()
    if not isinstance(connection, kind):
        raise Refused(
            f"A {type(connection).__qualname__} is no psycopg connection, and the runs are kept in "
            f"PostgreSQL. Pass the psycopg.{kind.__name__} whose transaction this call shall join."
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


def identity_of(connection: Connection[Any], sql: Sql) -> Identity | None:
    """Which database a connection leads to; None: one without our tables."""
    return speak(connection, identify(sql))


def identify(sql: Sql) -> Talk[Identity | None]:
    there = yield Statement(
        "SELECT to_regclass(%(table)s) IS NOT NULL", {"table": f'"{sql.schema}".migration'}
    )
    if list(there) != [(True,)]:
        return None
    rows = yield Statement(sql["identity"])
    name, born = rows[0] if rows else ("", "")
    return name, born or ""


def require(identity: Identity | None) -> Identity:
    if identity is None:
        raise SchemaError("The tables of backroom are missing. Run `backroom migrate`.")
    return identity


def refuse_other_database(connection: Any) -> NoReturn:
    raise Refused(
        f"This connection leads to the database {connection.info.dbname}, and the runs are kept in "
        "another one. Pass a connection to the database that this app was made with, or start "
        "without one."
    )
