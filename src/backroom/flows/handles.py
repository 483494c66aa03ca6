"""The handle of a run: its result, status, cancel and events."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from backroom.flows.codec import Codec, decode_plain
from backroom.flows.failures import ended_badly, read
from backroom.flows.pending import Joining, Pending, Promise
from backroom.flows.recovery import Decision, Undo, mark_undone, retry, rewind
from backroom.flows.rewinding import Rewind
from backroom.flows.scope import flow_scope
from backroom.flows.waits import ChildWait
from backroom.records.errors import RunErased, RunNotFound
from backroom.records.runs import RunRow, Started
from backroom.records.states import State

if TYPE_CHECKING:
    from backroom.flows.starting import Starter
    from backroom.flows.why import Why

__all__ = ["Run", "Status"]

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands, as its author and its users see it. Times are in UTC."""

    id: str
    flow: str
    state: State
    text: str | None  # what the flow last said with progress(status=...)
    progress: float | None  # 0 to 1
    attempt: int
    queue: str
    key: str | None
    result: Any  # decoded without types; `result()` gives the typed value
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    available_at: datetime | None

    @property
    def is_final(self) -> bool:
        return self.state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Run(Pending["Run[R]"], Generic[R]):
    """A run, wherever it is performed. `await` (or `.wait()`) it: its start has been committed.

    id       its id, known at once
    created  after that: False when the key had a run already, whose id this handle then has
    """

    def __init__(
        self,
        starter: Starter,
        run_id: str,
        flow: str,
        codec: Codec,
        started: Future[Any] | None = None,
        joining: Joining[Sequence[Started]] | None = None,
        place: int = 0,
    ) -> None:
        self._starter = starter
        self._id = run_id
        self._flow = flow
        self._codec = codec
        self._started = started
        self._promise = (
            None if started is None else Promise(started, self._note, what=f"Starting {flow}")
        )
        self._joining = joining  # starts this run, at this place among others, when awaited
        self._place = place
        self.created = True

    @property
    def id(self) -> str:
        if self._started is not None and self._started.done() and self._started.exception() is None:
            self._note(self._started.result())
        return self._id

    def _note(self, started: Any) -> Run[R]:
        if isinstance(started, Started):
            self._id = started.run_id
            self.created = started.created
        return self

    def __await__(self) -> Generator[Any, Any, Run[R]]:
        if self._promise is not None:
            yield from self._promise.__await__()
        if self._joining is not None:
            answers = yield from self._joining.__await__()
            self._note(answers[self._place])
        return self

    def wait(self, timeout: float | None = None) -> Run[R]:
        if self._promise is not None:
            self._promise.wait(timeout)
        if self._joining is not None:
            self._note(self._joining.wait(timeout)[self._place])
        return self

    def result(self) -> Pending[R]:
        """The run's result, once it has one. RunFailed or RunCancelled when it ended otherwise.

        Inside a flow this is a durable wait: the flow parks until the other run has ended.
        """
        scope = flow_scope()
        if scope is not None:
            return ChildWait[R](scope, self.id, self._flow, self._codec, started=self)
        return Promise(
            self._starter.ended(self.id, after=self._started),
            self._result_of,
            what=f"The result of {self._flow}",
        )

    def _result_of(self, run: RunRow) -> R:
        if run.state is not State.SUCCEEDED:
            raise ended_badly(run)
        if run.erased_at is not None:
            raise RunErased(run.id)
        value: R = self._codec.decode(run.result or "null")
        return value

    def status(self) -> Pending[Status]:
        """Where the run stands now; RunNotFound."""
        return Promise(
            self._starter.row(self.id, after=self._started),
            self._status_of,
            what="Reading a status",
        )

    def _status_of(self, row: RunRow | None) -> Status:
        if row is None:
            raise RunNotFound(self._id)
        return status_of(row)

    def cancel(self, reason: str = "") -> Pending[State]:
        """Ask for the run and its attached children to be cancelled. The state it is in then:
        `running` while its worker is still being told."""
        return Promise(
            self._starter.cancel(self.id, reason, self._started),
            lambda state: state,
            what="Cancelling",
        )

    def why(self) -> Pending[Why]:
        """Why the run isn't running, as a sentence and as data; RunNotFound."""
        return Promise(
            self._starter.why(self.id, self._started), lambda told: told, what="Asking why"
        )

    def retry(self, *, by: str = "") -> Pending[None]:
        """Take a failed, cancelled or needs_attention run up again from where it stopped: finished
        steps stay, the failed one runs again; what was being undone goes on being undone.

        Refused for a run in another state, and for one that has been undone: start a new one, or
        rewind it. `by`: who, kept in the run's history.
        """
        return self._recovering(retry(by), "Retrying")

    def rewind(self, to: str, *, by: str = "", dry_run: bool = False) -> Pending[Rewind]:
        """Take an ended or needs_attention run up again from an earlier checkpoint, given by its
        address: that one goes, with all that began after it, and is done again. Answers what that
        means; `dry_run`: only that. Refused where it can't be right; the message says why."""
        return self._recovering(rewind(to, by, dry_run=dry_run), "Rewinding")

    def mark_undone(self, *steps: str, note: str, by: str = "") -> Pending[None]:
        """Say that these steps, whose undos have failed, have been undone by hand. The note says
        how. The run goes on with what is still open."""
        return self._recovering(mark_undone(steps, note, by), "Marking as undone")

    def undos(self) -> Pending[list[Undo]]:
        """What is registered to be undone if the run fails, and how it stands with each: the one
        that is undone first comes first."""
        return Promise(
            self._starter.undos(self.id, self._started), lambda told: told, what="Asking for undos"
        )

    def _recovering(self, decide: Decision[T], what: str) -> Pending[T]:
        told = self._starter.recover(self.id, self._started, decide)
        return Promise(told, lambda answer: answer, what=what)

    def reschedule(
        self, *, delay: float | timedelta | None = None, at: datetime | None = None
    ) -> Pending[None]:
        """Move a run that hasn't begun to another time, `delay` seconds from now or `at` a moment
        with a time zone; with neither, to now. Refused once it has begun."""
        return Promise(
            self._starter.reschedule(self.id, delay, at, self._started),
            lambda _: None,
            what="Rescheduling",
        )

    def emit(
        self, event: str, payload: Any = None, /, *, key: str | None = None, on: Any = None
    ) -> Pending[None]:
        """Put an event into the run's mailbox, where it stays until the run reads it.

        key  the same key again is the same event: a webhook that comes twice counts once
        on   a connection or session with an open transaction, which the event joins; an
             asynchronous one has to be awaited
        """
        sent = self._starter.emit(self.id, event, payload, key=key, on=on, after=self._started)
        if isinstance(sent, Joining):
            return sent
        return Promise(sent, lambda _: None, what=f"Emitting {event}")

    def __repr__(self) -> str:
        return f"<run {self._id} of {self._flow}>"


def status_of(row: RunRow) -> Status:
    error = read(row.error) if row.error else None
    return Status(
        id=row.id,
        flow=row.flow,
        state=row.state,
        text=row.status,
        progress=row.progress,
        attempt=row.attempt,
        queue=row.queue,
        key=row.key,
        result=None if row.result is None or row.erased_at else _plain(row.result),
        error=f"{error['kind']}: {error['message']}" if error else None,
        created_at=moment(row.created_at),
        started_at=None if row.started_at is None else moment(row.started_at),
        finished_at=None if row.finished_at is None else moment(row.finished_at),
        available_at=None if row.available_at is None else moment(row.available_at),
    )


def _plain(text: str) -> Any:
    try:
        return decode_plain(text)
    except ValueError:
        return json.loads(text)


def moment(at: int) -> datetime:
    """Microseconds since 1970 as a UTC datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=min(at, 253_370_764_800_000_000)
    )
