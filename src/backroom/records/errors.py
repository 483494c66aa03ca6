"""Every error that backroom raises, in one tree.

    BackroomError
    ├── Refused                  the call was wrong or can't be accepted; nothing was stored
    │   ├── UnknownFlow          no flow of that name is registered
    │   ├── InvalidInput         arguments don't fit the flow's signature
    │   ├── NotStorable          a value can't be stored; names the path inside it
    │   ├── TooLarge             a value is larger than the hard limit
    │   ├── InvalidTime          a delay, time or time-out that can't be
    │   ├── MailboxFull          too many unread events wait for one run
    │   ├── RunNotFound          no run has that id
    │   ├── RunEnded             the run is in a final state already
    │   ├── RunErased            what was kept of the run was erased on request
    │   ├── MovedOn              a run isn't any more as it was when a person decided about it
    │   └── Busy                 the intake is full; nothing was stored, try again
    ├── StoreError               the database said no, or said nothing
    │   ├── StoreUnavailable     missing, unreachable, read-only
    │   ├── StoreDamaged         the file is no database, or a damaged one
    │   ├── StoreFull            the disk (or quota) is full
    │   ├── Contended            somebody else's lock was in the way for too long
    │   ├── SchemaError          not migrated, or newer than this program
    │   └── OutcomeUnknown       the connection broke at the commit; not known whether it took
    ├── FlowError                raised inside flows, or by `result()`
    │   ├── StepFailed           a step has used up its retries
    │   ├── ProcessDied          the process that performed a step's body is gone
    │   ├── Rollback             raised by an author: undo what was done and fail
    │   ├── TimedOut             a step or a run took longer than its time-out
    │   ├── RunFailed            the awaited run ended failed
    │   ├── RunCancelled         the awaited run ended cancelled
    │   ├── Deadlock             runs would wait for each other's locks for ever
    │   ├── AmbiguousStep        concurrent calls whose order a replay can't know
    │   ├── CodeMismatch         a kept result doesn't fit the code that now asks for it
    │   ├── UnfitEvent           an event that doesn't fit the wait that has read it
    │   ├── TransactionEnded     a transaction step committed or rolled back by itself
    │   └── NotInFlow            a durable wait outside of a flow
    └── LeaseLost                this attempt no longer holds its run: stop quietly

A message says the cause, then the remedy. Ids travel as attributes, never only inside the text.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousStep",
    "BackroomError",
    "Busy",
    "CodeMismatch",
    "Contended",
    "Deadlock",
    "FlowError",
    "InvalidInput",
    "InvalidTime",
    "LeaseLost",
    "MailboxFull",
    "MovedOn",
    "NotInFlow",
    "NotStorable",
    "OutcomeUnknown",
    "ProcessDied",
    "Refused",
    "Rollback",
    "RunCancelled",
    "RunEnded",
    "RunErased",
    "RunFailed",
    "RunNotFound",
    "SchemaError",
    "StepFailed",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TimedOut",
    "TooLarge",
    "TransactionEnded",
    "UnfitEvent",
    "UnknownFlow",
]


class BackroomError(Exception):
    """The root of all errors of backroom."""


class Refused(BackroomError):
    """The call was wrong or can't be accepted now; nothing of it was stored."""


class UnknownFlow(Refused):
    """No flow of that name is registered with this application."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        self.name = name
        self.known = known
        has = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"No flow is named {name!r} here. Import the module that defines it before this call, "
            f"or correct the name; known flows: {has}."
        )


class InvalidInput(Refused):
    """The arguments don't fit the flow's signature and types. `what` says it without a remedy."""

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        super().__init__(f"{what}. {remedy}" if remedy else what)


class NotStorable(Refused):
    """A value can't be stored and read back with its type kept.

    `path` leads to the offending part, written like Python: `order.lines[3].price`.
    """

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        self.path = path
        super().__init__(f"{path} can't be stored: {reason}. {remedy}")


class TooLarge(Refused):
    """A value is larger than the hard limit. `size_bytes` and `limit_bytes` tell by how much."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(
            f"{what} takes {size_bytes:,} bytes, more than the limit of {limit_bytes:,}. "
            "Store it as a file or a row of your own and pass its name."
        )


class InvalidTime(Refused):
    """A delay, time or time-out that can't be."""


class MailboxFull(Refused):
    """The run has as many unread events as it may have."""

    def __init__(self, run_id: str, limit: int) -> None:
        self.run_id = run_id
        self.limit = limit
        super().__init__(
            f"Run {run_id} has {limit:,} unread events, the limit. "
            "Emit again once it has read some, or cancel it."
        )


class RunNotFound(Refused):
    """No run has that id."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"There is no run {run_id}. Check the id, and that this program uses the database "
            "the run was started in."
        )


class RunEnded(Refused):
    """The run is in a final state already and can't take what was asked of it."""

    def __init__(self, run_id: str, state: str, asked: str) -> None:
        self.run_id = run_id
        self.state = state
        super().__init__(f"Run {run_id} is {state} and can't {asked}. Start a new run instead.")


class RunErased(Refused):
    """What was kept of the run was erased on request: it has no result and can't be retried."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} was erased: its input and result are gone. Start a new run if the work "
            "is still to be done."
        )


class MovedOn(Refused):
    """A run isn't any more as it was when it was decided how to take it up again."""

    def __init__(self, run_id: str, state: str) -> None:
        self.run_id = run_id
        self.state = state
        super().__init__(
            f"Run {run_id} has moved on since it was looked at: it is {state} now, or a run that "
            "it started has come alive. Look at it again."
        )


class Busy(Refused):
    """The intake is full. Nothing of this call was stored: wait a moment and try again."""


class StoreError(BackroomError):
    """The database said no, or said nothing."""


class StoreUnavailable(StoreError):
    """The database is missing, unreachable, read-only, or not to be opened."""


class StoreDamaged(StoreError):
    """What should be the database is none, or is damaged. Asking it again won't help."""


class StoreFull(StoreError):
    """The disk or quota behind the database is full. What was accepted before is safe."""


class Contended(StoreError):
    """Another transaction held a row or key that one call of a batch needs, for longer than the
    lock time-out. Nothing of the batch was stored; its other calls go through without that one."""


class SchemaError(StoreError):
    """Our tables are missing, or newer than this program."""


class OutcomeUnknown(StoreError):
    """The connection broke while committing; only a look can tell whether it took."""


class FlowError(BackroomError):
    """Raised inside flows, or to whoever asks for a result."""


class StepFailed(FlowError):
    """A step has used up its retries.

    Raised in the flow, the same way on every replay: `step` is the step's name, `kind` the
    qualified name of the error's class, `message` its text. In the attempt that saw it happen,
    `__cause__` is the error itself.
    """

    def __init__(self, step: str, kind: str, message: str, tries: int) -> None:
        self.step = step
        self.kind = kind
        self.message = message
        self.tries = tries
        tried = "once" if tries == 1 else f"{tries} times"
        super().__init__(f"Step {step} failed, tried {tried}: {kind}: {message}")

    def caused_by(self, error: type[BaseException]) -> bool:
        """Whether the step ended with exactly this class of error; holds on replay too."""
        return self.kind == kind_of(error)


class ProcessDied(FlowError):
    """The process that performed a step's body crashed, was killed or exited by itself.

    `exit_code` is the process's, or minus the number of the signal that killed it; None where
    that can't be known. `deaths` counts the processes in a row that this call has cost.
    """

    def __init__(self, how: str, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        self.deaths = 1
        super().__init__(
            f"The process that performed it {how}. Look for what crashes, exits or takes too much "
            "memory in the body, or in a library that it calls."
        )


class Rollback(FlowError):
    """Raise this in a flow to undo what its steps have done, in reverse order, and to fail.

    Any other error that leaves the flow does the same; this one is never retried.
    """


class TimedOut(FlowError):
    """A step or a run took longer than its time-out."""


class RunFailed(FlowError):
    """The awaited run ended failed. `kind` and `message` describe its error."""

    def __init__(self, run_id: str, kind: str, message: str) -> None:
        self.run_id = run_id
        self.kind = kind
        self.message = message
        super().__init__(f"Run {run_id} failed: {kind}: {message}")


class RunCancelled(FlowError):
    """The awaited run was cancelled."""

    def __init__(self, run_id: str, reason: str = "") -> None:
        self.run_id = run_id
        self.reason = reason
        super().__init__(f"Run {run_id} was cancelled{': ' + reason if reason else ''}.")


class Deadlock(FlowError):
    """Waiting for a lock would have closed a circle of runs that wait for each other.

    Raised where the last one of them asks; what it holds is given back as the error leaves its
    `with` blocks. `lock` is what it asked for, `runs` are the runs of the circle.
    """

    def __init__(self, lock: str, runs: tuple[str, ...]) -> None:
        self.lock = lock
        self.runs = runs
        super().__init__(
            f"Waiting for the lock {lock} would never end: these runs would wait for each other: "
            f"{', '.join(runs)}. Ask for all locks at once, lock(a, b), or everywhere in the same "
            "order; or give the flow a retry, which tries it again from here."
        )


class AmbiguousStep(FlowError):
    """Concurrent calls whose order a replay can't know."""

    def __init__(self, step: str) -> None:
        self.step = step
        super().__init__(
            f"{step} was called from a task or thread that backroom didn't start, so a replay "
            "can't tell this call from its siblings. Use backroom.gather(...) for the parallel "
            f"part, or give the call a name of its own: {step}.using(key=...)(...)."
        )


class CodeMismatch(FlowError):
    """A kept result doesn't fit the code that now asks for it; the run waits for a person."""

    def __init__(self, address: str, what: str) -> None:
        self.address = address
        self.what = what
        super().__init__(
            f"The code no longer matches what is kept at {address}: {what}. Deploy code that "
            "fits, then retry the run; or cancel it and start a new one."
        )


class UnfitEvent(FlowError):
    """An event that doesn't fit what the wait for it takes. It is kept beside the wait, which goes
    on; nobody raises it. `event` is its name, `address` where it is kept, `what` says what is
    wrong."""

    def __init__(self, event: str, address: str, what: str) -> None:
        self.event = event
        self.address = address
        self.what = what
        super().__init__(
            f"{what}. It was read and refused, and the wait goes on. Emit {event} again with a "
            "value that fits; if it is the code that is wrong, deploy code that takes this one, "
            "and emit it again then."
        )


class TransactionEnded(FlowError):
    """A transaction step committed or rolled back by itself, so that its checkpoint can't share its
    transaction any more. Such a step isn't tried again: what it committed is there."""

    def __init__(self, how: str = "") -> None:
        super().__init__(
            f"A transaction step ended its transaction by itself{': ' + how if how else ''}. Take "
            "COMMIT, ROLLBACK and `with connection:` out of it: backroom commits when it returns."
        )


class NotInFlow(FlowError):
    """A durable wait was used outside of a flow, where nothing could keep it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} works inside a flow only, where the wait can be kept. Call it from a "
            "function decorated with @app.flow that a worker performs."
        )


class LeaseLost(BackroomError):
    """This attempt no longer holds its run; another may. Nothing it sends is accepted."""

    def __init__(self, run_id: str, attempt: int) -> None:
        self.run_id = run_id
        self.attempt = attempt
        super().__init__(f"Attempt {attempt} no longer holds run {run_id}.")


def kind_of(error: type[BaseException]) -> str:
    """The name under which a class of errors is kept: `module.Class`; builtins and ours bare."""
    module = error.__module__
    bare = module == "builtins" or module.startswith("backroom.records.")
    return error.__qualname__ if bare else f"{module}.{error.__qualname__}"
