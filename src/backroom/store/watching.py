"""What triggers on the application's tables have in common on both databases: how the columns are
found that an author has named, and what a trigger is known by.

The SQL is each database's own, see `postgres/watching.py` and `sqlite/watching.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import NamedTuple

from backroom.records.errors import Refused
from backroom.records.triggers import RowTrigger

__all__ = ["Names", "definition_of", "one_object", "quoted_name"]


class Names(NamedTuple):
    """The columns of a trigger's table, by the names that its author gave them. `but`: which of
    them can't be had."""

    trigger: RowTrigger
    columns: Collection[str]
    but: str = ""

    def own(self, name: str) -> str:
        """A column's own spelling."""
        if name in self.columns:
            return name
        alike = [column for column in self.columns if column.lower() == name.lower()]
        if len(alike) != 1:
            raise Refused(
                f"{self.trigger.name} names the column {name!r}, which {self.trigger.table} "
                f"doesn't have{self.but}. It has {', '.join(self.columns)}."
            )
        return alike[0]

    def key(self, table: str, primary: Sequence[str]) -> tuple[str, ...]:
        """What tells one row from another. Refused: nothing does."""
        if "$" in self.columns:
            raise Refused(
                f"{table} has a column called '$', which has a meaning of its own in JSON."
            )
        key = tuple(map(self.own, self.trigger.key)) or tuple(primary)
        if not key:
            raise Refused(
                f"{table} has no primary key, so nothing tells its rows apart. Give it one, or "
                "name columns that do: key=[...]."
            )
        return key

    def counted(self) -> list[str]:
        """Those that make an update count; none: all do."""
        return [self.own(column) for column in self.trigger.columns]

    def carried(self, key: Sequence[str]) -> list[str]:
        """Those that the flow is given."""
        if self.trigger.carry is None:
            return list(self.columns)
        return list(dict.fromkeys([*key, *map(self.own, self.trigger.carry)]))


def definition_of(trigger: RowTrigger) -> str:
    """What is kept of a trigger, to see later whether it is declared otherwise."""
    return json.dumps(asdict(trigger), sort_keys=True)


def one_object(pieces: Sequence[str]) -> str:
    """SQL that makes one JSON object of the texts of several; a wide row needs more than one."""
    if len(pieces) == 1:
        return pieces[0]
    inner = " || ',' || ".join(f"substr({piece}, 2, length({piece}) - 2)" for piece in pieces)
    return f"'{{' || {inner} || '}}'"


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
