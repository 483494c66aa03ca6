"""The store as the engine sees it. Two rooms implement it: `sqlite` and `postgres`.

    Store       knows how to reach the database; makes sessions; migrates. Thread-safe.
     ├── Session   one connection that writes, used by one thread at a time
     └── Reader    one connection that only reads, used by one thread at a time

There is no clock here but the database's: every statement that needs the time takes it from the
database's one clock (`backroom_clock`, a view on SQLite; `backroom.now_us()`, a function on
PostgreSQL). Tests move it with `Store.move_clock`; nothing else ever does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from backroom.records.erasure import AuditRow
from backroom.records.queues import QueueRow, Standing
from backroom.records.runs import (
    AttemptRow,
    BreakerRow,
    HeldLock,
    LockRow,
    Mail,
    NewRun,
    RunRow,
    Started,
    StepRow,
    WaitRow,
    WorkerRow,
)
from backroom.records.schedules import Chores, DueSchedule, ScheduleRow, SlotRow
from backroom.records.states import State
from backroom.records.triggers import FiringRow, Plan, RowTrigger, TriggerRow
from backroom.store.limit import Limit
from backroom.store.verbs import Emit, SaveStep, Start, Verb

__all__ = ["Reader", "Session", "Store"]


class Session(Protocol):
    """A writing connection. Opens lazily, reopens after a failure."""

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        """Perform the verbs in one transaction and commit; one answer each, in the order given.

        Raises StoreError: StoreUnavailable or StoreFull when it is sure that nothing was committed,
        OutcomeUnknown when the commit was sent and its answer never came. After a raise the
        session is usable again (it reconnects at the next call). A deadlock or serialisation
        failure is retried inside, up to 5 times with a little jitter.
        """
        ...

    def close(self) -> None: ...


class Reader(Protocol):
    """A reading connection. Never blocks a writer, never sees uncommitted data."""

    def now(self) -> int: ...

    def run(self, run_id: str) -> RunRow | None: ...

    def find(self, flow: str, key: str) -> str | None:
        """The id of the run that holds this key."""
        ...

    def runs(
        self,
        *,
        flow: str | None = None,
        queue: str | None = None,
        states: Sequence[State] = (),
        parent_id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        """Newest first. `before`: the id of the last row of the page before (keyset pages)."""
        ...

    def steps(self, run_id: str) -> list[StepRow]: ...

    def waits(self, run_id: str) -> list[WaitRow]: ...

    def attempts(self, run_id: str) -> list[AttemptRow]: ...

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        """Unread events of these runs, oldest first."""
        ...

    def read_mail(self, run_id: str) -> list[tuple[str, str]]:
        """The events that a run has read: (address that did so, name), oldest first."""
        ...

    def ended(self, run_ids: Sequence[str]) -> list[RunRow]:
        """Those of these runs that are in a final state."""
        ...

    def standing(self, first_id: str, last_id: str, parent_id: str) -> list[tuple[str, State]]:
        """Id and state of the children of a run whose ids lie between these two, in their order."""
        ...

    def runs_between(self, first_id: str, last_id: str, limit: int) -> list[RunRow]:
        """The first runs whose ids lie between these two, in their order."""
        ...

    def windows_over(self, names: Sequence[str]) -> list[str]:
        """Those of these windows (`rules/windows.py`) in which no run is live."""
        ...

    def locks_held(self, run_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Run and address of the requests for locks of these runs that have all they asked for."""
        ...

    def locks_of(self, run_id: str) -> list[LockRow]:
        """The locks that a run holds or stands in line for, in the order in which it asked."""
        ...

    def locks(self, limit: int = 1_000) -> list[HeldLock]:
        """The locks that are held, by name."""
        ...

    def breakers(self, name: str | None = None) -> list[BreakerRow]:
        """The breakers that count failures or are open, by name; or this one alone."""
        ...

    def cancelled(self, worker_id: str) -> list[tuple[str, str]]:
        """(run id, reason) of the runs this worker holds that somebody asked to cancel."""
        ...

    def suspects(self, queues: Sequence[str], flows: Sequence[str], limit: int) -> int:
        """How many runs a claim of suspects could take now, up to a limit; cheap if there are
        none, as almost always."""
        ...

    def workers(self) -> list[WorkerRow]: ...

    def queues(self, name: str | None = None) -> list[QueueRow]:
        """How the queues stand that have rules or live runs, by name; or this one alone. It walks
        the hot rows, and no run that has ended."""
        ...

    def in_queue(self, run_id: str) -> Standing | None:
        """Where a run stands in its queue; None once it has ended."""
        ...

    def about(self, subject: str, after: str | None, limit: int) -> list[str]:
        """Ids of the runs about a subject, in their order, behind this one."""
        ...

    def audit(self, limit: int) -> list[AuditRow]:
        """What was done that leaves no other trace, the newest first."""
        ...

    def chores(self, flows: Sequence[str]) -> Chores:
        """What there is to do beside performing runs. Cheap: every worker asks once a second."""
        ...

    def due_schedules(self, flows: Sequence[str], limit: int) -> list[DueSchedule]:
        """The schedules of these flows that have to be looked at now."""
        ...

    def schedules(self, name: str | None = None) -> list[ScheduleRow]:
        """The schedules by name, retired ones too; or this one alone."""
        ...

    def slots(self, schedule: str, limit: int) -> list[SlotRow]:
        """What became of a schedule's slots, the newest first."""
        ...

    def slot_of(self, run_id: str) -> SlotRow | None:
        """The slot that has started a run, if one did."""
        ...

    def any_changes(self) -> bool:
        """Whether there is anything for `Fire` to do."""
        ...

    def triggers(self) -> list[TriggerRow]:
        """The row triggers that are installed, by name."""
        ...

    def firings(self, trigger: str, limit: int = 100) -> list[FiringRow]:
        """Changes that started nothing, the latest first."""
        ...

    def changed(self) -> bool | None:
        """Whether any connection has committed since the last call; None: can't be told cheaply."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """One database."""

    dialect: str  # "sqlite" or "postgresql"

    def session(self) -> Session: ...

    def reader(self) -> Reader: ...

    def schema_version(self) -> int | None:
        """The number of the newest migration applied; None: our tables don't exist."""
        ...

    def migrate(self) -> list[str]:
        """Apply what is missing, each migration in its own transaction, safe against a second
        process that does the same and against a kill in the middle. Answers the names applied.
        SchemaError when the database is newer than this program or a checksum differs."""
        ...

    def check_schema(self) -> None:
        """SchemaError unless the database has exactly the migrations of this program."""
        ...

    def start_on(self, connection: Any, runs: Sequence[NewRun]) -> list[Started]:
        """Start runs on the caller's own connection, inside the caller's own open transaction.

        Takes a sqlite3 or psycopg Connection (SQLAlchemy is unwrapped above). Never begins,
        commits or rolls back. Refused, with nothing written, when no transaction is open on a
        connection that would commit by itself, or when it leads to another database.
        """
        ...

    def emit_on(self, connection: Any, run_id: str, event_id: str, name: str, payload: str) -> None:
        """Emit on the caller's own connection, likewise. Raises what `Emit` answers."""
        ...

    async def join(self, connection: Any, verbs: Sequence[Start | Emit]) -> list[object]:
        """Both of these on the caller's own asynchronous connection (aiosqlite's, or psycopg's
        AsyncConnection), in the caller's own task. One answer each; the first refusal is raised,
        with nothing written."""
        ...

    def transact(
        self, body: Callable[[Any], SaveStep], limit: Limit | None = None, *, cause: str = ""
    ) -> None:
        """Perform an author's SQL and keep its checkpoint in one transaction.

        `cause`: the run whose step it is; what it changes carries that (`mark`).

        `body` gets a connection of its own with an open transaction (BEGIN IMMEDIATE on SQLite) and
        answers the checkpoint, which is written on the same connection while the run's hot row is
        locked; then both are committed. A deadlock or serialisation failure, the body's or ours, is
        tried again from the start, up to 5 times with a little jitter: so `body` may be called
        more than once. When the answer to a commit is lost, a look (which waits until the old
        transaction has ended) tells whether it took, before anything is repeated.

        Raises with nothing committed: what `body` raised, or what the database said of the author's
        rows at the commit, as the driver's own error; LeaseLost; StoreError where our part failed;
        TimedOut when the limit has expired. OutcomeUnknown when even the look failed.
        TransactionEnded when the body itself has ended the transaction.
        """
        ...

    def mark(self, connection: Any, cause: str) -> None:
        """Let changes of watched rows that the caller's open transaction makes from here on carry
        this run as their cause; "": none any more."""
        ...

    def ring(self) -> None:
        """Ring the doorbell of every worker: a hint that work may be ready. Never raises, never
        inside a transaction; coalesced."""
        ...

    def bell(self) -> Bell | None:
        """A doorbell to listen to; None where there is none. May take a while."""
        ...

    def ring_ends(self) -> None:
        """The same for whoever waits in another process for runs to end: some have. Does nothing
        where `bell_of_ends` has no bell."""
        ...

    def bell_of_ends(self) -> Bell | None:
        """A bell that rings when runs have ended; None where there is none. May take a while."""
        ...

    def backup(self, target: Path) -> None:
        """Copy all that is committed to a file that doesn't exist yet, while others write. Refused
        where the database has tools of its own for that."""
        ...

    def restore(self, source: Path | None, audit_id: str, by: str) -> int:
        """Put such a copy in the database's place (None: it is there already, by other tools), and
        see that nothing that a worker of before still sends is taken: its runs are ready, and their
        next attempts have higher numbers than any before. Answers how many were running."""
        ...

    def rewrite(self) -> None:
        """Write our tables anew, so that nothing that was removed or erased is left in their free
        space. Locks them meanwhile."""
        ...

    def move_clock(self, by_us: int) -> None:
        """Move the database's clock forward by this much, for every process. Tests only."""
        ...

    def stop_clock(self) -> None:
        """Let the database's clock stand still, but for `move_clock`. Tests only."""
        ...

    def plan_triggers(self, declared: Sequence[RowTrigger]) -> list[Plan]:
        """What it would take to have these triggers on the application's tables as they are
        declared, one plan each. Refused: one can't be had."""
        ...

    def install_triggers(self, declared: Sequence[RowTrigger]) -> list[Plan]:
        """Do that, in one transaction; the plans that were carried out."""
        ...

    def remove_trigger(self, name: str, *, dry_run: bool = False) -> Plan:
        """Take a trigger away, declared or not, with the changes that aren't runs yet."""
        ...

    def diagnose(self) -> list[tuple[str, str, str]]:
        """(level, what, remedy) with level ok, warning or error: what `doctor` prints."""
        ...

    def close(self) -> None: ...


class Bell(Protocol):
    """The worker's end of a doorbell: a file descriptor that becomes readable when it rings."""

    address: str  # goes into WorkerRow.bell; empty where ringing needs no address

    def fileno(self) -> int: ...

    def drain(self) -> None:
        """Take in whatever rang; never blocks."""
        ...

    def close(self) -> None: ...
