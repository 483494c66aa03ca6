"""Fire: changes of the application's rows become runs.

The inbox is read in its own order and emptied in the same transaction, so a change becomes a run
once and none is passed by. The runs of one row stand in a line: each begins when the one before has
ended, however it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from backroom.records.runs import NewRun, served_as
from backroom.records.triggers import Fired
from backroom.rules import firing
from backroom.rules.firing import Change, Link
from backroom.store.sqlite.starts import follow
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Fire, PauseTrigger

__all__ = ["fire", "pause_trigger"]

ROW_TRIGGERS = sql("row_triggers")
HELD_CHANGES = sql("held_changes")
CHANGES = sql("changes")
FORGET_CHANGES = sql("forget_changes")
FORGET_HELD = sql("forget_held")
HOLD_CHANGES = sql("hold_changes")
LAST_OF_ROW = sql("last_of_row")
START = sql("start_for_change")
LIVE = sql("live_for_change")
GIVE_RUN = sql("give_run")
CHAIN = sql("chain")
NOTE_FIRING = sql("note_firing")
COUNT_FIRED = sql("count_fired")
PAUSE_TRIGGER = sql("pause_trigger")


class Trigger(NamedTuple):
    id: int
    name: str
    table: str
    flow: str
    version: int
    queue: str
    priority: int
    timeout_us: int | None
    expires_us: int | None
    parameter: str
    subject: str | None
    coalesced: int
    own: int
    paused: int


@dataclass
class Counts:
    started: int = 0
    merged: int = 0
    dropped: int = 0


@dataclass
class Batch:
    """What one call has found out; nothing of it outlives the transaction."""

    tx: Transaction
    triggers: dict[int, Trigger]
    counts: dict[int, Counts] = field(default_factory=dict)
    chains: dict[str, list[Link]] = field(default_factory=dict)


def fire(tx: Transaction, verb: Fire) -> Fired:
    triggers = {row[0]: Trigger(*row) for row in tx.all(ROW_TRIGGERS)}
    held = tx.all(HELD_CHANGES, (verb.limit,))
    new = tx.all(CHANGES, (verb.limit - len(held),)) if len(held) < verb.limit else []
    paused = {number for number, trigger in triggers.items() if trigger.paused}
    ready = [row for row in new if row[1] in triggers and row[1] not in paused]
    if aside := [str(row[0]) for row in new if row[1] in paused]:
        tx.run(HOLD_CHANGES, (as_json(aside),))
    batch = Batch(tx, triggers)
    for change in changes(triggers, [*held, *ready]):
        take(batch, change)
    if held:
        tx.run(FORGET_HELD, (as_json(str(row[0]) for row in held),))
    if new:
        tx.run(FORGET_CHANGES, (new[-1][0],))
    for number, counts in batch.counts.items():
        tx.run(COUNT_FIRED, (counts.started, counts.merged, counts.dropped, number))
    started = sum(counts.started for counts in batch.counts.values())
    return Fired(started, len(held) + len(new) == verb.limit)


def changes(triggers: dict[int, Trigger], rows: list[Row]) -> Iterator[Change]:
    """In order; those of one row as one where the trigger wants that."""
    whole = [
        Change(number, at or 0, text(key) or "null", text(old), text(new), cause)
        for _, number, at, key, old, new, cause in rows
    ]
    coalesced = {number for number, trigger in triggers.items() if trigger.coalesced}
    return firing.coalesce(whole, coalesced) if coalesced else iter(whole)


def text(given: bytes | None) -> str | None:
    return None if given is None else given.decode(errors="replace")


def take(batch: Batch, change: Change) -> None:
    tx, trigger = batch.tx, batch.triggers[change.trigger_id]
    counts = batch.counts.setdefault(trigger.id, Counts())
    counts.merged += change.merged
    chain: list[Link] = []
    if change.cause is not None:
        chain = chain_of(batch, change.cause)
        outcome = firing.refusal(chain, trigger.flow, own=bool(trigger.own))
        if outcome is not None:
            refuse(batch, change, outcome, firing.path_of(chain, trigger.flow))
            return
    of_row = f"{trigger.id}:{change.key}"
    last = tx.one(LAST_OF_ROW, (of_row,))
    if last is not None and trigger.coalesced and last[2] is not None and last[3] == change.cause:
        merged = firing.merged_input(last[2], trigger.parameter, change)
        if merged is not None:
            tx.run(GIVE_RUN, (merged, last[0]))
            counts.merged += 1
            return
    given = firing.input_of(trigger.table, trigger.parameter, change)
    subject = None
    if trigger.subject is not None:
        subject = firing.subject_in(given, json.loads(trigger.subject))
    head = chain[0] if chain else None
    run_id, partition = tx.all(
        START,
        (
            tx.now, trigger.flow, trigger.queue, trigger.priority, given, trigger.timeout_us,
            head and head.id, head and (head.root_id or head.id), head.depth + 1 if head else 0,
            subject, trigger.version, trigger.name, sum(c.started for c in batch.counts.values()),
        ),
    )[0]  # fmt: skip
    deadline_at = None if trigger.timeout_us is None else tx.now + trigger.timeout_us
    expires_at = None if trigger.expires_us is None else tx.now + trigger.expires_us
    tx.run(
        LIVE,
        (
            run_id, served_as(trigger.flow, trigger.version), trigger.queue, trigger.priority,
            tx.now, deadline_at, expires_at, partition, of_row, 1 if last is None else last[1] + 1,
        ),
    )  # fmt: skip
    if last is not None:
        after = NewRun(run_id, trigger.flow, after=(last[0],), after_any_end=True)
        follow(tx, after, tx.now)
    counts.started += 1


def refuse(batch: Batch, change: Change, outcome: str, path: str) -> None:
    """A change that starts nothing; those of one cause are counted in one row."""
    batch.counts[change.trigger_id].dropped += 1
    values = (change.trigger_id, outcome, change.cause or "", batch.tx.now, change.key, path)
    batch.tx.run(NOTE_FIRING, values)


def chain_of(batch: Batch, cause: str) -> list[Link]:
    if cause not in batch.chains:
        batch.chains[cause] = [Link(*row) for row in batch.tx.all(CHAIN, (cause,))]
    return batch.chains[cause]


def pause_trigger(tx: Transaction, verb: PauseTrigger) -> bool:
    paused_at = None if verb.on else tx.now
    return tx.run(PAUSE_TRIGGER, (paused_at, verb.by, verb.name)) == 1
