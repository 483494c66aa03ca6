"""PostgreSQL databases with our tables, which the tests of a process use one after another.

Making a database and its tables and dropping it takes a quarter of a second; emptying one takes a
tenth of that.

    take ─▶ test ─▶ give back ─▶ everybody out, a new name, as it was made? ─ yes ─▶ emptied, kept
                                                                    └ no ─▶ dropped

The new name keeps out whoever still knows the old one: a thread or a process that outlives its
test finds no database, as if it had been dropped. "As it was made" looks at the system catalogues
and the list of migrations, so a test may create, alter, grant and set what it likes. The one
function that a test may replace is the clock, which is put back.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import errors, sql

from backroom.store.postgres import PostgresStore
from tests.postgres import Server, drop_database, fresh_database, in_database
from tests.postgres_binaries import exclusive

TRIES_TO_RENAME = 3
GROWN_BYTES = 2_000_000
"""What has grown beyond this is dropped: emptying leaves the space to be walked."""

CATALOGUES = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_extension",
    "pg_index", "pg_inherits", "pg_namespace", "pg_policy", "pg_proc", "pg_publication",
    "pg_rewrite", "pg_trigger", "pg_type",
)  # fmt: skip

# A row that was changed or is new has a higher xmin, and one that is missing changes the count.
AS_IT_IS = "SELECT concat_ws(' '," + ",".join(
    [
        *(
            f"(SELECT count(*) || '/' || max(xmin::text::bigint) FROM {name}"
            + (" WHERE oid <> to_regprocedure('backroom.now_us()')" if name == "pg_proc" else "")
            + ")"
            for name in CATALOGUES
        ),
        "(SELECT array_agg(m ORDER BY number)::text FROM backroom.migration AS m)",
        "(SELECT datacl::text || datconnlimit FROM pg_database"
        " WHERE datname = current_database())",
        "(SELECT count(*) FROM pg_db_role_setting AS s JOIN pg_database AS d"
        " ON d.oid = s.setdatabase WHERE d.datname = current_database())",
    ]
) + ")"  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mould:
    """The database from which the others are copied, and how it looks."""

    server: dict[str, Any]
    dsn: str
    looks: str
    clock: str
    empties: str

    @property
    def name(self) -> str:
        return urlsplit(self.dsn).path.removeprefix("/")


def mould_in(folder: Path, server: Server) -> Mould:
    """The mould of this server; the first process that needs it makes it."""
    with exclusive(folder / f"mould-{server.release}.lock"):
        file = folder / f"mould-{server.release}"
        if not file.exists():
            file.write_text(json.dumps(asdict(_make_mould(server))))
        return Mould(**json.loads(file.read_text()))


def drop_moulds(folder: Path) -> None:
    """At the end of all processes: a server of somebody's own keeps nothing of ours."""
    for file in folder.glob("mould-*[0-9]"):
        mould = Mould(**json.loads(file.read_text()))
        server = Server(**mould.server)
        drop_database(server, mould.dsn)


def _make_mould(server: Server) -> Mould:
    dsn = fresh_database(server)
    store = PostgresStore(dsn)
    store.migrate()
    store.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        (clock,) = connection.execute(
            "SELECT pg_get_functiondef('backroom.now_us()'::regprocedure)"
        ).fetchone() or ("",)
        empties = [
            sql.SQL("DELETE FROM backroom.{}").format(sql.Identifier(name)).as_string(connection)
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'backroom'"
                " AND tablename <> 'migration' ORDER BY 1"
            )
        ]
        return Mould(asdict(server), dsn, _looks(connection), clock, ";".join(empties))


def _looks(connection: psycopg.Connection) -> str:
    (looks,) = connection.execute(AS_IT_IS.encode()).fetchone() or ("",)
    return str(looks)


@contextmanager
def recycled(folder: Path, server: Server) -> Iterator["Stock"]:
    """The databases of this process, dropped at the end."""
    with psycopg.connect(server.dsn, autocommit=True) as boss:
        stock = Stock(server, mould_in(folder, server), boss)
        yield stock
        for dsn in stock.idle:
            drop_database(server, dsn)


class Stock:
    """Databases that no test is using."""

    def __init__(self, server: Server, mould: Mould, boss: psycopg.Connection) -> None:
        self.idle: list[str] = []
        self._server = server
        self._mould = mould
        self._boss = boss

    @contextmanager
    def one(self) -> Iterator[str]:
        """The address of a database with our tables and nothing in them."""
        dsn = self.idle.pop() if self.idle else self.new()
        yield dsn
        self._give_back(dsn)

    def new(self) -> str:
        """A database that nobody has used, for the caller to drop."""
        return fresh_database(self._server, template=self._mould.name)

    def _give_back(self, dsn: str) -> None:
        renamed = self._rename(dsn)
        if renamed is not None and self._emptied(renamed):
            self.idle.append(renamed)
        else:
            drop_database(self._server, renamed or dsn)

    def _rename(self, dsn: str) -> str | None:
        """End all its sessions and give it a name that nobody knows; its new address."""
        old = urlsplit(dsn).path.removeprefix("/")
        new = f"backroom_{secrets.token_hex(6)}"
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        for _ in range(TRIES_TO_RENAME):
            self._boss.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [old],
            )
            try:
                self._boss.execute(rename.format(sql.Identifier(old), sql.Identifier(new)))
            except errors.ObjectInUse:
                continue  # somebody came back in between
            return in_database(self._server.dsn, new)
        return None

    def _emptied(self, dsn: str) -> bool:
        """Whether it is as it was made again, but for what only takes up room."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            (size,) = connection.execute(
                "SELECT sum(pg_relation_size(oid)) FROM pg_class"
                " WHERE relnamespace = to_regnamespace('backroom')"
            ).fetchone() or (None,)
            if size is None or size > GROWN_BYTES or _looks(connection) != self._mould.looks:
                return False
            connection.execute(f"{self._mould.clock};{self._mould.empties}".encode())
            return True
