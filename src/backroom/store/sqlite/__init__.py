"""The store on SQLite: one file, which may be the application's own database.

    store.py       SqliteStore: sessions, readers, migrations, the doorbell
    session.py     a writing connection: one transaction per `apply`
     ├── starts.py        Start
     ├── doors.py         Emit, Cancel, Reschedule
     ├── reviving.py      Revive
     ├── fence.py         which attempts of the batch still hold their runs
     ├── checkpoints.py   SaveStep, SaveWaits, Progress
     ├── endings.py       Settle, Again, HandBack, Attention
     ├── parking.py       Park
     ├── claims.py        Claim
     └── workers.py       Register, Renew, Retire, Rescue, Reconcile
    reader.py      a reading connection
    forking.py     who keeps a connection, and what becomes of it at a fork
    bell.py        doorbells over loopback datagrams
    caller.py      starting and emitting on the caller's own connection
    migrate.py     numbered, checksummed migrations

Every transaction begins with BEGIN IMMEDIATE, so there is one writer at a time and nothing changes
between a look and a write of the same transaction. That is why a batch reads the hot rows it needs
once and then compares in Python, where PostgreSQL has to lock rows.
"""

from backroom.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
