"""Expire and Prune: runs that are too late to begin, and runs that ended long ago."""

from __future__ import annotations

import json

from backroom.records.limits import KEY_KEPT_US
from backroom.records.queues import Pruned
from backroom.store.sqlite.ends import end_runs
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Expire, Prune

__all__ = ["expire", "prune"]

EXPIRED_RUNS = sql("expired_runs")
PRUNABLE = sql("prunable")
PRUNE = tuple(
    sql(f"prune_{table}")
    for table in ("step", "event", "progress", "attempt", "wait", "key", "result", "run")
)
EXPIRED = json.dumps({"kind": "Cancelled", "message": "expired"})


def expire(tx: Transaction, verb: Expire) -> int:
    rows = [
        (run_id, "cancelled", attempt, None, EXPIRED, None, None, tx.now)
        for run_id, attempt in tx.all(EXPIRED_RUNS, (tx.now, verb.limit))
    ]
    if rows:
        end_runs(tx, rows)
    return len(rows)


def prune(tx: Transaction, verb: Prune) -> Pruned:
    before = tx.now - verb.older_than_us
    keyed_before = min(before, tx.now - KEY_KEPT_US)
    after, bound = verb.after or "", made_before(before)
    seen: list[Row] = []
    if after < bound:
        seen = tx.all(PRUNABLE, (after, bound, before, keyed_before, verb.limit))
    if len(seen) < verb.limit:
        beyond = max(after, made_before(tx.now + DAY_US))
        left = verb.limit - len(seen)
        seen += tx.all(PRUNABLE, (beyond, LAST_ID, before, keyed_before, left))
    old = [(run_id, needed) for run_id, ended, needed in seen if ended]
    gone = [run_id for run_id, needed in old if not needed]
    if gone and not verb.dry_run:
        ids = as_json(gone)
        for statement in PRUNE:
            tx.run(statement, (ids,))
    more = seen[-1][0] if len(seen) == verb.limit else None
    return Pruned(len(gone), len(old) - len(gone), more)


DAY_US = 24 * 3600 * 1_000_000
LAST_ID = "g"
"""Above all ids. Some callers of SQL give ids of their own, which begin with no time: most of those
lie beyond all that time has made so far."""


def made_before(at: int) -> str:
    """Above all ids that were made before this time: they begin with it, in milliseconds."""
    digits = f"{max(0, at) // 1000 + 1:012x}"
    return f"{digits[:8]}-{digits[8:]}"
