"""Who is measured, with which settings, and what to know when reading its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OURS", "PEERS", "POSTGRES", "REDIS", "SQLITE", "Peer"]

POSTGRES = "PostgreSQL"
SQLITE = "SQLite"
REDIS = "Redis"

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """One program on one kind of database."""

    name: str
    adapter: str  # its module in `adapters`
    place: str
    packages: tuple[str, ...] = ()
    python: tuple[int, int] = (3, 11)
    defaults: Settings = field(default_factory=dict)  # what it does unless told
    tuned: Settings = field(default_factory=dict)  # what its documentation advises for throughput
    defaults_are: str = "defaults"  # the defaults and the tuned settings, in words
    tuned_is: str = ""  # empty: they don't differ
    drained: str | None = None  # a query that finds a row while jobs are left; None: bodies count
    has_steps: bool = False
    own_processes: bool = False  # its command starts its worker processes itself
    crash: Settings | None = None  # for the work `crash`, where not the defaults; `crash_is` why
    crash_is: str = ""
    pace: int = 1000  # jobs a second, roughly: it sizes a round, nothing else
    defaults_pace: int | None = None  # the same with its defaults; None: no other
    steps_pace: int = 1000
    note: str = ""

    @property
    def title(self) -> str:
        return f"{self.name}, {self.place}"


OURS = tuple(
    Peer(
        name="backroom",
        adapter="backroom",
        place=place,
        tuned={"concurrency": 200},
        tuned_is="concurrency 200",
        drained=query,
        has_steps=True,
        pace=12_000,
        steps_pace=15_000,
    )
    for place, query in (
        (POSTGRES, "SELECT 1 FROM backroom.live LIMIT 1"),
        (SQLITE, "SELECT 1 FROM backroom_live LIMIT 1"),
    )
)

PEERS = (
    Peer(
        name="pgqueuer", adapter="pgqueuer", place=POSTGRES,
        packages=("pgqueuer[asyncpg]", "uvloop"),
        tuned={"batch_size": 100}, defaults_are="batch 10", tuned_is="batch 100",
        drained="SELECT 1 FROM pgqueuer WHERE status IN ('queued', 'picked') LIMIT 1",
        pace=10_000,
        note="asyncpg and uvloop; completions are written in batches after the fact",
    ),
    Peer(
        name="oban", adapter="oban", place=POSTGRES, packages=("oban",), python=(3, 12),
        defaults={"limit": 10}, tuned={"limit": 50},
        defaults_are="limit 10, its guide's", tuned_is="limit 50",
        drained="SELECT 1 FROM oban_jobs WHERE state IN ('available', 'executing') LIMIT 1",
        pace=2_500,
        note="needs Python 3.12; the open-source edition",
    ),
    Peer(
        name="chancy", adapter="chancy", place=POSTGRES, packages=("chancy", "psycopg[binary]"),
        tuned={"concurrency": 200, "eager_polling": True},
        defaults_are="asynchronous executor, 100 at once", tuned_is="200 at once, eager polling",
        drained="SELECT 1 FROM chancy_jobs WHERE state IN ('pending', 'running') LIMIT 1",
        crash={"concurrency": 100, "eager_polling": True},
        crash_is="defaults, but eager polling: without it the 2,000 jobs take 100 s",
        pace=2_500, defaults_pace=130,
        note="ends are written once a second; by default it looks every 5 s, 100 jobs at once",
    ),
    Peer(
        name="procrastinate", adapter="procrastinate", place=POSTGRES,
        packages=("procrastinate", "psycopg[binary]"),
        tuned={"concurrency": 50}, defaults_are="concurrency 1", tuned_is="concurrency 50",
        drained="SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing') LIMIT 1",
        pace=600, defaults_pace=400,
        note="never retries what a dead worker held unless the application asks for it",
    ),
    Peer(
        name="DBOS", adapter="dbos", place=POSTGRES, packages=("dbos",),
        tuned={"polling_seconds": 0.02},
        defaults_are="polls each second", tuned_is="polls every 20 ms",
        drained="SELECT 1 FROM dbos.workflow_status "
        "WHERE status IN ('ENQUEUED', 'PENDING') LIMIT 1",
        has_steps=True, pace=900, steps_pace=250,
        note="every job is a workflow; a queue without a limit; no call starts many at once",
    ),
    Peer(
        name="DBOS", adapter="dbos", place=SQLITE, packages=("dbos",),
        tuned={"polling_seconds": 0.02},
        defaults_are="polls each second", tuned_is="polls every 20 ms",
        drained="SELECT 1 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING') LIMIT 1",
        has_steps=True, pace=900, steps_pace=300,
        note="in WAL mode, set by us: as it comes it uses a rollback journal and is slower; its "
        "documentation calls SQLite a choice for development and tests",
    ),
    Peer(
        name="absurd", adapter="absurd", place=POSTGRES,
        packages=("absurd-sdk", "absurdctl", "psycopg[binary]"),
        tuned={"concurrency": 200, "poll_interval": 0.02},
        defaults_are="concurrency 1, polls every 250 ms",
        tuned_is="concurrency 200, polls every 20 ms",
        drained="SELECT 1 FROM absurd.t_default WHERE state IN ('pending', 'running', 'sleeping') "
        "LIMIT 1",
        has_steps=True, pace=600, defaults_pace=250, steps_pace=800,
        note="one connection for all tasks of a worker; no call starts many at once",
    ),
    Peer(
        name="Huey", adapter="huey", place=SQLITE, packages=("huey",),
        tuned={"workers": 4, "initial_delay": 0.01, "max_delay": 0.05},
        defaults_are="one thread", tuned_is="4 threads, polls every 10 to 50 ms",
        pace=3_000,
        note="with fsync=True; a job leaves the database before it runs",
    ),
    Peer(
        name="Celery", adapter="celery", place=REDIS, packages=("celery[redis]",),
        tuned={"prefetch": 64, "quiet": True},
        defaults_are="prefetch 4", tuned_is="prefetch 64, no gossip",
        own_processes=True, pace=900,
        note="not durable: a job is acknowledged before it runs, Redis writes nothing at once",
    ),
    Peer(
        name="Dramatiq", adapter="dramatiq", place=REDIS, packages=("dramatiq[redis]",),
        own_processes=True, pace=2_500, defaults_are="8 threads a process",
        note="not durable: Redis writes nothing at once",
    ),
    Peer(
        name="taskiq", adapter="taskiq", place=REDIS, packages=("taskiq", "taskiq-redis"),
        own_processes=True, pace=2_500, defaults_are="Redis stream",
        note="not durable: Redis writes nothing at once",
    ),
)  # fmt: skip

NOT_MEASURED = {
    "Prefect, Airflow, Temporal, Restate, Hatchet": "each brings a server of its own, which is not "
    "set up here",
    "RQ, arq": "on Redis, like the three that are",
}
