"""The least SQL on PostgreSQL, by psycopg: arrays, one prepared statement for a batch."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

__all__ = ["RawPostgres"]

TABLES = """
    CREATE TABLE job (
        id uuid PRIMARY KEY, state text NOT NULL, due timestamptz NOT NULL,
        attempt integer NOT NULL, input text NOT NULL
    ) WITH (fillfactor = 70);
    CREATE INDEX job_due ON job (due, id) WHERE state = 'ready';
    CREATE TABLE result (id uuid PRIMARY KEY, result text NOT NULL, at timestamptz NOT NULL);
    CREATE TABLE step (
        id uuid, address text, result text NOT NULL, at timestamptz NOT NULL,
        PRIMARY KEY (id, address)
    );
"""
INSERT = """
    INSERT INTO job SELECT id, 'ready', now(), 0, '{}' FROM unnest(%s::uuid[]) AS g (id)
"""
CLAIM = """
    WITH picked AS (
        SELECT id FROM job WHERE state = 'ready' AND due <= now() ORDER BY due, id
        LIMIT %s FOR UPDATE SKIP LOCKED
    )
    UPDATE job SET state = 'running', attempt = attempt + 1 FROM picked
    WHERE job.id = picked.id RETURNING job.id::text, job.input
"""
COMPLETE = """
    WITH gone AS (DELETE FROM job WHERE id = ANY (%s::uuid[]) RETURNING id)
    INSERT INTO result SELECT id, 'null', now() FROM gone
"""
SAVE = """
    INSERT INTO step SELECT id, address, 'null', now()
    FROM unnest(%s::uuid[], %s::text[]) AS g (id, address)
"""


class RawPostgres:
    def __init__(self, dsn: str) -> None:
        # Prepared at first use, as in a loop that has been running for a while.
        self._connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
        self._connection.execute(TABLES, prepare=False)

    def insert(self, ids: Sequence[str]) -> None:
        self._connection.execute(INSERT, (list(ids),))

    def claim(self, limit: int) -> list[str]:
        return [row[0] for row in self._connection.execute(CLAIM, (limit,)).fetchall()]

    def complete(self, ids: Sequence[str]) -> None:
        self._connection.execute(COMPLETE, (list(ids),))

    def save(self, steps: Sequence[tuple[str, str]]) -> None:
        ids, addresses = zip(*steps, strict=True)
        self._connection.execute(SAVE, (list(ids), list(addresses)))

    def close(self) -> None:
        self._connection.close()
