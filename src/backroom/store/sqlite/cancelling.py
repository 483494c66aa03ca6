"""Cancelling a run with everything attached below it.

What nobody performs ends at once. A running run is asked, and its worker ends it. A run that has
registered undos is asked as well, and made ready, so that a worker takes back what it has done; one
that is doing so already is left alone.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from backroom.store.sqlite.ends import end_runs
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql

__all__ = ["cancel_children", "cancel_family"]

DESCENDANTS = sql("descendants")
CANCEL_BACKWARDS = sql("cancel_backwards")
CHILDREN_OF = sql("children_of")
ASK_TO_CANCEL = sql("ask_to_cancel")


class Member(NamedTuple):
    """A live run of a family that is being cancelled."""

    id: str
    state: str
    attempt: int
    worker: str | None
    started_at: int | None
    cancel_reason: str | None
    has_undos: bool
    goes_backwards: bool


def cancel_family(tx: Transaction, ids: str, reason: str) -> None:
    """Cancel these live runs (ids as a JSON list) and all attached runs below them."""
    ended: list[Row] = []
    asked: list[Row] = []
    for member in map(Member._make, tx.all(DESCENDANTS, (ids,))):
        if member.state == "running":
            asked.append((reason, member.id))
            continue
        if member.goes_backwards:
            continue
        if member.has_undos:
            tx.run(CANCEL_BACKWARDS, (reason, tx.now, member.id))
            continue
        # Whoever asked first has said why; a run that is not to begin knows it already.
        because = reason if member.cancel_reason is None else member.cancel_reason
        error = json.dumps({"kind": "Cancelled", "message": because}, ensure_ascii=False)
        row = (
            member.id,
            "cancelled",
            member.attempt,
            None,
            error,
            member.worker,
            member.started_at,
            tx.now,
        )
        ended.append(row)
    tx.many(ASK_TO_CANCEL, asked)
    if ended:
        end_runs(tx, ended)


def cancel_children(tx: Transaction, parents: str) -> None:
    """Cancel what is still alive below runs that have just ended (ids as a JSON list)."""
    children = [row[0] for row in tx.all(CHILDREN_OF, (parents,))]
    if children:
        cancel_family(tx, as_json(children), "the run that started it was cancelled")
