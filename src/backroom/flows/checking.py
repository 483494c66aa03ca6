"""Checking: would a run that is under way still fit this code?

The run is replayed from its checkpoints by the performer that would perform it, at a desk that
writes nothing:

    what is kept            answers, as it would in production
    a step that isn't       is not called: that branch stops there
    waits, starts, events   are passed over where nothing depends on it, else the branch stops there

When every branch has stopped the replay is over. What it has come by fits. Three things don't:

    mismatch    what is kept has another kind, other arguments or another type than the code asks
                for
    unreached   it has stopped before it came by all that is kept: a step has got another name, and
                would be done again; or one was put in before, which is fine
    fails       the flow's own code raises what it didn't raise before

The flow's own code, between its steps, does run, as at every replay. Of a run whose alternative has
begun that is the alternative's; the flow itself isn't called any more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, NoReturn, TypeVar

from backroom.engine.handler import Performance
from backroom.engine.lane import Lane
from backroom.engine.office import Office
from backroom.engine.world import World
from backroom.flows.context import Blocked, RunContext
from backroom.flows.failures import as_json, read
from backroom.flows.performer import FlowPerformance, Performer
from backroom.flows.rewinding import REFUSED
from backroom.flows.undo import ALTERNATIVE, MARK
from backroom.records.errors import UnknownFlow
from backroom.records.outcome import Failed, NeedsAttention, Outcome
from backroom.records.runs import Claimed, RunRow, Started, served_as
from backroom.records.states import FINAL, State
from backroom.store.limit import Limit
from backroom.store.protocol import Reader, Store
from backroom.store.verbs import Lock, Locked, SaveStep, SaveWaits, Start, Verb

__all__ = ["Finding", "check_run", "runs_under_way", "still_office"]

T = TypeVar("T")

PAGE = 200
# Kept on the way; nothing is done by it.
PASSED_OVER = {"event", "child", "first", "undo", "lock", REFUSED}
ENDED = {"failed", "cancelled"}  # how a flow, or its alternative, has ended
EXPECTED = {"StepFailed", "RunFailed", "RunCancelled", "Rollback"}  # ends that a flow may come to


@dataclass(frozen=True, slots=True)
class Finding:
    """What doesn't fit, at which address. kind: mismatch, unreached, fails or unfinished."""

    kind: str
    address: str
    what: str


def runs_under_way(reader: Reader, flow: str | None, limit: int | None) -> Iterator[RunRow]:
    """Newest first."""
    states = [state for state in State if state not in FINAL]
    before = None
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = reader.runs(flow=flow, states=states, before=before, limit=size)
        yield from page
        if len(page) < size:
            return
        before = page[-1].id
        left = None if left is None else left - len(page)


def check_run(
    performer: Performer, office: Office, reader: Reader, row: RunRow, *, seconds: float
) -> Finding | None:
    """What of a run doesn't fit, if anything. `seconds`: for the flow's own code."""
    served = served_as(row.flow, row.version)
    if performer.spec(served) is None:
        return Finding("mismatch", "the flow", str(UnknownFlow(served, performer.flows())))
    claimed = as_claimed(reader, row)
    if goes_backwards(claimed):
        return None  # its code isn't called any more
    replay = Replay(performer, office, claimed)
    thread = threading.Thread(target=replay.run, name="backroom-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return Finding(
            "unfinished", "", f"The flow's own code took longer than {seconds:g} s; see --seconds."
        )
    return replay.finding()


def goes_backwards(claimed: Claimed) -> bool:
    """Whether it is only undone from now on. An alternative that has begun, and hasn't ended, goes
    forward."""
    marks = {step.address: step.name for step in claimed.steps if step.kind == "rollback"}
    return claimed.cancel_reason is not None or marks.get(ALTERNATIVE, marks.get(MARK)) in ENDED


def as_claimed(reader: Reader, row: RunRow) -> Claimed:
    """A run as its next attempt would get it. Without a deadline: the check isn't the attempt."""
    waits = reader.waits(row.id)
    children = [wait.name for wait in waits if wait.kind == "child"]
    return Claimed(
        id=row.id,
        flow=served_as(row.flow, row.version),
        input=row.input,
        queue=row.queue,
        attempt=row.attempt + 1,
        starts=1,
        failures=0,
        now=reader.now(),
        parent_id=row.parent_id,
        key=row.key,
        created_at=row.created_at,
        cancel_reason=row.cancel_reason,
        priority=row.priority,
        steps=tuple(reader.steps(row.id)),
        waits=tuple(waits),
        mail=tuple(reader.mail([row.id])),
        ended=tuple(reader.ended(children)) if children else (),
    )


class Replay:
    """One run, replayed as far as it is kept."""

    def __init__(self, performer: Performer, office: Office, claimed: Claimed) -> None:
        self._performer = performer
        self._claimed = claimed
        self._desk = StillDesk(office)
        self._outcome: Outcome | None = None

    def run(self) -> None:
        asyncio.run(self._perform())

    async def _perform(self) -> None:
        if self._claimed.attempt == 1:
            self._outcome = self._read_input()  # it has come nowhere yet: nothing to replay
            return
        performance = self._performer.open(self._claimed, self._desk)
        self._desk.context = context_of(performance)
        self._outcome = await performance.perform()

    def _read_input(self) -> Outcome | None:
        try:
            spec = self._performer.spec(self._claimed.flow)
            assert spec is not None
            spec.signature.decode(self._claimed.input)
        except Exception as error:  # an author's validator may raise anything
            return NeedsAttention(as_json(error))
        return None

    def finding(self) -> Finding | None:
        outcome = self._outcome
        if isinstance(outcome, NeedsAttention):
            error = read(outcome.error)
            what = error.get("what") or f"{error['kind']}: {error['message']}"
            return Finding("mismatch", error.get("address", "the input"), what)
        failed = outcome.error if isinstance(outcome, Failed) else self._desk.failed
        if failed is not None and read(failed)["kind"] not in EXPECTED:
            error = read(failed)
            return Finding("fails", "", f"{error['kind']}: {error['message']}")
        left = self._unreached()
        if not left:
            return None
        stops = ", ".join(self._desk.stops) or "its end"
        return Finding(
            "unreached",
            left[0],
            f"it is kept ({self._kind(left[0])}), and the code comes to {stops} without it"
            + (f"; so are {len(left) - 1} more" if len(left) > 1 else ""),
        )

    def _unreached(self) -> list[str]:
        """What is kept and hasn't been asked for. Of walks in chunks only undos still ask for what
        lies behind their cursors."""
        undone = {s.address.removeprefix("undo ") for s in self._claimed.steps if s.kind == "undo"}
        alternative = any(step.address == ALTERNATIVE for step in self._claimed.steps)
        return [
            step.address
            for step in self._claimed.steps
            if (step.address.startswith(f"{ALTERNATIVE}/") or not alternative)
            and step.kind not in ("undo", "rollback", REFUSED)
            and not step.address.startswith("undo ")
            and step.address not in self._desk.came_by
            and not (step.address in undone and "chunks#" in step.address)
        ]

    def _kind(self, address: str) -> str:
        return next(step.kind for step in self._claimed.steps if step.address == address)


def context_of(performance: Performance) -> RunContext:
    assert isinstance(performance, FlowPerformance)
    return performance.context


class StillDesk:
    """A desk at which nothing is written. What would have to be stops its branch."""

    def __init__(self, office: Office) -> None:
        self.came_by: set[str] = set()
        self.world: World = StillWorld(self)
        self._office = office
        self.context: RunContext | None = None
        self.stops: list[str] = []  # where branches have stopped
        self.failed: str | None = None  # the flow has failed, and would be undone

    def submit(self, verb: Verb) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if self._is_passed_over(verb):
            answer: asyncio.Future[Any] = loop.create_future()
            answer.set_result(_answer(verb))
            return answer
        self._note(verb)
        return loop.create_task(self.stop())

    def call(self, verb: Verb) -> Any:
        if self._is_passed_over(verb):
            return _answer(verb)
        self._note(verb)
        self.stop_in_thread()

    def post(self, verb: Verb) -> None:
        """Not now."""

    def transact(self, body: Callable[[Any], SaveStep], limit: Limit | None = None) -> None:
        self.stop_in_thread()

    def mark(self, connection: Any, cause: str) -> None:
        """Nothing is written here."""

    def read(self, look: Callable[[Reader], T]) -> Future[T]:
        return self._office.read(look)

    def watch(self) -> None:
        """There will be no news."""

    async def stop(self) -> NoReturn:
        blocked = self._enter()
        await blocked.sleep()
        self._context().unwind()

    def stop_in_thread(self) -> NoReturn:
        blocked = self._enter()
        blocked.sleep_in_thread(self.world)
        self._context().unwind()

    def _context(self) -> RunContext:
        assert self.context is not None
        return self.context

    def _enter(self) -> Blocked:
        """A leaf less: when the last one has stopped, the context parks the run and all unwind."""
        blocked = Blocked((), lambda: False)
        self._context().enter(blocked)
        return blocked

    def _is_passed_over(self, verb: Verb) -> bool:
        if isinstance(verb, SaveWaits | Lock):
            return True
        return isinstance(verb, SaveStep) and verb.step.kind in PASSED_OVER and not verb.starts

    def _note(self, verb: Verb) -> None:
        if isinstance(verb, SaveStep):
            self.stops.append(verb.step.address)
            if verb.step.kind == "rollback" and verb.step.name == "failed":
                self.failed = verb.step.error


def _answer(verb: Verb) -> object:
    """As if it had been done."""
    match verb:
        case SaveWaits(waits=waits):
            return waits
        case Lock():
            return Locked(held=True)
        case _:
            return None


class StillWorld(World):
    """In which no body of a step is called."""

    def __init__(self, desk: StillDesk) -> None:
        super().__init__()
        self._desk = desk

    def asked(self, run_id: str, attempt: int, address: str) -> None:
        self._desk.came_by.add(address)

    def body(self, run_id: str, address: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(function):

            async def awaited(*_: Any, **__: Any) -> None:
                self._desk.stops.append(address)
                await self._desk.stop()

            return awaited

        def called(*_: Any, **__: Any) -> None:
            self._desk.stops.append(address)
            self._desk.stop_in_thread()

        return called


# --- what a flow does beside its steps: starts, events, looks at other runs -----------------------


def still_office(store: Store) -> Office:
    """A line to the database on which nothing is written: what is asked of it is answered as if
    it had been done."""
    return Office(StillStore(store), AnsweringWorld(), doorbells=False)


class AnsweringWorld(World):
    """In which lanes have no threads: each call is answered where it is made."""

    simulated = True

    def knock(self, lane: Lane) -> None:
        lane.step()


class StillStore:
    """Reads are those of the real one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def session(self) -> StillSession:
        return StillSession()

    def ring(self) -> None:
        """Nobody has anything to do."""


class StillSession:
    """Answers as if it had been done, and does nothing."""

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        return [Started(v.run.id, True) if isinstance(v, Start) else None for v in verbs]

    def close(self) -> None:
        """Nothing is open."""
