"""Waiting for the exact moment in which a session waits for a lock, without a sleep."""

import psycopg


def until_blocked(dsn: str, sessions: int = 1) -> None:
    """Return once this many sessions of the database wait for a lock."""
    with psycopg.connect(dsn, autocommit=True) as watcher:
        for _ in range(100_000):
            row = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            if row and row[0] >= sessions:
                return
    raise AssertionError(f"{sessions} sessions should wait for a lock")
