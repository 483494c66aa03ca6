"""Runs, steps, waits and events as values.

Two units run through all of them. Times are whole microseconds since 1970 UTC on the database's
clock and end in `_at`; lengths of time are whole microseconds and end in `_us`. Payloads (inputs,
results, events, errors) are JSON text made by `flows/codec.py`; nobody below that room looks
inside.
"""

from __future__ import annotations

from backroom.records.states import State
from backroom.records.values import value

__all__ = [
    "FOREVER",
    "AttemptRow",
    "BreakerRow",
    "Claimed",
    "Claims",
    "HeldLock",
    "LockRow",
    "Mail",
    "NewRun",
    "RunRow",
    "Started",
    "StepRow",
    "WaitRow",
    "WorkerRow",
    "served_as",
]

FOREVER = 2**63 - 1
"""The time that never comes: `available_at` of a run that only an event can wake."""


def served_as(flow: str, version: int) -> str:
    """What a worker has to know to perform a run: `ship`, or of a later version `ship@2`."""
    return flow if version == 1 else f"{flow}@{version}"


@value
class NewRun:
    """A run about to be stored. Its id is made before the first try, so a try can be repeated."""

    id: str
    flow: str
    input: str = "{}"
    queue: str = "default"
    priority: int = 5  # 0, the most urgent, to 9
    key: str | None = None  # same flow and key: same run
    delay_us: int = 0  # counted by the database's clock from the moment of storing
    at: int | None = None  # or an absolute time; then delay_us is ignored
    timeout_us: int | None = None  # for the whole run, from the time it is due
    parent_id: str | None = None  # the run to wake when this one ends, and that cancels it
    cause_id: str | None = None  # the run whose code started this one, attached or not
    root_id: str | None = None  # first run of the chain of causes; None: this one
    depth: int = 0  # length of the chain of causes
    partition: str | None = None  # the part of a parted queue that it belongs to
    expires_us: int | None = None  # not to begin later than this after its time
    expires_at: int | None = None  # or after this absolute time; then expires_us is ignored
    subject: str | None = None  # whom or what it is about; found by it when that is to be erased
    version: int = 1  # of the flow's code: only workers that know it perform the run
    after: tuple[str, ...] = ()  # runs that have to end before it begins
    after_any_end: bool = False  # however they end; else it is cancelled if one doesn't succeed


@value
class Started:
    """The answer to a start: the run's id, and whether this call made it (else the key's run)."""

    run_id: str
    created: bool


@value
class StepRow:
    """A checkpoint, or the record of a step that is still trying.

    kind:   step, timer, event, child, first, start (a run started by the flow), undo (registered),
            rollback (the run only goes backwards), cursor (where a walk in chunks stands),
            map (where a fan-out stands), lock (one that was given back), refused (events that a
            wait has read and that didn't fit; tries counts them, the last one's payload is here)
    state:  done, failed (final), trying (tries so far failed; no result yet)
    error:  JSON text {"kind", "message", "traceback"?}
    """

    address: str
    name: str
    kind: str
    state: str
    result: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    tries: int = 1
    started_at: int = 0
    finished_at: int = 0


@value
class WaitRow:
    """One thing a run waits for.

    kind:  timer (nothing but its time), event (name = the event's), child (name = the run's id),
           children (name = a window of child runs, see rules/windows.py; over when none is live),
           retry (a step's backoff; name = the step's), lock (name = the lock's, or of several),
           breaker (name = the breaker's, which is open),
           after, after_end (of a run that hasn't begun: name = the run that has to succeed before,
           or to end somehow; the time is the run's own)
    The time is either `delay_us` from the moment of storing or, when known, `due_at`; neither:
    it can wait for ever. Rows read from the store always carry `due_at` (FOREVER where none).
    """

    address: str
    kind: str
    name: str = ""
    delay_us: int | None = None
    due_at: int | None = None


@value
class LockRow:
    """A run's request for a lock. `held_at` None: it stands in line, behind `ahead` others, the
    first of whom, `holder`, has the lock."""

    name: str
    address: str
    asked_at: int
    held_at: int | None
    holder: str | None
    ahead: int


@value
class HeldLock:
    """A lock that a run holds, and how many requests wait for it."""

    name: str
    run_id: str
    held_at: int
    waiting: int


@value
class BreakerRow:
    """How calls of an outside service went lately; a service that works has none.

    open_until   nobody calls before; None: it is called as ever
    probe_until  so long others wait for the one call that is made after that to try
    """

    name: str
    failures: int
    failed_at: int
    open_until: int | None
    probe_until: int | None
    error: str | None  # the kind of the last one


@value
class Mail:
    """An event that lies unread in a run's mailbox."""

    id: str
    run_id: str
    name: str
    payload: str
    created_at: int


@value
class Claimed:
    """A run as a worker gets it: all that is needed to perform it, in one value.

    `steps`, `waits`, `mail` and `ended` (the child runs waited for that have ended) are preloaded
    for every run that was claimed before; a first attempt has none.
    """

    id: str
    flow: str  # as `served_as` puts it
    input: str
    queue: str
    attempt: int  # the fencing token: rises with every claim
    starts: int  # claims since the last progress, this one included
    failures: int  # failed attempts of the whole run so far (flow-level retries)
    now: int  # the database's clock at the claim
    parent_id: str | None = None
    root_id: str | None = None
    depth: int = 0
    key: str | None = None
    created_at: int = 0
    deadline_at: int | None = None
    cancel_reason: str | None = None  # not None: somebody asked to cancel it
    priority: int = 5
    due_at: int = 0  # since when it could have been claimed; now - due_at is how late it starts
    expires_at: int | None = None  # a run that hasn't begun by then isn't performed
    subject: str | None = None
    steps: tuple[StepRow, ...] = ()
    waits: tuple[WaitRow, ...] = ()
    mail: tuple[Mail, ...] = ()
    ended: tuple[RunRow, ...] = ()


@value
class Claims:
    """The answer to a claim."""

    runs: tuple[Claimed, ...]
    now: int
    next_due_at: int | None = None  # when the next run of these queues comes due; None: unknown
    ruled: bool = False  # some of these queues have rules: to be claimed from with `Claim.ruled`
    busy: bool = False  # another claim had the lock of a queue with rules: look again in a moment


@value
class RunRow:
    """A run as people see it: what the view `runs` shows."""

    id: str
    flow: str
    queue: str
    state: State
    priority: int
    key: str | None
    attempt: int
    input: str
    result: str | None
    error: str | None
    progress: float | None
    status: str | None
    created_at: int
    available_at: int | None
    started_at: int | None
    finished_at: int | None
    parent_id: str | None
    cause_id: str | None
    worker: str | None
    cancel_reason: str | None
    subject: str | None = None
    erased_at: int | None = None
    version: int = 1


@value
class AttemptRow:
    """An attempt that ended otherwise than well: failed, lost (its worker died), handed_back. Or
    what a person has done, under a number of its own: retried, rewound, undone."""

    run_id: str
    attempt: int
    worker: str | None
    started_at: int
    ended_at: int
    outcome: str
    error: str | None = None


@value
class WorkerRow:
    """A worker as it stands in the database. `name` is for people, `id` is new at every start."""

    id: str
    name: str
    lease_until: int = 0
    started_at: int = 0
    concurrency: int = 0
    bell: str = ""  # where its doorbell can be rung ("127.0.0.1:40613"), if anywhere
    queues: tuple[str, ...] = ()  # what it claims from
    flows: tuple[str, ...] = ()  # and what it can perform, as `served_as` puts it
