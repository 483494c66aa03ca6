"""Park: an attempt ends and leaves behind only rows to wake its run by.

    worker                         somebody else
      looks into the mailbox
                                     emits; nobody waits yet, so nothing is woken
      parks ── looks again ──> due at once

The second look happens inside the writing transaction, where no other writer can be; a wake-up
can't fall between the look and the parking.
"""

from __future__ import annotations

from collections.abc import Sequence

from backroom.records.errors import LeaseLost
from backroom.records.runs import FOREVER, WaitRow
from backroom.store.sqlite.checkpoints import SAVE_STEP, due_at, step_rows, waits_of
from backroom.store.sqlite.fence import Fence, Held
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Park

__all__ = ["park"]

STANDS = sql("stands")
ATTEMPT_OUTCOME = sql("attempt_outcome")
DELETE_WAIT = sql("delete_wait")
REPLACE_WAIT = sql("replace_wait")
ALREADY_THERE = sql("already_there")
PARK = sql("park")


def park(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, Park]],
    answers: list[object],
) -> None:
    parking: list[tuple[Park, Held]] = []
    steps: list[Row] = []
    late: list[tuple[int, Park]] = []
    for place, verb in verbs:
        held = fence.get(verb.run_id)
        if held is None or held.attempt != verb.attempt:
            late.append((place, verb))
            continue
        del fence[verb.run_id]
        parking.append((verb, held))
        steps += step_rows(verb.run_id, verb.attempt, verb.steps)
    if parking:
        tx.many(SAVE_STEP, steps)
        suspend(tx, parking)
    for place, verb in late:
        answers[place] = lost_or_parked(tx, verb)


def suspend(tx: Transaction, parking: Sequence[tuple[Park, Held]]) -> None:
    """Make the wait rows exactly those given, then set each run to the earliest of them."""
    ids = [verb.run_id for verb, _ in parking]
    kept = waits_of(tx, ids)
    gone: list[Row] = []
    come: list[Row] = []
    wakes: list[tuple[Park, int]] = []
    for verb, held in parking:
        before = kept.get(verb.run_id, {})
        ends = None if verb.timeless else held.deadline_at
        earliest = FOREVER if ends is None else ends
        for wait in verb.waits:
            due = settled_due(wait, before.pop(wait.address, None), tx.now)
            come.append((verb.run_id, wait.address, wait.kind, wait.name, due))
            earliest = min(earliest, due)
        gone.extend((verb.run_id, address) for address in before)
        wakes.append((verb, earliest))
    tx.many(DELETE_WAIT, gone)
    tx.many(REPLACE_WAIT, come)
    there = {row[0] for row in tx.all(ALREADY_THERE, (as_json(ids),))}
    now = tx.now
    parked: list[Row] = []
    for verb, at in wakes:
        due = now if verb.run_id in there else at
        parked.append((due, due if verb.backwards else now, verb.run_id))
    tx.many(PARK, parked)


def settled_due(wait: WaitRow, before: WaitRow | None, now: int) -> int:
    """A wait that exists keeps its time, which counts from when it was first stored."""
    if before is not None and before.due_at is not None:
        return before.due_at
    return due_at(wait, now)


def lost_or_parked(tx: Transaction, verb: Park) -> LeaseLost | None:
    """A repeated park finds its run parked by this attempt, or woken and not yet claimed."""
    stands = tx.one(STANDS, (verb.run_id,))
    if (
        stands in (("waiting", verb.attempt, 0), ("ready", verb.attempt, 0))
        and tx.one(ATTEMPT_OUTCOME, (verb.run_id, verb.attempt)) is None
        and set(waits_of(tx, [verb.run_id]).get(verb.run_id, {})) == {w.address for w in verb.waits}
    ):
        return None
    return LeaseLost(verb.run_id, verb.attempt)
