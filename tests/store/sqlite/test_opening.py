"""Opening a file whose tables are up to date takes no lock."""

import sqlite3
from pathlib import Path

from backroom.store.sqlite.store import SqliteStore


def test_an_up_to_date_file_can_be_opened_in_the_middle_of_a_write_transaction(
    sqlite_path: Path,
) -> None:
    """A process whose first use of backroom is a start in its own transaction would else wait for
    itself."""
    first = SqliteStore(sqlite_path)
    first.migrate()
    first.close()

    connection = sqlite3.connect(sqlite_path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    second = SqliteStore(sqlite_path, busy_timeout_ms=100)
    try:
        assert second.migrate() == []
    finally:
        second.close()
        connection.execute("ROLLBACK")
        connection.close()
