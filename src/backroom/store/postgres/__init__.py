"""PostgreSQL as a store: the same verbs, for many workers on many machines.

    store.py       where the database is, and what can be had from it
    session.py     batches of verbs as transactions     pipeline.py  in one round trip
    batch.py       the order of a batch; the rooms it calls turn verbs into statements:
                   fence, starts, doors, checkpoints, endings, leases, claims
    reader.py      questions                            rows.py      rows as records
    link.py        connections, lost and found          faults.py    errors, ours for theirs
    guests.py      the same statements inside a caller's transaction
    ringer.py      wake-ups: NOTIFY                     bell.py      and LISTEN
    migrate.py     the schema and its numbered files    diagnose.py  what `doctor` asks
    sql/           one statement a file                 migrations/  one step of the schema a file

There is no session state anywhere: no session locks, no SET that outlives its transaction, no
temporary table. So everything but the doorbell works through a pooler in transaction mode.
"""

from backroom.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
