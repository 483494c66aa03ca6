"""Taking a copy of a database and bringing it back, as an operator would, on either database."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg

from backroom.store.protocol import Store
from tests.postgres_binaries import find_binaries

__all__ = ["bring_back", "copy_of"]

RESTORE_ID = "01a20c82-0000-7000-8000-00000000a0d2"


def copy_of(store: Store, database: str, folder: Path) -> Path:
    """A backup of the database, in a file."""
    made = folder / "backup"
    if store.dialect == "sqlite":
        store.backup(made)
    else:
        tool("pg_dump", "--format=custom", f"--file={made}", database)
    return made


def bring_back(store: Store, database: str, made: Path) -> int:
    """Put a backup in the database's place; how many runs were running in it."""
    if store.dialect == "sqlite":
        return store.restore(made, RESTORE_ID, "Grace")
    with psycopg.connect(database, autocommit=True) as server:
        server.execute("DROP SCHEMA IF EXISTS backroom CASCADE")
    done = tool("pg_restore", f"--dbname={database}", str(made), check=False)
    # The newest tool sets a time-out that older servers don't have.
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert all("transaction_timeout" in line for line in errors), done.stderr
    return store.restore(None, RESTORE_ID, "Grace")


def tool(name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = find_binaries("newest") / name
    return subprocess.run([str(program), *arguments], check=check, capture_output=True, text=True)
