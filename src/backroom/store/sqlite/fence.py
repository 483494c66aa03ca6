"""The fence: which attempts of a batch still hold their runs.

One look at the hot rows of the whole batch, after the doors have been through (a rescue in the same
batch counts). BEGIN IMMEDIATE has shut out every other writer, so what was read holds until the
commit. A verb that ends its attempt takes its row out, and a second one finds it gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from backroom.records.errors import LeaseLost
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import Fenced

__all__ = ["Fence", "Held", "fence_of", "held_only"]

V = TypeVar("V", bound=Fenced)

HELD = sql("held")


class Held(NamedTuple):
    """The hot row of a run that is being performed."""

    id: str
    attempt: int
    starts: int
    parent_id: str | None
    worker: str | None
    started_at: int | None
    claimed_at: int
    deadline_at: int | None


Fence = dict[str, Held]


def fence_of(tx: Transaction, verbs: Iterable[Fenced]) -> Fence:
    """The rows held by exactly the attempts that speak in this batch, by run id."""
    speaking = {(verb.run_id, verb.attempt) for verb in verbs}
    ids = as_json({run_id for run_id, _ in speaking})
    make = Held._make
    return {row[0]: make(row) for row in tx.all(HELD, (ids,)) if (row[0], row[1]) in speaking}


def held_only(
    fence: Fence, verbs: Sequence[tuple[int, V]], answers: list[object]
) -> Iterator[tuple[int, V]]:
    """The verbs of attempts that still hold their runs; the others are answered with LeaseLost."""
    for place, verb in verbs:
        held = fence.get(verb.run_id)
        if held is None or held.attempt != verb.attempt:
            answers[place] = LeaseLost(verb.run_id, verb.attempt)
        else:
            yield place, verb
