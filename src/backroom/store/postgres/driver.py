"""psycopg, imported when the first connection is made: `import backroom` must stay quick."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from backroom.records.errors import StoreUnavailable

__all__ = ["psycopg"]


@cache
def psycopg() -> ModuleType:
    """The module psycopg; StoreUnavailable with the name of our extra where it is missing."""
    try:
        import psycopg as module
    except ImportError as error:
        raise StoreUnavailable(
            f"PostgreSQL needs the package psycopg, which can't be imported here ({error}). "
            "Install it with: pip install 'backroom[postgres]'."
        ) from error
    return module
