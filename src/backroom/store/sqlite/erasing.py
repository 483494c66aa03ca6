"""Erase: blanking what came from outside in runs that have ended."""

from __future__ import annotations

import json

from backroom.records.erasure import ERASED, ERASED_ERROR, Erased
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import Erase

__all__ = ["erase"]

ERASABLE = sql("erasable")
INSERT_AUDIT = sql("insert_audit")
STATEMENTS = (
    (sql("prune_key"), ()),  # first: it looks the key up in the run
    (sql("prune_progress"), ()),
    (sql("erase_result"), (ERASED, ERASED_ERROR)),
    (sql("erase_step"), (ERASED, ERASED_ERROR)),
    (sql("erase_event"), (ERASED,)),
    (sql("erase_attempt"), (ERASED_ERROR,)),
)
ERASE_RUN = sql("erase_run")


def erase(tx: Transaction, verb: Erase) -> Erased:
    found = {row[0]: row[1:] for row in tx.all(ERASABLE, (as_json(verb.run_ids),))}
    done, fresh, refused = [], [], []
    for run_id in dict.fromkeys(verb.run_ids):
        erased, live, needed = found.get(run_id, (0, 0, 0))
        if run_id not in found:
            refused.append((run_id, "there is no such run"))
        elif needed:
            refused.append((run_id, "a run that has not ended may still read it"))
        elif live:
            refused.append((run_id, "it has not ended"))
        else:
            done.append(run_id)
            if not erased:
                fresh.append(run_id)
    if fresh and not verb.dry_run:
        ids = as_json(fresh)
        # What is written over in the file is filled with zeros, at once.
        (before,) = tx.one("PRAGMA secure_delete") or (0,)
        tx.all("PRAGMA secure_delete = ON")
        try:
            for statement, values in STATEMENTS:
                tx.run(statement, (ids, *values))
            tx.run(ERASE_RUN, (ids, ERASED, tx.now))
        finally:
            tx.all(f"PRAGMA secure_delete = {('OFF', 'ON', 'FAST')[before]}")
        what = json.dumps({"runs": fresh})
        tx.run(INSERT_AUDIT, (verb.audit_id, tx.now, "erase", verb.by, what))
    return Erased(tuple(done), tuple(refused))
