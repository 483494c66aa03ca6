"""One statement of a batch: its text, its values, and who takes the rows.

The rooms of this package turn verbs into statements and know nothing of connections; `pipeline.py`
sends statements and knows nothing of verbs. So the same rooms serve a session's own transaction
(all statements in one round trip) and a caller's (one by one, `guests.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from backroom.store.statements import load, names

__all__ = [
    "Answers",
    "Row",
    "Sql",
    "Statement",
    "id_array",
    "number_array",
    "text_array",
    "valid_id",
]

Row = tuple[Any, ...]
Answers = list[object]

PACKAGE = "backroom.store.postgres"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Statement(NamedTuple):
    sql: str
    values: Mapping[str, object] = {}
    take: Callable[[Sequence[Row]], None] | None = None


class Sql:
    """The statements of this package for one schema: `sql["settle"]`."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    @cached_property
    def texts(self) -> dict[str, str]:
        return {name: load(PACKAGE, name, self.schema) for name in names(PACKAGE)}

    def __getitem__(self, name: str) -> str:
        return self.texts[name]


def valid_id(run_id: str) -> bool:
    """Whether the database would take this text for a uuid; what people type may be anything."""
    return UUID.fullmatch(run_id) is not None


# psycopg's own dumper of lists costs several times more than the statement it is for. Literals
# made by hand are plain text to it, and the statements cast them.


def id_array(values: Iterable[str]) -> str:
    """An array literal of values that need no quotes."""
    return "{" + ",".join(values) + "}"


def number_array(values: Iterable[object]) -> str:
    """An array literal of numbers, or of ids that may be missing."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def text_array(values: Iterable[str | None]) -> str:
    """An array literal of any texts."""
    return (
        "{"
        + ",".join(
            [
                "NULL"
                if value is None
                else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
                for value in values
            ]
        )
        + "}"
    )
