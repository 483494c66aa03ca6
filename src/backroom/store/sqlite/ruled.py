"""Claims from queues with rules: limits, rates, partitions, pauses.

The writer lock makes the counts exact: between a count and the claim nobody else can write.

    room of a queue      the least of: what the worker wants, its limit less what is running, the
                         tokens of its rate
    a parted queue       its next run is that of the partition with the fewest running ones, among
                         the most urgent; one partition's million of runs waits behind the first
                         one of another
    several queues       one line, by priority and by how long they are due; a parted queue stands
                         where the longest waiting run does that it offers at this priority
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from backroom.records.limits import PRIORITIES, SWEEP_RUNS
from backroom.records.runs import FOREVER
from backroom.rules.rates import next_token_at, tokens
from backroom.rules.suspicion import SUSPECT_LINES
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Claim

__all__ = ["Rule", "ruled_runs", "rules_of", "spend"]

QUEUE_RULES = sql("queue_rules")
DUE_RUNS = sql("due_runs")
DUE_SUSPECTS = sql("due_suspects")
PICKED_RUNS = sql("picked_runs")
READY_PARTED = sql("ready_parted")
PARTITIONS = sql("partitions")
HEADS = sql("heads")
COUNTED = sql("counted")
COUNTED_BY_PARTITION = sql("counted_by_partition")
SPEND_RATE = sql("spend_rate")

ALL_PRIORITIES = str(list(PRIORITIES))


class Rule(NamedTuple):
    """A row of queue_rules.sql."""

    name: str
    concurrency: int | None
    per_partition: int | None
    interval_us: int | None
    burst: int | None
    full_at: int
    parted: int
    paused_at: int | None


class Offer(NamedTuple):
    """A run that could be claimed, and its place in the line of all queues."""

    priority: int
    since: int
    turn: int
    id: str


def rules_of(tx: Transaction, queues: Sequence[str]) -> dict[str, Rule]:
    """The rules of those of these queues that have some."""
    rules = {rule.name: rule for rule in map(Rule._make, tx.all(QUEUE_RULES))}
    return {name: rules[name] for name in queues if name in rules} if rules else rules


def ruled_runs(
    tx: Transaction, verb: Claim, queues: Sequence[str], rules: dict[str, Rule]
) -> list[Row]:
    """What to claim, as the first columns of `Claimed`, when some of the queues have rules."""
    offers: list[Offer] = []
    for queue in queues:
        rule = rules.get(queue)
        room = verb.limit if rule is None else min(verb.limit, room_of(tx, rule))
        if room <= 0:
            continue
        if verb.suspects:
            offers += suspects(tx, verb, queue, rule)
            continue
        mine = list(unparted(tx, verb, queue, room))
        if rule is not None and rule.parted:
            head = [(offer.priority, 0, offer.since, offer.id) for offer in mine]
            mine = in_turn(sorted(head + parted(tx, verb, rule, room))[:room])
        offers += mine
    offers.sort()
    ids = as_json([offer.id for offer in offers[: verb.limit]])
    return tx.all(PICKED_RUNS, (tx.now, ids))


def room_of(tx: Transaction, rule: Rule) -> int:
    """How many runs of a queue may begin now."""
    if rule.paused_at is not None:
        return 0
    room = FOREVER
    if rule.concurrency is not None:
        (running,) = tx.one(COUNTED, (rule.name,)) or (0,)
        room = rule.concurrency - running
    if rule.interval_us is not None and rule.burst is not None:
        room = min(room, tokens(tx.now, rule.full_at, rule.interval_us, rule.burst))
    return room


def suspects(tx: Transaction, verb: Claim, queue: str, rule: Rule | None) -> Iterator[Offer]:
    """Due suspects of a queue, of whatever partition; one at a time is claimed."""
    most = None if rule is None else rule.per_partition
    running: dict[str, int] = {}
    if most is not None:
        running = dict(tx.all(COUNTED_BY_PARTITION, (queue,)))
    flows = as_json(verb.flows)
    for priority in SUSPECT_LINES:
        for run_id, due_at, partition in tx.all(DUE_SUSPECTS, (queue, priority, tx.now, flows)):
            if most is None or partition is None or running.get(partition, 0) < most:
                yield Offer(priority, due_at, 0, run_id)
                break


def unparted(tx: Transaction, verb: Claim, queue: str, room: int) -> Iterator[Offer]:
    """The next due runs of a queue that have no partition."""
    flows = as_json(verb.flows)
    for priority in PRIORITIES:
        floor = verb.floors.get((queue, priority), -FOREVER)
        for row in tx.all(DUE_RUNS, (tx.now, queue, priority, floor, flows, room)):
            yield Offer(priority, row[16], 0, row[0])
            room -= 1
        if room <= 0:
            return


Turn = tuple[int, int, int, str]
"""Priority, how many of its partition run then, due time, id: the order within a parted queue."""


def in_turn(turns: Sequence[Turn]) -> list[Offer]:
    """The places of a parted queue's runs among those of all queues."""
    since: dict[int, int] = {}
    for priority, _, due_at, _ in turns:
        since[priority] = min(due_at, since.get(priority, due_at))
    return [
        Offer(priority, since[priority], turn, run_id)
        for turn, (priority, _, _, run_id) in enumerate(turns)
    ]


def parted(tx: Transaction, verb: Claim, rule: Rule, room: int) -> list[Turn]:
    """The next runs of a parted queue that have a partition, in the order of fairness."""
    tx.run(READY_PARTED, (tx.now, rule.name, ALL_PRIORITIES, SWEEP_RUNS))
    flows = as_json(verb.flows)
    running: dict[str, int] = dict(tx.all(COUNTED_BY_PARTITION, (rule.name,)))
    line: list[tuple[int, int, int, str, str, Iterator[Row]]] = []

    def join(partition: str, heads: Iterator[Row]) -> None:
        """The next run of a partition comes into the line, if it may have one more."""
        busy = running.get(partition, 0)
        if rule.per_partition is not None and busy >= rule.per_partition:
            return
        for priority, due_at, run_id in heads:
            heapq.heappush(line, (priority, busy, due_at, run_id, partition, heads))
            return

    for (partition,) in tx.all(PARTITIONS, (rule.name,)):
        join(partition, heads_of(tx, rule.name, partition, flows))
    picked: list[Turn] = []
    while line and len(picked) < room:
        priority, busy, due_at, run_id, partition, heads = heapq.heappop(line)
        running[partition] = busy + 1
        picked.append((priority, busy + 1, due_at, run_id))
        join(partition, heads)
    return picked


def heads_of(tx: Transaction, queue: str, partition: str, flows: str) -> Iterator[Row]:
    """The ready runs of one partition; most claims want but the first."""
    seen, chunk = 0, 1
    while True:
        heads = tx.all(HEADS, (queue, partition, tx.now, flows, chunk, seen))
        yield from heads
        if len(heads) < chunk:
            return
        seen, chunk = seen + chunk, 50


def spend(tx: Transaction, rules: dict[str, Rule], rows: Sequence[Row]) -> int | None:
    """Take the tokens of what was claimed. When the next one comes for a queue that has none left
    and more to do, if that is known."""
    taken: dict[str, int] = {}
    for row in rows:
        taken[row[3]] = taken.get(row[3], 0) + 1
    soonest: int | None = None
    for rule in rules.values():
        if rule.interval_us is None or rule.burst is None or rule.paused_at is not None:
            continue
        full_at = rule.full_at
        if rule.name in taken:
            full_at = max(full_at, tx.now) + taken[rule.name] * rule.interval_us
            tx.run(SPEND_RATE, (full_at, rule.name))
        at = next_token_at(full_at, rule.interval_us, rule.burst)
        if at > tx.now:
            soonest = at if soonest is None else min(soonest, at)
    return soonest
