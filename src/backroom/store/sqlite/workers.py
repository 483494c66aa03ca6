"""Register, Renew, Retire, Rescue and Reconcile: workers, their leases, and what they leave."""

from __future__ import annotations

import json
from typing import NamedTuple

from backroom.records.limits import STARTS
from backroom.rules.suspicion import SUSPECT_LINES
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import Reconcile, Register, Renew, Rescue, Retire

__all__ = ["reconcile", "register", "renew", "rescue", "retire"]

REGISTER_WORKER = sql("register_worker")
RENEW_WORKERS = sql("renew_workers")
DELETE_WORKER = sql("delete_worker")
DELETE_EXPIRED_WORKERS = sql("delete_expired_workers")
HELD_BY = sql("held_by")
HELD_BY_NOBODY = sql("held_by_nobody")
RELEASE = sql("release")
HAND_BACK = sql("hand_back")
SET_ASIDE = sql("set_aside")
INSERT_ATTEMPT = sql("insert_attempt")


class Orphan(NamedTuple):
    """A running run that loses its worker."""

    id: str
    attempt: int
    starts: int
    worker: str | None
    claimed_at: int
    priority: int


def register(tx: Transaction, verb: Register) -> None:
    worker = verb.worker
    lease_until = tx.now + verb.lease_us
    started_at = worker.started_at or tx.now
    row = (worker.id, worker.name, lease_until, started_at, worker.concurrency, worker.bell)
    tx.run(REGISTER_WORKER, (*row, as_json(worker.queues), as_json(worker.flows)))


def renew(tx: Transaction, verb: Renew) -> frozenset[str]:
    renewed = tx.all(RENEW_WORKERS, (tx.now + verb.lease_us, as_json(verb.worker_ids)))
    return frozenset(row[0] for row in renewed)


def retire(tx: Transaction, verb: Retire) -> tuple[str, ...]:
    orphans = held_by(tx, verb.worker_id)
    tx.run(DELETE_WORKER, (verb.worker_id,))
    return release_lost(tx, orphans, STARTS) if verb.lost else hand_back(tx, orphans)


def rescue(tx: Transaction, verb: Rescue) -> tuple[str, ...]:
    # A long wait for the write lock was long for every worker: none could renew its lease.
    if not tx.may_rescue:
        return ()
    tx.run(DELETE_EXPIRED_WORKERS, (tx.now,))
    orphans = [Orphan._make(row) for row in tx.all(HELD_BY_NOBODY, (tx.now,))]
    return release_lost(tx, orphans, verb.max_starts)


def reconcile(tx: Transaction, verb: Reconcile) -> tuple[str, ...]:
    orphans = held_by(tx, verb.worker_id)
    return hand_back(tx, [o for o in orphans if (o.id, o.attempt) not in verb.holding])


def held_by(tx: Transaction, worker_id: str) -> list[Orphan]:
    return [Orphan._make(row) for row in tx.all(HELD_BY, (worker_id,))]


def hand_back(tx: Transaction, orphans: list[Orphan]) -> tuple[str, ...]:
    """Ready again without a mark: nothing went wrong with these runs."""
    tx.many(HAND_BACK, [(tx.now, orphan.id) for orphan in orphans])
    return tuple(orphan.id for orphan in orphans)


def release_lost(tx: Transaction, orphans: list[Orphan], max_starts: int) -> tuple[str, ...]:
    """Ready again, the lost attempt noted; from the second time on a suspect, and set aside once
    it was alone in it (`rules/suspicion.py`)."""
    for o in orphans:
        tx.run(INSERT_ATTEMPT, (o.id, o.attempt, o.worker, o.claimed_at, tx.now, "lost", None))
        if o.starts >= max_starts and o.priority in SUSPECT_LINES:
            tx.run(SET_ASIDE, (poison(o.starts), o.id))
        else:
            tx.run(RELEASE, (tx.now, o.id))
    return tuple(orphan.id for orphan in orphans)


def poison(starts: int) -> str:
    message = (
        f"Its worker died {starts} times in a row while it performed this run, without any "
        "progress in between, the last time with no other run beside it. Find out what kills the "
        "process, then retry or cancel the run."
    )
    return json.dumps({"kind": "Poison", "message": message})
