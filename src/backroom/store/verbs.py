"""What can be asked of a store, as values: the whole interface between the engine and SQL.

A verb is a frozen value and a store performs a list of them in one transaction
(`Session.apply`). That is what makes group commit simple: the lane hands over whatever came in
while the last commit was being synced, and the store is free to turn fifty `SaveStep`s into one
statement.

Three rules hold for every verb.

*Repeatable.* Ids are made by the caller before the first try. A verb that is applied twice with
the same ids, because the answer to the first commit was lost, leaves the same rows and gives the
same answer. (`Claim` is the exception: it answers what it took, so a claim of unknown outcome
is followed by `Reconcile`.)

*Fenced.* The verbs of an attempt (`Fenced`) carry its number. They take effect only while the run
is `running` under exactly that number. The store locks the run's hot row before it compares, so
that no later claim can slip between the comparison and the write; the locks of one batch are taken
in one statement in ascending order of id. A fenced verb that holds no longer is answered with
`LeaseLost`; its neighbours in the batch are not touched.

*Answered one by one.* A refusal (`Refused`, `LeaseLost`) is the answer of its verb, returned as a
value in its place. Only the world's failures (connection, disk) raise, for the batch as a whole.

Order within a batch, whatever the order in the list: Declare, AsDeclared, Pause and Resume, then
Start, Emit, Cancel, Revive, Reschedule, CloseBreaker, and what is asked of triggers and schedules,
then Progress, SaveStep, Lock, Probe, SaveWaits, then Settle, Park, Again, HandBack, Attention, then
Expire, Prune, Erase and Fire, then Claim. So a completion and the next claim share a transaction,
and the claim sees what it freed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from backroom.records.queues import QueueRules
from backroom.records.runs import NewRun, StepRow, WaitRow, WorkerRow
from backroom.records.schedules import SlotRow
from backroom.records.states import State
from backroom.records.values import value

__all__ = [
    "Again",
    "AsDeclared",
    "Attention",
    "Cancel",
    "Claim",
    "CloseBreaker",
    "Decide",
    "Declare",
    "Emit",
    "Erase",
    "Expire",
    "Fenced",
    "Fire",
    "HandBack",
    "Lock",
    "Locked",
    "Park",
    "Pause",
    "PauseSchedule",
    "PauseTrigger",
    "Probe",
    "Probed",
    "Progress",
    "Prune",
    "PutSchedule",
    "Reconcile",
    "Register",
    "RemoveSchedule",
    "Renew",
    "Reschedule",
    "Rescue",
    "Resume",
    "ResumeSchedule",
    "Retire",
    "RetireSchedules",
    "Revive",
    "SaveStep",
    "SaveWaits",
    "Settle",
    "Start",
    "Strike",
    "Verb",
]


@value
class Verb:
    """The root of all verbs."""


@value
class Fenced(Verb):
    """A verb of one attempt; refused with `LeaseLost` once the attempt no longer holds the run."""

    run_id: str
    attempt: int


# --- doors: what anybody may ask --------------------------------------------------------------


@value
class Start(Verb):
    """Store a run. Answers `Started`.

    With a key: if (flow, key) is taken, by a committed or a concurrent start, answers that run's
    id with created=False and stores nothing; the first one wins for as long as its run is kept.
    The same run id again: answers created=True and stores nothing more.
    State: ready, or scheduled when its time is in the future.
    available_at = `at`, or now + delay_us. deadline_at = available_at + timeout_us.
    Busy, and nothing stored, if its queue has `max_waiting` runs that haven't begun; what a run
    starts (cause_id) is let in all the same, since it can't come again later.
    With `after`: waiting as long as one of those runs is alive, and then due, at its own time at
    the earliest. Unless `after_any_end`, it is made ready with a reason to be cancelled as soon as
    one of them ends otherwise than well or is found not to exist.
    """

    run: NewRun


@value
class Emit(Verb):
    """Put an event into a run's mailbox and wake the run if it waits for that name. Answers None.

    Repeated with the same event id: no second event, even if the first was consumed meanwhile.
    Answers RunNotFound, RunEnded or MailboxFull as refusals. Locks the hot row, then looks at
    its waits, so that it can't fall between a run's look into its mailbox and its parking.
    """

    run_id: str
    event_id: str
    name: str
    payload: str


@value
class Cancel(Verb):
    """Ask a run, and all attached descendants (live.parent_id), to be cancelled.

    A run that nobody performs is settled as cancelled at once (and wakes its parent, like any
    end), unless it has registered undos (a step row of kind undo): then it gets `cancel_reason` and
    becomes ready now, so that a worker undoes what it did. A running one gets `cancel_reason` and
    its worker sees it (`Reader.cancelled`). Left alone are a final run and one that is being
    undone already (a step row at `rollback`, unless its alternative has begun) while nobody
    performs it. Answers the run's State afterwards (running: under way); RunNotFound.
    """

    run_id: str
    reason: str = ""


@value
class Revive(Verb):
    """Take up again a run that has ended or was set aside. Answers None.

    What is to be done has been decided by a look at the run (`flows/recovery.py`), when `attempt`
    was its newest number. In one transaction: the result goes; the checkpoints in `drops` go, and
    the events that they consumed lie unread in the mailbox again; those in `keeps` come; the waits
    go (`waits`: only the pauses between tries); the live row comes back as ready with fresh counts
    of starts and failures, without cancel_reason or expiry, with a deadline counted anew if it had
    a time-out. The number attempt + 1 is this act's own: an attempt row with `act` for its outcome
    and `note` for its error tells what a person has done, and lets a repeated verb be known.

    Answers RunNotFound; RunErased; MovedOn, with nothing done, if the run is alive or has another
    newest number by now, or if a run of `ended` is alive: windows (`rules/windows.py`) of runs
    whose starts are dropped.
    """

    run_id: str
    attempt: int
    act: str = "retried"  # or rewound, undone
    note: str = "{}"
    drops: tuple[str, ...] = ()
    keeps: tuple[StepRow, ...] = ()
    waits: bool = True
    ended: tuple[str, ...] = ()


@value
class Reschedule(Verb):
    """Move a run that is scheduled or ready to another time. Answers None, RunNotFound, Refused.

    `at` is absolute; None: now + delay_us. The deadline and the expiry move along.
    """

    run_id: str
    at: int | None = None
    delay_us: int = 0


# --- the verbs of an attempt ------------------------------------------------------------------


@value
class Claim(Verb):
    """Take up to `limit` runs that are due, most urgent first, then longest due. Answers `Claims`.

    Claimable: state ready, scheduled or waiting, available_at <= now, flow in `flows`, queue in
    `queues`. Ordered by priority, available_at, id. Each gets state running, attempt + 1,
    starts + 1, this worker, claimed_at = now (and started_at at its first claim). Runs that another
    transaction has locked are skipped. For runs with attempt > 1 the checkpoints, waits, unread
    mail and ended awaited children are preloaded, for all of them together.

    `floors`: for (queue, priority), no due run older than this time is expected: an index scan
    starts there and so passes over none of the dead entries that a held snapshot keeps. A full
    look (no floors) comes from the engine once a second.

    `suspects`: only runs that have killed their worker twice (`rules/suspicion.py`), which other
    claims leave alone. Whoever asks performs nothing else until they end; so the limit is 1. Rules
    are heeded without being asked.

    `ruled`: heed the rules of queues that have some; else those queues are passed over, and the
    answer says so (`Claims.ruled`), so that a claim of other queues stays as cheap as it can be.
    With rules: a paused queue gives nothing; one with limits no more than it has room for, counted
    under its lock. A parted queue gives to the partition with the fewest running runs first.
    """

    worker: str
    queues: tuple[str, ...]
    flows: tuple[str, ...]
    limit: int
    floors: Mapping[tuple[str, int], int] = field(default_factory=dict)
    suspects: bool = False
    ruled: bool = False


@value
class Strike:
    """A failed call of an outside service: the breaker's name, after how many it opens and for how
    long, and the error's kind."""

    name: str
    failures: int
    pause_us: int
    error: str


@value
class SaveStep(Fenced):
    """Write a checkpoint, with all that must become true in the same instant. Answers None.

    An existing row of that address is replaced. `consumes`: the mailbox event whose payload this
    checkpoint records; it is marked consumed. `starts`: runs that exist if and only if this
    checkpoint does (child runs; stored like `Start`, key included; the row's result names the ids).
    `clears_starts`: progress was made, so set the hot row's `starts` to 1.
    `forgets`: where the run will never come by again (`chunks#1.7/`): the checkpoints whose
    addresses begin so are removed, but for those of steps with an undo, which will ask for them.
    `releases`: the locks that were taken at the checkpoint's address are given back; who is next in
    their lines has them now, and wakes if it has all it waits for.
    `strike`: the call that this checkpoint tells of has failed, and that counts with the breaker.
    The last one of as many in a row opens it, and so does the failure of the call that was to try
    it. `mends`: the call went well, so this breaker has no failures any more; whoever waits for it
    wakes. Calls that began before it opened don't count, either way.
    """

    step: StepRow
    consumes: str | None = None
    starts: tuple[NewRun, ...] = ()
    clears_starts: bool = False
    forgets: str | None = None
    releases: bool = False
    strike: Strike | None = None
    mends: str | None = None


@value
class Lock(Fenced):
    """Take these locks, all of them or a place in their lines. Answers `Locked`.

    A lock is held by one request (a run and an address) at a time and goes to the others in the
    order in which they asked. All names of one request get their places in the same instant. It is
    held until `SaveStep.releases` says otherwise, or the run ends. `path`: the place of the call
    inside its flow; what waits there or below keeps the request from being given back.
    """

    address: str
    names: tuple[str, ...]
    path: str = ""


@value
class Locked:
    """The answer to `Lock`. `circle`: not held, and not in line either, since these runs and the
    one that asks would have waited for each other for ever."""

    held: bool
    circle: tuple[str, ...] = ()


@value
class Probe(Fenced):
    """Ask an open breaker whether this call is the one to be made to try. Answers `Probed`.

    `lease_us`: how long others wait for its end, which a crash would keep from them.
    """

    name: str
    address: str
    lease_us: int


@value
class Probed:
    """The answer to `Probe`. `go`: make the call; otherwise ask again at `until`."""

    go: bool
    until: int = 0


@value
class SaveWaits(Fenced):
    """Record waits of a run that goes on in memory, since other branches are busy.

    A row that exists already is left as it is (its time counts from when it was first stored).
    Answers the rows as they stand, as a tuple of WaitRow in the order given.
    """

    waits: tuple[WaitRow, ...]


@value
class Progress(Fenced):
    """Keep a run's progress (0 to 1, None: unchanged) and status text (None: unchanged)."""

    fraction: float | None = None
    status: str | None = None


@value
class Settle(Fenced):
    """End a run: succeeded, failed or cancelled. Answers None.

    The hot row and the waits go, the result row comes, and every run that waits for this one (a
    wait row of kind child with this id), its parent or not, becomes ready now. So does the parent
    of a run of a window (`rules/windows.py`) that waits for the window (kind children), once none
    of the window is live. Failed: an attempt
    row is written as well. Cancelled: attached children that are still live are cancelled too (as
    `Cancel` does); children outlive a parent that succeeds or fails. If this same attempt has
    settled the run before, the answer is None again.
    """

    state: State
    result: str | None = None
    error: str | None = None


@value
class Park(Fenced):
    """Suspend a run until the earliest of its waits. Answers None.

    Its wait rows become exactly `waits` (one that exists keeps its due_at). The state becomes
    waiting, starts 0, worker None, available_at the earliest due_at, at most the deadline; but now
    if something waited for is there already: an unread event of a waited name, an ended
    child, a window that is over, or a cancel. This look comes after the hot row is locked, so
    nothing can slip in between.
    `steps`: checkpoints to write in the same transaction (a step's failed try).
    `backwards`: its undos are under way, and a cancel doesn't wake it. `timeless`: nor does its
    deadline.
    """

    waits: tuple[WaitRow, ...]
    steps: tuple[StepRow, ...] = ()
    backwards: bool = False
    timeless: bool = False


@value
class Again(Fenced):
    """The attempt failed and the flow's own retry lets it try again after `delay_us`.

    State scheduled, failures + 1, starts 0, an attempt row with the error. Due now if the run was
    asked to cancel meanwhile.
    """

    delay_us: int
    error: str


@value
class HandBack(Fenced):
    """Give a run back untouched (a worker that stops): ready at once, starts - 1, no attempt
    row."""


@value
class Attention(Fenced):
    """Set a run aside for a person: state needs_attention, with the reason as its error.

    The hot row stays (available_at FOREVER, worker None); an attempt row keeps the error.
    """

    error: str


# --- workers and their leases -----------------------------------------------------------------


@value
class Register(Verb):
    """Enter a worker with a lease of `lease_us` from now. Answers None. Same id again: renews."""

    worker: WorkerRow
    lease_us: int


@value
class Renew(Verb):
    """Prolong the leases of these workers. Answers the ids that still exist, as a frozenset.

    An id that is missing has been declared dead and its runs may be in other hands: it must stop
    and come back under a new id.
    """

    worker_ids: tuple[str, ...]
    lease_us: int


@value
class Retire(Verb):
    """Remove a worker at once and release whatever it still holds, as `Rescue` does. Answers the
    released run ids. `lost`: its death was seen (else it stopped by itself and its runs are
    handed back without a mark)."""

    worker_id: str
    lost: bool = True


@value
class Rescue(Verb):
    """Release every running run whose worker has no valid lease. Answers the released run ids.

    Workers with an expired lease are removed. Released: state ready, available_at now, worker
    None, and an attempt row with outcome lost. With starts >= 2 it is a suspect from now on
    (`rules/suspicion.py`). A suspect with starts >= `max_starts` goes to needs_attention instead,
    with an error {"kind": "Poison", "message": …} that says so.
    A run of a worker that has no row at all counts as released too, so that removing a
    worker's row can't hide its runs.
    """

    max_starts: int = 3


@value
class Reconcile(Verb):
    """After a claim of unknown outcome: release the runs that this worker holds in the database
    but not in memory. They become ready at once, starts - 1. Answers their ids.

    `holding`: (run id, attempt) of what is in memory. The attempt matters: the batch that parked a
    run may have claimed it again, and then the id alone is known but the new attempt isn't.
    """

    worker_id: str
    holding: frozenset[tuple[str, int]]


# --- queues, and what is swept away -------------------------------------------------------------


@value
class Declare(Verb):
    """Make these the rules of a queue, for every worker from now on. Answers None.

    `by`: an operator, whose rules stay in force whatever programs declare, until `AsDeclared`.
    None: a program declares them.

    Its running runs are counted from then on, whoever claimed them. A queue that was parted once
    stays so, since it may still have runs with a partition. The pause isn't touched.
    """

    rules: QueueRules
    by: str | None = None


@value
class AsDeclared(Verb):
    """Lift an operator's rules: those that a program has declared last are in force again. Answers
    whether there were any."""

    queue: str


@value
class Pause(Verb):
    """Let nothing more of a queue be claimed; what is running goes on. Answers None.

    `by`: who, or why; for people. A queue that is paused already keeps its time.
    """

    queue: str
    by: str = ""


@value
class Resume(Verb):
    """Undo `Pause`. Answers None."""

    queue: str


@value
class CloseBreaker(Verb):
    """Forget a breaker's failures, so that its service is called again. Whoever waits for it wakes.
    Answers whether there were any."""

    name: str


@value
class Expire(Verb):
    """End up to `limit` runs that haven't begun and have expired: cancelled, with the reason
    "expired". Whoever waits for them wakes. Answers how many."""

    limit: int = 1_000


@value
class Prune(Verb):
    """Remove up to `limit` runs that ended more than `older_than_us` ago, with all that belongs to
    them. Answers `Pruned`.

    In the order of their ids; `after`: go on behind this one, as the answer before said. Kept are
    runs that a live run waits for or has started, those with a live child attached, and those with
    a key for at least KEY_KEPT_US. `dry_run`: count only.
    """

    older_than_us: int
    after: str | None = None
    limit: int = 1_000
    dry_run: bool = False


@value
class Erase(Verb):
    """Blank what came from outside in these runs, and keep that they were. Answers `Erased`.

    Refused, one by one: a run that has not ended, one whose live parent or whoever waits for it may
    still read it, one that isn't there. One that is erased already counts as erased. `audit_id`: of
    the row in the audit that says who did it to which runs. `dry_run`: answer only.
    """

    run_ids: tuple[str, ...]
    audit_id: str
    by: str = ""
    dry_run: bool = False


# --- changes of the application's rows ----------------------------------------------------------


@value
class Fire(Verb):
    """Turn up to `limit` changes of the application's rows into runs. Answers `Fired`.

    Changes are removed in the same transaction, so a repetition finds those that are left. Runs of
    one row stand in a line, in the order of its changes; each begins when the one before has ended.
    Where others are at it, nothing is done.
    """

    limit: int = 200


@value
class PauseTrigger(Verb):
    """Let a trigger's changes start nothing until it goes on (`on`); they are kept. Answers whether
    there is such a trigger."""

    name: str
    on: bool = False
    by: str = ""


# --- schedules ----------------------------------------------------------------------------------


@value
class PutSchedule(Verb):
    """Add a schedule or change it. Answers None; Refused if it is declared in code and this isn't.

    A calendar that stays as it is goes on where it was; another one counts from now, and so does
    that of a schedule that was removed or retired. A pause stays.
    """

    name: str
    flow: str
    calendar: str
    input: str = "{}"
    options: str = "{}"
    made_by: str = ""
    source: str = "call"


@value
class RetireSchedules(Verb):
    """Retire the schedules of these flows that a program declared once and doesn't any more: all
    but those in `keep`. Answers their names."""

    flows: tuple[str, ...]
    keep: tuple[str, ...]


@value
class RemoveSchedule(Verb):
    """Let a schedule be due no more; its slots stay. Answers None; Refused if there is none of that
    name or it is declared in code."""

    name: str


@value
class PauseSchedule(Verb):
    """Let no slots of a schedule start from now on; they are skipped. Answers None, Refused."""

    name: str
    by: str = ""


@value
class ResumeSchedule(Verb):
    """Undo `PauseSchedule`: slots from now on start. Answers None, Refused."""

    name: str


@value
class Decide(Verb):
    """Keep what becomes of a schedule's due slots, and start their runs. Answers None.

    All or nothing, and the first slot decides: if somebody has decided it already, or the schedule
    was changed since it was looked at (`series`), nothing at all is done. So of twenty workers that
    have come to a decision about a slot, one is heard. Without slots only `next_at` is kept, if the
    schedule still stands at `before`.

    `runs`: one for each slot that is started. They are let in also where a queue is full. `after`
    of a run says which one has to end before it begins. `place`: how far all is decided with this.
    Decisions that are older than `forget_us` are removed, a few at a time.
    """

    schedule: str
    series: int
    before: int | None
    slots: tuple[SlotRow, ...]
    runs: tuple[NewRun, ...]
    place: int | None
    next_at: int | None
    error: str | None = None
    forget_us: int = 0
