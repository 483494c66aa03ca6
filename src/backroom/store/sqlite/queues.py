"""Declare, Pause and Resume: what is stored about a queue."""

from __future__ import annotations

from backroom.rules.rates import interval_us
from backroom.store.sqlite.transaction import Transaction, sql
from backroom.store.verbs import Declare, Pause, Resume

__all__ = ["declare", "pause", "resume"]

DECLARED = sql("declared")
DECLARE_QUEUE = sql("declare_queue")
COUNT_RUNNING = sql("count_running")
PAUSE_QUEUE = sql("pause_queue")
RESUME_QUEUE = sql("resume_queue")


def declare(tx: Transaction, verb: Declare) -> None:
    rules = verb.rules
    declared = (
        rules.name,
        rules.concurrency,
        rules.concurrency_per_partition,
        rules.rate,
        rules.per_us,
        rules.burst,
        rules.max_waiting,
    )
    if tx.one(DECLARED, (rules.name,)) == declared:
        return  # every process declares its queues when it starts
    interval = None
    if rules.rate is not None and rules.per_us is not None:
        interval = interval_us(rules.rate, rules.per_us)
    name, concurrency, per_partition, rate, per_us, burst, max_waiting = declared
    parted = int(per_partition is not None)
    row = (name, concurrency, per_partition, rate, per_us, interval, burst, max_waiting, parted)
    tx.run(DECLARE_QUEUE, (*row, tx.now))
    tx.run(COUNT_RUNNING, (rules.name,))


def pause(tx: Transaction, verb: Pause) -> None:
    tx.run(PAUSE_QUEUE, (verb.queue, tx.now, verb.by))


def resume(tx: Transaction, verb: Resume) -> None:
    tx.run(RESUME_QUEUE, (tx.now, verb.queue))
