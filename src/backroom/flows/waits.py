"""Durable waits: for a time, an event, a child run, or the first of several.

A wait is a value. It gets its address where it is made and does nothing until it is awaited (in an
`async def` flow) or `.wait()`ed for (in a `def` flow); `first(...)` takes several unawaited ones.
While a run waits for days it is a row and nothing else.
"""

from __future__ import annotations

import json
import warnings
from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Protocol, TypeVar, overload

from backroom.flows.codec import ANY, Codec
from backroom.flows.context import RunContext
from backroom.flows.effects import drive, drive_in_thread
from backroom.flows.failures import as_json, ended_badly
from backroom.flows.pending import Pending
from backroom.flows.replay import perform_wait
from backroom.flows.rewinding import REFUSED
from backroom.flows.scope import FlowScope, flow_scope
from backroom.flows.steps import check_name
from backroom.records import limits
from backroom.records.errors import InvalidInput, InvalidTime, NotInFlow, Refused, UnfitEvent
from backroom.records.runs import FOREVER, Mail, RunRow, StepRow, WaitRow
from backroom.records.states import State

__all__ = [
    "ChildWait",
    "EventWait",
    "First",
    "Found",
    "Timer",
    "Wait",
    "first",
    "sleep",
    "wait_for_event",
]

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Startable(Protocol):
    """The handle of a run, as far as it matters here: its id is sure once it has been awaited."""

    @property
    def id(self) -> str: ...

    def __await__(self) -> Generator[Any, Any, Any]: ...

    def wait(self, timeout: float | None = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A wait is over: since when, and what has to be kept to know it next time."""

    at: int
    keeps: StepRow | None = None
    consumes: Mail | None = None
    place: int = -1  # among the letters of one moment, which came first


@dataclass(frozen=True, slots=True)
class Refusal:
    """A letter that a wait has read and that fits nothing it takes; what has to be kept of it."""

    letter: Mail
    error: UnfitEvent
    keeps: StepRow


class Wait(Pending[T]):
    """A durable wait at one address of one run. Lazy: it begins when it is awaited."""

    kind: str

    def __init__(self, scope: FlowScope, name: str, former: Sequence[str] = ()) -> None:
        self.context = scope.context
        self.address = scope.address_since(name, former) if former else scope.address(name)
        self.begun = False

    @abstractmethod
    def look(self, context: RunContext) -> Found | None:
        """What ends this wait, if it is there."""

    @abstractmethod
    def rows(self, context: RunContext) -> tuple[WaitRow, ...]:
        """What to note in the database while it lasts."""

    def may_be_over(self, context: RunContext) -> bool:
        found = self.look(context)
        return found is not None or self.refuses(context, found) is not None

    def readers(self) -> Iterator[EventWait[Any]]:
        """The waits for events in it."""
        return iter(())

    def refuses(self, context: RunContext, found: Found | None) -> Refusal | None:
        """A letter that is read before the wait is over and that none of its readers takes.

        All that a wait has refused stands in one checkpoint beside it, written over each time: what
        a sender does again and again must not fill the run. The letters themselves stay.
        """
        readers = list(self.readers())
        for place, letter in enumerate(context.mail):
            if found is not None and (letter.created_at, place) >= (found.at, found.place):
                continue
            problems = [r.problem(letter) for r in readers if r.event == letter.name]
            if not problems or None in problems:
                continue
            address = f"{self.address}:{REFUSED}"
            before = context.kept.get(address)
            error = UnfitEvent(letter.name, address, problems[0] or "")
            row = StepRow(
                address, letter.name, REFUSED, "failed", letter.payload, as_json(error),
                tries=1 if before is None else before.tries + 1,
                started_at=letter.created_at, finished_at=context.clock(),
            )  # fmt: skip
            return Refusal(letter, error, row)
        return None

    def before(self) -> Iterator[Startable]:
        """What has to be done before it can be looked for."""
        return iter(())

    def decode(self, text: str) -> T:
        value: T = ANY.decode(text)
        return value

    def failure(self, row: StepRow) -> Exception:
        raise AssertionError(f"a {self.kind} can't fail")

    def __await__(self) -> Generator[Any, Any, T]:
        self.begun = True
        for pending in self.before():
            yield from pending.__await__()
        value: T = yield from drive(self.context, perform_wait(self.context, self)).__await__()
        return value

    def wait(self, timeout: float | None = None) -> T:
        if timeout is not None:
            raise Refused(
                "A wait inside a flow is durable and has no time-out of its own. "
                "Write first(this, sleep(seconds)).wait()."
            )
        self.begun = True
        self.context.must_not_block_loop("wait()")
        for pending in self.before():
            pending.wait()
        value: T = drive_in_thread(self.context, perform_wait(self.context, self))
        return value

    def row(
        self, kind: str, name: str = "", *, delay_us: int | None = None, due_at: int | None = None
    ) -> WaitRow:
        """The row as it stands, or as it shall be stored."""
        kept = self.context.waits.get(self.address)
        return kept if kept is not None else WaitRow(self.address, kind, name, delay_us, due_at)

    def __del__(self) -> None:
        if not getattr(self, "begun", True) and self.context.ending is None:
            warnings.warn(
                f"The wait {self.address} was made and never begun. Write `await` before it, or "
                "`.wait()` behind it in a `def` flow.",
                RuntimeWarning,
                stacklevel=2,
            )


class Timer(Wait[None]):
    kind = "timer"

    def __init__(self, scope: FlowScope, delay_us: int | None, due_at: int | None) -> None:
        super().__init__(scope, "sleep")
        self._delay_us = delay_us
        self._due_at = due_at

    def look(self, context: RunContext) -> Found | None:
        # What is due stays due: a timer needs no checkpoint.
        return Found(context.due_at(self.address)) if context.is_due(self.address) else None

    def rows(self, context: RunContext) -> tuple[WaitRow, ...]:
        return (self.row("timer", delay_us=self._delay_us, due_at=self._due_at),)


class EventWait(Wait[T]):
    kind = "event"

    def __init__(self, scope: FlowScope, event: str, codec: Codec) -> None:
        super().__init__(scope, f"event {event}")
        self.event = event
        self._codec = codec
        self._problems: dict[str, str | None] = {}  # by the ids of letters

    def readers(self) -> Iterator[EventWait[Any]]:
        yield self

    def problem(self, letter: Mail) -> str | None:
        """Why a letter of this name isn't what is waited for; None: it is."""
        if letter.id not in self._problems:
            self._problems[letter.id] = self._misfit(letter.payload)
        return self._problems[letter.id]

    def _misfit(self, payload: str) -> str | None:
        try:
            self._codec.decode(payload, strict=True)
        except InvalidInput as error:
            return error.what
        except Exception as error:  # an author's validator may raise anything
            return f"the event {self.event} can't be read: {error!r}"
        return None

    def look(self, context: RunContext) -> Found | None:
        letter = context.letter(self.event, self.problem)
        if letter is None:
            return None
        now = context.clock()
        row = StepRow(
            self.address,
            self.event,
            "event",
            "done",
            letter.payload,
            started_at=letter.created_at,
            finished_at=now,
        )
        return Found(letter.created_at, row, letter, context.mail.index(letter))

    def rows(self, context: RunContext) -> tuple[WaitRow, ...]:
        return (self.row("event", self.event),)

    def decode(self, text: str) -> T:
        value: T = self._codec.decode(text)
        return value


class ChildWait(Wait[T]):
    """Waits for the end of another run, a child or not.

    `started`: the handle of a run whose start may still be under way; only then its id is sure.
    """

    kind = "child"

    def __init__(
        self,
        scope: FlowScope,
        run_id: str,
        flow: str,
        codec: Codec,
        started: Startable | None = None,
        former: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, f"result {flow}", [f"result {alias}" for alias in former])
        self._run_id = run_id
        self._flow = flow
        self._codec = codec
        self._started = started

    def before(self) -> Iterator[Startable]:
        if self._started is not None:
            yield self._started

    @property
    def run_id(self) -> str:
        return self._run_id if self._started is None else self._started.id

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        self._run_id = run_id

    def look(self, context: RunContext) -> Found | None:
        run = context.ended.get(self.run_id)
        if run is None:
            return None
        good = run.state is State.SUCCEEDED
        ended_at = run.finished_at or context.now
        row = StepRow(
            self.address,
            self.run_id,
            "child",
            "done" if good else "failed",
            run.result if good else None,
            None if good else json.dumps({"kind": run.state.value, "error": run.error}),
            started_at=run.created_at,
            finished_at=max(ended_at, context.clock()),
        )
        return Found(ended_at, row)

    def rows(self, context: RunContext) -> tuple[WaitRow, ...]:
        return (self.row("child", self.run_id),)

    def decode(self, text: str) -> T:
        value: T = self._codec.decode(text)
        return value

    def failure(self, row: StepRow) -> Exception:
        kept = json.loads(row.error or "{}")
        return ended_badly(_ended_run(self.run_id, self._flow, kept))


class First(Wait[T]):
    """The first of several waits to be over; the others are let go, and consume nothing."""

    kind = "first"

    def __init__(self, scope: FlowScope, members: tuple[Wait[Any], ...]) -> None:
        super().__init__(scope, "first")
        self._members = members

    def look(self, context: RunContext) -> Found | None:
        found = [
            (f.at, f.place, n, f)
            for n, member in enumerate(self._members)
            if (f := member.look(context))
        ]
        if not found:
            return None
        # What happened first wins, not what we look at first: after a day without workers both an
        # answer and the deadline may be there.
        _at, _place, n, winner = min(found, key=lambda entry: entry[:3])
        kept = winner.keeps
        value = (kept.result if kept else None) or "null"
        text = f'{{"index":{n},"value":{value}}}'
        row = StepRow(
            self.address,
            "first",
            "first",
            kept.state if kept else "done",
            text,
            kept.error if kept else None,
            started_at=winner.at,
            finished_at=context.clock(),
        )
        return Found(winner.at, row, winner.consumes, winner.place)

    def readers(self) -> Iterator[EventWait[Any]]:
        return chain.from_iterable(member.readers() for member in self._members)

    def rows(self, context: RunContext) -> tuple[WaitRow, ...]:
        return tuple(row for member in self._members for row in member.rows(context))

    def before(self) -> Iterator[Startable]:
        return chain.from_iterable(member.before() for member in self._members)

    def decode(self, text: str) -> T:
        index, value = _winner(text)
        if isinstance(self._members[index], Timer):
            return None  # type: ignore[return-value]
        winner: T = self._members[index].decode(value)
        return winner

    def failure(self, row: StepRow) -> Exception:
        index, value = _winner(row.result or "")
        return self._members[index].failure(replace(row, result=value))


def _winner(text: str) -> tuple[int, str]:
    kept = json.loads(text)
    return kept["index"], json.dumps(kept["value"], ensure_ascii=False)


def _ended_run(run_id: str, flow: str, kept: dict[str, Any]) -> RunRow:
    """As much of an ended run as its kept failure tells."""
    return RunRow(
        id=run_id,
        flow=flow,
        queue="",
        state=State(kept.get("kind", "failed")),
        priority=0,
        key=None,
        attempt=0,
        input="",
        result=None,
        error=kept.get("error"),
        progress=None,
        status=None,
        created_at=0,
        available_at=None,
        started_at=None,
        finished_at=None,
        parent_id=None,
        cause_id=None,
        worker=None,
        cancel_reason=None,
    )


def sleep(
    seconds: float | timedelta = 0,
    *,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    until: datetime | None = None,
) -> Wait[None]:
    """Let the run rest for a length of time, or until a moment (with a time zone).

    From milliseconds to ten years; the run is a row meanwhile. Never early by the database's clock.
    """
    scope = _scope("sleep")
    if until is not None:
        return Timer(scope, None, to_microseconds(until))
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    return Timer(scope, to_delay_us(seconds + 60 * minutes + 3600 * hours + 86400 * days), None)


@overload
def wait_for_event(name: str, type: type[T], /) -> Wait[T]: ...
@overload
def wait_for_event(name: str, /) -> Wait[Any]: ...
def wait_for_event(name: str, type: Any = Any, /) -> Wait[Any]:
    """Wait for an event of that name, emitted before or after; returns its payload as `type`."""
    scope = _scope("wait_for_event")
    check_name(name, "event")
    return EventWait(scope, name, Codec(type, owner=f"the event {name}"))


@overload
def first(a: Pending[A], /) -> Wait[A]: ...
@overload
def first(a: Pending[A], b: Pending[B], /) -> Wait[A | B]: ...
@overload
def first(a: Pending[A], b: Pending[B], c: Pending[C], /) -> Wait[A | B | C]: ...
@overload
def first(a: Pending[A], b: Pending[B], c: Pending[C], d: Pending[D], /) -> Wait[A | B | C | D]: ...
@overload
def first(*waits: Pending[Any]) -> Wait[Any]: ...
def first(*waits: Any) -> Wait[Any]:
    """Wait for whichever of these is over first, and return its value. A sleep's value is None.

    What happened earliest wins, also when a worker sees all of it only later. The others are let
    go: an event that loses stays in the mailbox.
    """
    scope = _scope("first")
    if not waits:
        raise Refused("first() needs at least one wait.")
    for wait in waits:
        if not isinstance(wait, Wait):
            raise Refused(
                f"first() takes waits (sleep, wait_for_event, a run's result), not {wait!r}. "
                "For steps use gather."
            )
        wait.begun = True
    return First(scope, waits)


def _scope(what: str) -> FlowScope:
    scope = flow_scope()
    if scope is None:
        raise NotInFlow(f"{what}()")
    return scope


def to_delay_us(length: float | timedelta) -> int:
    """Seconds to microseconds; InvalidTime unless between now and ten years from now."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if not 0 <= seconds <= limits.DELAY_US / 1_000_000:
        raise InvalidTime(f"A delay of {seconds!r} s can't be. Use 0 or more, at most ten years.")
    return round(seconds * 1_000_000)


def to_microseconds(moment: datetime) -> int:
    """A moment with a time zone as microseconds since 1970 UTC."""
    if moment.tzinfo is None:
        raise InvalidTime(
            f"{moment!r} has no time zone, so it isn't a moment. Write datetime(..., "
            "tzinfo=ZoneInfo('Europe/Berlin'))."
        )
    try:
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:
        raise InvalidTime(out_of_range(moment)) from None
    at = since // timedelta(microseconds=1)
    if not 0 <= at < min(FOREVER, 253_370_764_800_000_000):
        raise InvalidTime(out_of_range(moment))
    return at


def out_of_range(moment: datetime) -> str:
    return f"{moment.isoformat()} can't be waited for. Use a moment from 1970 to 9998."
