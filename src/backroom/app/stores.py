"""From a database's address to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backroom.records.errors import Refused
from backroom.store.protocol import Store

if TYPE_CHECKING:
    from backroom.app.settings import Settings

__all__ = ["make_store"]


def make_store(settings: Settings, *, checkpoints: bool = True) -> Store:
    """A SQLite file (a path or sqlite:///path) or a postgresql:// address."""
    address = settings.database
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "sqlite":
        from backroom.store.sqlite.store import SqliteStore

        path = rest.removeprefix("/") if separator else address
        if not path:
            raise Refused(
                "The database's address is empty. Name a SQLite file or a postgresql:// address, "
                "or unset BACKROOM_DATABASE to use ./backroom.db."
            )
        if path == ":memory:":
            raise Refused(
                "A database in memory ends with its process and can't keep anything. Name a file."
            )
        return SqliteStore(
            path, checkpoints=checkpoints, busy_timeout_ms=int(settings.busy_seconds * 1000)
        )
    if scheme.split("+")[0] in ("postgresql", "postgres"):
        from backroom.store.postgres.store import PostgresStore

        return PostgresStore(
            f"postgresql://{rest}",
            schema=settings.schema_name,
            prepare=settings.prepare,
            listen_dsn=settings.direct_database or None,
        )
    raise Refused(
        f"{scheme}:// is no database that backroom keeps runs in. Use a SQLite file or postgresql://."
    )
