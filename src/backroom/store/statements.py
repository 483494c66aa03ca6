"""SQL from files: one statement a file, named after what it does.

The folder listing of `sqlite/sql` or `postgres/sql` is the storage interface of that database.
A statement is read once per process; comment lines are for its readers and aren't sent.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

__all__ = ["load", "names"]

SCHEMA = "backroom"


@cache
def load(package: str, name: str, schema: str = SCHEMA) -> str:
    """The statement in `<package>/sql/<name>.sql`.

    `schema`: what to put in place of the schema name `backroom.` that the files are written with
    (PostgreSQL only; SQLite's tables carry the name as a prefix, which stays).
    """
    text = (resources.files(package) / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    statement = "\n".join(lines).strip().rstrip(";")
    if schema != SCHEMA:
        quoted = '"' + schema.replace('"', '""') + '"'
        statement = statement.replace(f"{SCHEMA}.", f"{quoted}.")
    return statement


@cache
def names(package: str) -> tuple[str, ...]:
    """The names of all statements of a package, sorted."""
    files = (resources.files(package) / "sql").iterdir()
    return tuple(sorted(f.name.removesuffix(".sql") for f in files if f.name.endswith(".sql")))
