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

No transaction relies on what another one left in its session: no session locks, no temporary
table, and behind a pooler every transaction brings its settings along. So everything but the
doorbell works through one in transaction mode. Where a connection is known to be all ours, the
settings are made once.
"""

from backroom.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
