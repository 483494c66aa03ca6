"""What becomes of a change of a row: a run, a part of another change's run, or nothing.

The loop guard is here. A change that a run has written carries that run's id, its cause; from there
the chain leads from run to run to the first one. A trigger refuses what its own flow's runs write,
unless it was told otherwise, and refuses everything once a chain has as many links that triggers
made as `limits.TRIGGER_DEPTH`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backroom.records import limits
from backroom.records.values import value

__all__ = [
    "Change",
    "Link",
    "coalesce",
    "input_of",
    "merged_input",
    "path_of",
    "refusal",
    "subject_in",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@value
class Change:
    """A row before and after, as JSON text; None: it wasn't there. `merged`: how many changes after
    the first are in it."""

    trigger_id: int
    at: int
    key: str
    old: str | None
    new: str | None
    cause: str | None
    merged: int = 0


@value
class Link:
    """A run in a chain of causes."""

    id: str
    flow: str
    started_by: str | None
    parent_id: str | None
    root_id: str | None
    depth: int


def coalesce(changes: Sequence[Change], triggers: Collection[int]) -> Iterator[Change]:
    """Changes of one row as one, in the place of the first, for these triggers. Those of different
    causes stay apart: each has its own right to start something."""
    merged: list[Change] = []
    places: dict[tuple[int, str], int] = {}  # where the last change of each row stands
    for change in changes:
        line = (change.trigger_id, change.key)
        place = places.get(line)
        first = None if place is None else merged[place]
        if place is None or first is None or not fits(first, change):
            if change.trigger_id in triggers:
                places[line] = len(merged)
            merged.append(change)
        else:
            merged[place] = Change(
                first.trigger_id, change.at, first.key, first.old, change.new, first.cause,
                first.merged + 1,
            )  # fmt: skip
    return iter(merged)


def fits(first: Change, later: Change) -> bool:
    """Whether two changes of a row can be one. What was made and removed again is two, and so is
    what was removed and made again: each is something to act on."""
    return (
        first.cause == later.cause
        and first.new is not None
        and (first.old is not None or later.new is not None)
    )


def refusal(chain: Sequence[Link], flow: str, *, own: bool) -> str | None:
    """Why a change that a run has written starts nothing: `own`, `depth`; None: it does."""
    if not own and any(link.flow == flow for link in family(chain)):
        return "own"
    links = sum(link.started_by is not None for link in chain)
    return "depth" if links >= limits.TRIGGER_DEPTH else None


def family(chain: Sequence[Link]) -> Iterator[Link]:
    """The run that wrote, and those it is attached to: one piece of work."""
    for link, above in zip(chain, [*chain[1:], None], strict=True):
        yield link
        if above is None or link.parent_id != above.id:
            return


def path_of(chain: Sequence[Link], flow: str) -> str:
    return " → ".join([*(link.flow for link in reversed(chain)), flow])


def input_of(table: str, parameter: str, change: Change) -> str:
    """The input of a run: the flow's one argument, a `Change`."""
    operation = "insert" if change.old is None else "delete" if change.new is None else "update"
    at = (EPOCH + timedelta(microseconds=change.at)).isoformat()
    return (
        f"{{{json.dumps(parameter)}:{{"
        f'"table":{json.dumps(table)},"operation":"{operation}","key":{change.key},'
        f'"old":{change.old or "null"},"new":{change.new or "null"},"at":"{at}"}}}}'
    )


def merged_input(given: str, parameter: str, change: Change) -> str | None:
    """The input of a run that hasn't begun with a later change of its row in it. None: they don't
    fit."""
    before = json.loads(given)[parameter]
    old = None if before["old"] is None else json.dumps(before["old"], ensure_ascii=False)
    new = None if before["new"] is None else ""
    if not fits(Change(0, 0, "", old, new, change.cause), change):
        return None
    both = Change(0, change.at, change.key, old, change.new, None)
    return input_of(before["table"], parameter, both)


def subject_in(text: str, path: Sequence[str]) -> str | None:
    """The subject of a run, out of its input. Of a row that is gone the old one tells."""
    found = walk(json.loads(text), path)
    if found is None and path[1:2] == ["new"]:
        found = walk(json.loads(text), [path[0], "old", *path[2:]])
    if isinstance(found, dict):  # what JSON lacks, with a tag
        found = found.get("v")
    return None if found is None or not str(found) else str(found)[: limits.KEY_CHARS]


def walk(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
