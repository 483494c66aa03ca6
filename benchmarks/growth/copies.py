"""A million runs in seconds: one run is made by the front door, SQL copies it.

Whatever tables hold rows of the run, those rows are copied, each with a new id where the old one
stood; so this file knows no table. The new ids are older than all real ones: copies come first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import psycopg
from psycopg import sql

__all__ = ["Copier", "PostgresCopier", "SqliteCopier", "copier"]

Changes = Mapping[str, int]
"""Columns whose values are shifted, and by how much."""


class Copier:
    """Copies the rows of a run in one kind of database."""

    def copy(self, run_id: str, *, first: int, count: int, shifts: Changes) -> None:
        """Copies number `first` to `first + count - 1`; numbers must not come twice."""
        raise NotImplementedError

    def size_mb(self) -> float:
        """What the database occupies."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class PostgresCopier(Copier):
    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)

    def copy(self, run_id: str, *, first: int, count: int, shifts: Changes) -> None:
        for table, columns in self._tables().items():
            key = next((name for name in ("id", "run_id") if name in columns), None)
            if key is None or columns[key] != "uuid":
                continue
            of_run = sql.SQL("{} = {}::uuid").format(sql.Identifier(key), sql.Literal(run_id))
            chosen = [
                self._column(name, kind, run_id, shifts.get(name)) for name, kind in columns.items()
            ]
            statement = sql.SQL(
                "INSERT INTO backroom.{table} ({names}) SELECT {chosen} FROM backroom.{table} o, "
                "generate_series({first}::bigint, {last}::bigint) g (n) WHERE o.{of_run}"
            ).format(
                table=sql.Identifier(table),
                names=sql.SQL(", ").join(map(sql.Identifier, columns)),
                chosen=sql.SQL(", ").join(chosen),
                first=sql.Literal(first),
                last=sql.Literal(first + count - 1),
                of_run=of_run,
            )
            self._connection.execute(statement)
        self._connection.execute("VACUUM (ANALYZE)")  # as autovacuum has done on a real backlog
        self._connection.execute("CHECKPOINT")

    def _tables(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        rows = self._connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "JOIN information_schema.tables t USING (table_schema, table_name) "
            "WHERE table_schema = 'backroom' AND t.table_type = 'BASE TABLE' "
            "AND is_generated = 'NEVER' ORDER BY ordinal_position"
        )
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = kind
        return found

    def _column(self, name: str, kind: str, run_id: str, shift: int | None) -> sql.Composable:
        column = sql.SQL("o.{}").format(sql.Identifier(name))
        if kind == "uuid":
            return sql.SQL(
                "CASE WHEN {} = {}::uuid THEN "
                "('00000000-0000-7000-8000-' || lpad(to_hex(g.n), 12, '0'))::uuid ELSE {} END"
            ).format(column, sql.Literal(run_id), column)
        if shift is not None:
            return sql.SQL("{} + {}").format(column, sql.Literal(shift))
        return column

    def size_mb(self) -> float:
        row = self._connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0]) / (1 << 20)

    def close(self) -> None:
        self._connection.close()


class SqliteCopier(Copier):
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=60)

    def copy(self, run_id: str, *, first: int, count: int, shifts: Changes) -> None:
        execute = self._connection.execute
        tables = execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'backroom!_%' "
            "ESCAPE '!'"
        ).fetchall()
        execute("BEGIN IMMEDIATE")
        for (table,) in tables:
            columns = [row[1] for row in execute(f'PRAGMA table_info("{table}")')]
            key = next((name for name in ("id", "run_id") if name in columns), None)
            if key is None:
                continue
            chosen = ", ".join(self._column(name, shifts.get(name)) for name in columns)
            names = ", ".join(f'"{name}"' for name in columns)
            execute(
                f"WITH RECURSIVE g (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM g "  # noqa: S608
                f'WHERE n < :last) INSERT INTO "{table}" ({names}) SELECT {chosen} '
                f'FROM "{table}" o, g WHERE o."{key}" = :run',
                {"first": first, "last": first + count - 1, "run": run_id},
            )
        execute("COMMIT")
        execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _column(self, name: str, shift: int | None) -> str:
        if shift is not None:
            return f'o."{name}" + {shift}'
        copied = "printf('00000000-0000-7000-8000-%012x', g.n)"
        return f'CASE WHEN o."{name}" = :run THEN {copied} ELSE o."{name}" END'

    def size_mb(self) -> float:
        pages, size = (
            int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "page_size")
        )
        return pages * size / (1 << 20)

    def close(self) -> None:
        self._connection.close()


def copier(address: str) -> Copier:
    return PostgresCopier(address) if "://" in address else SqliteCopier(address)
