"""A new epoch: higher attempt numbers, so that nothing a worker of before sends is taken."""

from __future__ import annotations

import json
import sqlite3

from backroom.rules.epochs import first_attempt
from backroom.store.sqlite.transaction import Transaction, sql

__all__ = ["begin_epoch"]

FIRST_ATTEMPT = sql("first_attempt")
FORGET_WORKERS = sql("forget_workers")
HAND_ALL_BACK = sql("hand_all_back")
INSERT_AUDIT = sql("insert_audit")


def begin_epoch(connection: sqlite3.Connection, audit_id: str, by: str) -> int:
    """In one transaction; answers how many runs were running, which are ready again."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        tx = Transaction(connection)
        (before,) = tx.one(FIRST_ATTEMPT) or (1,)
        number = first_attempt(tx.now, before)
        tx.run("DROP VIEW backroom_epoch")
        tx.run(f"CREATE VIEW backroom_epoch AS SELECT {number} AS first_attempt")
        tx.run(FORGET_WORKERS)
        released = tx.run(HAND_ALL_BACK, (tx.now,))
        what = json.dumps({"first_attempt": number})
        tx.run(INSERT_AUDIT, (audit_id, tx.now, "restore", by, what))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return released
