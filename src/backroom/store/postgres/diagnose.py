"""What `doctor` looks at on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from backroom.records.errors import SchemaError, StoreError
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.faults import fault
from backroom.store.postgres.link import Address, is_direct
from backroom.store.postgres.migrate import applied, check, migrations
from backroom.store.postgres.statement import Sql

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["diagnose"]

Finding = tuple[str, str, str]

OLDEST_RELEASE = 140_000
LONG_TRANSACTION_SECONDS = 300
FEW_CONNECTIONS = 10
MANY_TRANSACTIONS = 1_000_000


class Facts(NamedTuple):
    """A row of facts.sql."""

    version: str
    version_number: int
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    standby: bool
    horizon_transactions: int
    oldest_seconds: float
    idle_in_transaction: int
    connections: int
    connections_max: int
    autovacuum: str
    prepared_transactions: int
    slot_transactions: int


def diagnose(address: Address, sql: Sql) -> list[Finding]:
    """(level, what, remedy), the level being ok, warning or error."""
    try:
        pg = psycopg()
        connection = address.connect()
        try:
            facts = Facts._make(connection.execute(sql["facts"]).fetchone() or ())
            return [
                *server(facts),
                *durability(facts),
                *sessions(facts),
                *vacuum(facts),
                *pooler(connection),
                *tables(connection, sql),
            ]
        except pg.Error as error:
            raise fault(error) from error
        finally:
            connection.close()
    except StoreError as error:
        return [failed(error)]


def failed(error: StoreError) -> Finding:
    cause, _, remedy = str(error).rpartition(". ") if ". " in str(error) else (str(error), "", "")
    return "error", cause + ".", remedy


def server(facts: Facts) -> Iterator[Finding]:
    if facts.version_number < OLDEST_RELEASE:
        yield "error", f"PostgreSQL is {facts.version}.", "Upgrade it to 14 or newer."
    else:
        yield "ok", f"PostgreSQL is {facts.version}.", ""
    if facts.standby:
        yield "error", "The server is a standby and accepts no writes.", "Connect to the primary."


def durability(facts: Facts) -> Iterator[Finding]:
    if facts.fsync == "on":
        yield "ok", "fsync is on.", ""
    else:
        what = "fsync is off: a power cut can lose or damage everything."
        yield "error", what, "Set fsync = on and restart the server."
    if facts.synchronous_commit == "off":
        what = "synchronous_commit is off: a crash can lose the last moments of accepted work."
        yield "warning", what, "Set it to on for this database or role."
    else:
        yield "ok", f"synchronous_commit is {facts.synchronous_commit}.", ""
    if facts.full_page_writes == "on":
        yield "ok", "full_page_writes is on.", ""
    else:
        what = "full_page_writes is off: a crash can tear pages."
        yield "warning", what, "Set it to on, unless the file system writes pages whole."


def sessions(facts: Facts) -> Iterator[Finding]:
    age = f"{facts.oldest_seconds:,.0f} s, {facts.horizon_transactions:,} transactions back"
    if facts.oldest_seconds > LONG_TRANSACTION_SECONDS:
        what = f"The oldest open transaction is old ({age}); dead rows can't be cleared behind it."
        yield "warning", what, "End it, and set idle_in_transaction_session_timeout."
    else:
        yield "ok", f"The oldest open transaction is young ({age}).", ""
    if facts.idle_in_transaction:
        what = f"{facts.idle_in_transaction} sessions idle in a transaction for over a minute."
        yield "warning", what, "Commit or close them; they hold locks and old rows."
    free = facts.connections_max - facts.connections
    what = f"{facts.connections} of {facts.connections_max} connections are in use."
    if free < FEW_CONNECTIONS:
        yield "warning", what, "Raise max_connections, or put a pooler in front."
    else:
        yield "ok", what, ""


def vacuum(facts: Facts) -> Iterator[Finding]:
    if facts.autovacuum == "on":
        yield "ok", "autovacuum is on.", ""
    else:
        what = "autovacuum is off: dead rows pile up, and claims get slower and slower."
        yield "error", what, "Set autovacuum = on and reload the server."
    for transactions, what, remedy in (
        (facts.prepared_transactions, "A prepared transaction",
         "Commit it or roll it back, see pg_prepared_xacts."),
        (facts.slot_transactions, "A replication slot",
         "Bring its consumer back, or drop the slot, see pg_replication_slots."),
    ):  # fmt: skip
        if transactions > MANY_TRANSACTIONS:
            told = f"{what} holds back {transactions:,} transactions; dead rows can't be cleared."
            yield "warning", told, remedy


def pooler(connection: Connection[tuple[Any, ...]]) -> Iterator[Finding]:
    if is_direct(connection):
        yield "ok", "The connection leads to the server itself.", ""
    else:
        what = "A pooler is in between: doorbells don't pass it, so workers look every `poll`."
        yield "ok", what + " For quick starts set direct_database.", ""


def tables(connection: Connection[tuple[Any, ...]], sql: Sql) -> Iterator[Finding]:
    try:
        check(applied(connection, sql))
    except SchemaError as error:
        yield failed(error)
        return
    yield "ok", f"The schema is that of this program, {migrations()[-1].name}.", ""
    row = connection.execute(sql["count_expired_workers"]).fetchone()
    expired = row[0] if row else 0
    if expired:
        what = "1 worker has" if expired == 1 else f"{expired} workers have"
        yield "warning", f"{what} an expired lease.", "Start a worker: it releases their runs."
    else:
        yield "ok", "No worker has an expired lease.", ""
