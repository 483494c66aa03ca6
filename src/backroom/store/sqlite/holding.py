"""Lock, and giving locks back: the lines in which runs stand for what one of them has at a time.

A line is the rows of one name in the order of their turn; the first of them has the lock. Whoever
leaves a line passes the lock on to the next: the table's own trigger does that, since a run leaves
at the end of its `with` block or at its own end, however that comes.
"""

from __future__ import annotations

from collections.abc import Sequence

from backroom.store.sqlite.fence import Fence, held_only
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import Lock, Locked

__all__ = ["TIE", "lock", "release"]

TIE = sql("tie")
STAND_IN_LINE = sql("stand_in_line")
LOCK_LACKS = sql("lock_lacks")
LOCK_CIRCLE = sql("lock_circle")
RELEASE_LOCKS = sql("release_locks")


def lock(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, Lock]],
    answers: list[object],
) -> None:
    for place, verb in held_only(fence, verbs, answers):
        answers[place] = ask(tx, verb)


def ask(tx: Transaction, verb: Lock) -> Locked:
    request = (verb.run_id, verb.address)
    tx.run(TIE, (as_json([verb.run_id]),))
    for name in verb.names:
        tx.run(STAND_IN_LINE, (name, *request, verb.path, tx.now))
    if tx.one(LOCK_LACKS, request) is None:
        return Locked(held=True)
    circle = tuple(row[0] for row in tx.all(LOCK_CIRCLE, (*request, verb.path)))
    if circle:
        tx.run(RELEASE_LOCKS, request)
    return Locked(held=False, circle=circle)


def release(tx: Transaction, requests: Sequence[tuple[str, str]]) -> None:
    """Give back what was taken by these requests, each a run and an address."""
    tx.many(RELEASE_LOCKS, requests)
