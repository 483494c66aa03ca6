"""Migrations: numbered files, each applied once, in a transaction of its own.

Processes that migrate at the same moment queue up behind an advisory lock that ends with the
transaction; a process that is killed in the middle leaves the database as it was before that file.
A database that is up to date is only looked at.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from backroom.records.errors import SchemaError
from backroom.store.postgres.statement import Sql

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Migration", "applied", "check", "migrate", "migrations"]

PACKAGE = "backroom.store.postgres"
NAME = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of what is done, whatever the schema is called."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    folder = resources.files(PACKAGE) / "migrations"
    found = [
        Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := NAME.fullmatch(file.name))
    ]
    return tuple(sorted(found))


Applied = dict[int, tuple[str, str]]
"""Names and checksums by number."""


def applied(connection: Connection[tuple[Any, ...]], sql: Sql) -> Applied | None:
    """What the database has; None: nothing of ours."""
    found = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", [f'"{sql.schema}".migration']
    ).fetchone()
    if found is None or not found[0]:
        return None
    rows = connection.execute(sql["migrations_applied"]).fetchall()
    return {number: (name, checksum) for number, name, checksum in rows}


def check(have: Applied | None) -> None:
    """SchemaError unless the database has exactly the migrations of this program."""
    known = {migration.number: migration for migration in migrations()}
    if have is None or not have:
        raise SchemaError("The tables of backroom are missing. Run `backroom migrate`.")
    check_known(have)
    missing = [known[number].name for number in sorted(known.keys() - have.keys())]
    if missing:
        raise SchemaError(f"The database lacks {', '.join(missing)}. Run `backroom migrate`.")


def check_known(have: Applied) -> None:
    """SchemaError if the database has what this program doesn't know, or knows otherwise."""
    known = {migration.number: migration for migration in migrations()}
    if newer := sorted(have.keys() - known.keys()):
        raise SchemaError(
            f"The database is newer than this program: it has {have[newer[-1]][0]}, this program "
            f"knows {known[max(known)].name}. Upgrade backroom here."
        )
    for number, (name, checksum) in have.items():
        if known[number].checksum != checksum:
            raise SchemaError(
                f"The checksum of migration {name} differs: the database got other contents than "
                "this program has. Use the release that made the tables, and report this."
            )


def migrate(connection: Connection[tuple[Any, ...]], sql: Sql, lock_timeout_ms: int) -> list[str]:
    """Apply what is missing, on an autocommit connection. Raises what psycopg raises."""
    have = applied(connection, sql) or {}
    check_known(have)
    done = []
    for migration in migrations():
        if migration.number in have:
            continue
        with connection.transaction():
            connection.execute(
                "SELECT set_config('lock_timeout', %s, true)", [str(lock_timeout_ms)]
            )
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                [f"backroom.migrate.{sql.schema}"],
            )
            if applied(connection, sql) is None:
                create_table(connection, sql)
            have = applied(connection, sql) or {}  # by whoever was here before us, too
            check_known(have)
            if migration.number in have:
                continue
            connection.execute(in_schema(migration.text, sql.schema).encode())
            connection.execute(
                sql["migration_done"],
                {
                    "number": migration.number,
                    "name": migration.name,
                    "checksum": migration.checksum,
                },
            )
            done.append(migration.name)
    return done


def create_table(connection: Connection[tuple[Any, ...]], sql: Sql) -> None:
    """The schema, if a database administrator hasn't made it for us, and the list of migrations."""
    there = connection.execute(
        "SELECT 1 FROM pg_namespace WHERE nspname = %s", [sql.schema]
    ).fetchone()
    if there is None:
        connection.execute(f'CREATE SCHEMA "{sql.schema}"'.encode())
    connection.execute(sql["create_migration"])


def in_schema(text: str, schema: str) -> str:
    return text if schema == "backroom" else text.replace("backroom.", f'"{schema}".')
