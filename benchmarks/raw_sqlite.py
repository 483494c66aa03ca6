"""The least SQL on SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["RawSqlite"]

TABLES = """
    CREATE TABLE job (
        id TEXT PRIMARY KEY, state TEXT NOT NULL, due INTEGER NOT NULL,
        attempt INTEGER NOT NULL, input TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX job_due ON job (due, id) WHERE state = 'ready';
    CREATE TABLE result (
        id TEXT PRIMARY KEY, result TEXT NOT NULL, at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE step (
        id TEXT, address TEXT, result TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (id, address)
    ) WITHOUT ROWID;
"""
CLAIM = """
    UPDATE job SET state = 'running', attempt = attempt + 1
    WHERE id IN (
        SELECT id FROM job WHERE state = 'ready' AND due <= ? ORDER BY due, id LIMIT ?
    ) RETURNING id, input
"""


class RawSqlite:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(TABLES)

    def insert(self, ids: Sequence[str]) -> None:
        now = time.time_ns() // 1000
        rows = [(run_id, "ready", now, 0, "{}") for run_id in ids]
        self._write("INSERT INTO job VALUES (?, ?, ?, ?, ?)", rows)

    def claim(self, limit: int) -> list[str]:
        now = time.time_ns() // 1000
        self._connection.execute("BEGIN IMMEDIATE")
        rows = self._connection.execute(CLAIM, (now, limit)).fetchall()
        self._connection.execute("COMMIT")
        return [row[0] for row in rows]

    def complete(self, ids: Sequence[str]) -> None:
        now = time.time_ns() // 1000
        run = self._connection
        run.execute("BEGIN IMMEDIATE")
        run.executemany("DELETE FROM job WHERE id = ?", [(run_id,) for run_id in ids])
        rows = [(run_id, "null", now) for run_id in ids]
        run.executemany("INSERT INTO result VALUES (?, ?, ?)", rows)
        run.execute("COMMIT")

    def save(self, steps: Sequence[tuple[str, str]]) -> None:
        now = time.time_ns() // 1000
        rows = [(run_id, address, "null", now) for run_id, address in steps]
        self._write("INSERT INTO step VALUES (?, ?, ?, ?)", rows)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
