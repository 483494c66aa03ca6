"""Claim: take what is due, most urgent first.

One walk of the due index per priority and queue, each bounded by what is still wanted; so a claim
costs the same with ten runs in the file and with ten million. Queues with rules are claimed from in
`ruled.py`; where there are none, that costs one look into an empty table.

Runs that were claimed before get what they left behind, with one statement per kind for all of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from backroom.records.runs import FOREVER, Claimed, Claims, Mail, RunRow, StepRow
from backroom.rules.suspicion import lines
from backroom.store.sqlite.checkpoints import waits_of
from backroom.store.sqlite.rows import run_row
from backroom.store.sqlite.ruled import Rule, ruled_runs, rules_of, spend
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Claim

__all__ = ["claim"]

DUE_LINES = sql("due_lines")
DUE_RUNS = sql("due_runs")
CLAIM_RUNS = sql("claim_runs")
CLAIM_COUNTED = sql("claim_counted")
NEXT_DUE = sql("next_due")
STEPS_OF = sql("steps_of")
MAIL_OF = sql("mail_of")
ENDED_RUNS = sql("ended_runs")


def claim(tx: Transaction, verb: Claim) -> Claims:
    now = tx.now
    queues = tuple(dict.fromkeys(verb.queues))
    rules = rules_of(tx, queues) if tx.has_rules else {}
    heeded = rules if verb.ruled or verb.suspects else {}
    if heeded:
        rows = ruled_runs(tx, verb, queues, rules)
        take_ruled(tx, verb.worker, rows, rules)
    else:
        rows = due_runs(tx, verb, [queue for queue in queues if queue not in rules])
        if rows:
            tx.run(CLAIM_RUNS, (verb.worker, now, as_json([row[0] for row in rows])))
    runs = [Claimed(*row) for row in rows]
    again = [place for place, run in enumerate(runs) if run.attempt > 1]
    if again:
        for place, full in zip(again, preloaded(tx, [runs[p] for p in again]), strict=True):
            runs[place] = full
    next_due_at = None
    if len(runs) < verb.limit:
        looks = str(list(lines(suspects=verb.suspects)))
        found = tx.one(NEXT_DUE, (now, as_json(queues), looks))
        next_due_at = found[0] if found and found[0] != FOREVER else None
    if heeded:
        token_at = spend(tx, heeded, rows)
        if token_at is not None and len(runs) < verb.limit:
            next_due_at = token_at if next_due_at is None else min(next_due_at, token_at)
    return Claims(tuple(runs), now, next_due_at, ruled=bool(rules))


def take_ruled(tx: Transaction, worker: str, rows: Sequence[Row], rules: dict[str, Rule]) -> None:
    for statement, ids in (
        (CLAIM_RUNS, [row[0] for row in rows if row[3] not in rules]),
        (CLAIM_COUNTED, [row[0] for row in rows if row[3] in rules]),
    ):
        if ids:
            tx.run(statement, (worker, tx.now, as_json(ids)))


def due_runs(tx: Transaction, verb: Claim, queues: Sequence[str]) -> list[Row]:
    """What to claim, as the first columns of `Claimed`."""
    flows = as_json(verb.flows)
    floors = verb.floors
    taken: list[Row] = []
    places = str(list(lines(suspects=verb.suspects)))
    due = tx.all(DUE_LINES, (tx.now, as_json(queues), places))
    for priority, of_priority in groupby(due, key=itemgetter(0)):
        left = verb.limit - len(taken)
        if left <= 0:
            break
        found: list[Row] = []
        for _, queue in of_priority:
            floor = floors.get((queue, priority), -FOREVER)
            found += tx.all(DUE_RUNS, (tx.now, queue, priority, floor, flows, left))
        if len(queues) > 1:
            found.sort(key=itemgetter(16, 0))  # due_at, id
        taken += found[:left]
    return taken


def preloaded(tx: Transaction, runs: Sequence[Claimed]) -> list[Claimed]:
    """These runs with their checkpoints, waits, unread mail and ended awaited children."""
    ids = as_json(run.id for run in runs)
    steps: dict[str, list[StepRow]] = {}
    for row in tx.all(STEPS_OF, (ids,)):
        steps.setdefault(row[0], []).append(StepRow(*row[1:]))
    mail: dict[str, list[Mail]] = {}
    for row in tx.all(MAIL_OF, (ids,)):
        mail.setdefault(row[1], []).append(Mail(*row))
    waits = waits_of(tx, [run.id for run in runs])
    awaited = {w.name for of_run in waits.values() for w in of_run.values() if w.kind == "child"}
    ended: dict[str, RunRow] = {}
    if awaited:
        found = map(run_row, tx.all(ENDED_RUNS, (as_json(awaited),)))
        ended = {row.id: row for row in found}
    full: list[Claimed] = []
    for run in runs:
        of_run = tuple(waits.get(run.id, {}).values())
        names = dict.fromkeys(w.name for w in of_run if w.kind == "child")
        full.append(
            replace(
                run,
                steps=tuple(steps.get(run.id, ())),
                waits=of_run,
                mail=tuple(mail.get(run.id, ())),
                ended=tuple(ended[name] for name in names if name in ended),
            )
        )
    return full
