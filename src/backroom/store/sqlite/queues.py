"""Declare, AsDeclared, Pause and Resume: what is stored about a queue."""

from __future__ import annotations

import json

from backroom.records.queues import QueueRules
from backroom.rules.rates import interval_us
from backroom.store.sqlite.transaction import Transaction, sql
from backroom.store.verbs import AsDeclared, Declare, Pause, Resume

__all__ = ["as_declared", "declare", "pause", "resume"]

DECLARED = sql("declared")
NOTE_DECLARED = sql("note_declared")
DECLARE_QUEUE = sql("declare_queue")
COUNT_RUNNING = sql("count_running")
PAUSE_QUEUE = sql("pause_queue")
RESUME_QUEUE = sql("resume_queue")


def declare(tx: Transaction, verb: Declare) -> None:
    """Every process declares its queues when it starts; only what differs is written."""
    rules = verb.rules
    found = tx.one(DECLARED, (rules.name,))
    in_force, set_by, before = (None, None, None) if found is None else (found[:7], *found[7:])
    if verb.by is None:
        text = json.dumps(columns(rules))
        if text != before:
            tx.run(NOTE_DECLARED, (rules.name, text, tx.now))
    overruled = set_by is not None and verb.by is None
    if not overruled and (columns(rules), set_by) != (in_force and [*in_force], verb.by):
        put_in_force(tx, rules, verb.by)
    tx.run(COUNT_RUNNING, (rules.name,))


def as_declared(tx: Transaction, verb: AsDeclared) -> bool:
    found = tx.one(DECLARED, (verb.queue,))
    tx.run(COUNT_RUNNING, (verb.queue,))
    if found is None or found[7] is None:
        return False
    declared = found[8]
    put_in_force(
        tx, QueueRules(*json.loads(declared)) if declared else QueueRules(verb.queue), None
    )
    return True


def put_in_force(tx: Transaction, rules: QueueRules, by: str | None) -> None:
    interval = None
    if rules.rate is not None and rules.per_us is not None:
        interval = interval_us(rules.rate, rules.per_us)
    name, concurrency, per_partition, rate, per_us, burst, max_waiting = columns(rules)
    parted = int(per_partition is not None)
    row = (name, concurrency, per_partition, rate, per_us, interval, burst, max_waiting, parted)
    tx.run(DECLARE_QUEUE, (*row, tx.now, by))


def columns(rules: QueueRules) -> list[object]:
    return [
        rules.name,
        rules.concurrency,
        rules.concurrency_per_partition,
        rules.rate,
        rules.per_us,
        rules.burst,
        rules.max_waiting,
    ]


def pause(tx: Transaction, verb: Pause) -> None:
    tx.run(PAUSE_QUEUE, (verb.queue, tx.now, verb.by))


def resume(tx: Transaction, verb: Resume) -> None:
    tx.run(RESUME_QUEUE, (tx.now, verb.queue))
