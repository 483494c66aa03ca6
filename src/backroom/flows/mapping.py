"""`flow.map`: one child run for each item, a window of them open at a time.

    kept: cursor {at 500, open 500}      children 0 … 499 have ended, 500 … 999 are open
    ── the last of the window ends ──▶   the parent wakes, once
    counts the ends, starts the next 500 and moves the cursor on, all in one commit

The parent keeps one checkpoint, however many items there are, and holds one window of them in
memory. Results stay with the children, and are read page by page by whoever wants them. A window
that is over is over for good: a replay passes over its items and asks for nothing.

Children of a window have ids side by side (`rules/windows.py`), made from the item's index: that is
how the database sees at one look that a window is over, and how results are found again. Where an
item's key is held by a run that somebody else has started, that run stands in; such strangers are
kept by their ids, beside the cursor.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from backroom.engine.world import mapped_id
from backroom.flows.chunks import Items, Read
from backroom.flows.codec import Codec
from backroom.flows.context import Blocked, RunContext
from backroom.flows.effects import Ask, Block, Protocol_, Save, drive, drive_in_thread
from backroom.flows.failures import ended_badly
from backroom.flows.pending import Pending
from backroom.flows.replay import kept_row
from backroom.flows.scope import FlowScope, flow_scope
from backroom.records import limits
from backroom.records.errors import NotInFlow, Refused, RunCancelled, RunFailed
from backroom.records.runs import NewRun, RunRow, StepRow, WaitRow
from backroom.records.states import FINAL, State
from backroom.rules.windows import window as window_of
from backroom.store.protocol import Reader
from backroom.store.verbs import Progress

if TYPE_CHECKING:
    from backroom.flows.flow import FlowSpec, Options

__all__ = ["Mapped", "Mapping", "Outcomes", "mapping"]

R = TypeVar("R")
Item = TypeVar("Item", contravariant=True)
Returned = TypeVar("Returned", covariant=True)

PAGE = 100  # results read at a time


class OfOne(Protocol[Item, Returned]):
    """A flow that can be called with one argument: what `map` is for."""

    def __call__(self, item: Item, /) -> Returned: ...


@dataclass(frozen=True)
class ChildOutcome(Generic[R]):
    """How one item's run ended.

    index   the item's place, from 0
    key     its run's key, if it has one
    """

    index: int
    run_id: str
    key: str | None
    state: State
    _text: str | None
    _codec: Codec
    error: RunFailed | RunCancelled | None

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def result(self) -> R:
        """What the run returned; raises `error` if it didn't."""
        if self.error is not None:
            raise self.error
        value: R = self._codec.decode(self._text or "null")
        return value


class Mapping(Pending["Mapped[R]"]):
    """A fan-out, not yet begun: await it, or `.wait()` for it in a `def` flow."""

    def __init__(
        self,
        scope: FlowScope,
        spec: FlowSpec,
        make: Callable[[Any, str], NewRun],
        items: Any,
        *,
        window: int,
        report: bool,
    ) -> None:
        self._context = scope.context
        self._spec = spec
        self._make = make  # a run from an item and an id
        self._items: Items[Any] = Items(items, window)
        self._window = window
        self._report = report
        self.address = scope.address_since(
            f"map {spec.name}", [f"map {alias}" for alias in spec.aliases]
        )
        self._stands = Stands()
        self._began = self._context.clock()

    def __await__(self) -> Generator[Any, Any, Mapped[R]]:
        return drive(self._context, self._perform()).__await__()

    def wait(self, timeout: float | None = None) -> Mapped[R]:
        if timeout is not None:
            raise Refused("map has no time-out of its own; give the flow that is mapped one.")
        self._context.must_not_block_loop(f"{self._spec.name}.map().wait()")
        return drive_in_thread(self._context, self._perform())

    def _perform(self) -> Protocol_[Mapped[R]]:
        stands = self._stands
        kept = kept_row(self._context, self.address, "map")
        if kept is not None:
            stands.__dict__.update(json.loads(kept.result or "{}"))
            self._began = kept.started_at
        runs: list[NewRun] = []
        if not stands.over:
            runs = yield from self._next_window(resumed=kept is not None)
        while not stands.over:
            yield from self._until_over(runs, look_first=kept is not None)
            kept = None
            runs = yield from self._next_window(resumed=False)
        return Mapped(self._context, self.address, stands, self._spec.signature.output)

    def _next_window(self, *, resumed: bool) -> Protocol_[list[NewRun]]:
        """The runs of the window in flight, or those of the next one, started. None: the end."""
        stands = self._stands
        if resumed:
            self._items.resume({"at": stands.at})
            self._items.size = stands.open
        batch: list[Any] = yield Read(self._items, self.address)
        self._items.size = self._window
        first = stands.at if resumed else stands.at + stands.open
        if first + len(batch) > limits.MAP_ITEMS:
            raise Refused(
                f"{self._spec.name}.map has more than {limits.MAP_ITEMS:,} items, the limit of one "
                "fan-out. Split them between several calls."
            )
        runs = [self._make(item, self._id(first + n)) for n, item in enumerate(batch)]
        if resumed:
            return runs
        stands.number += 1 if stands.open else 0
        stands.at, stands.open, stands.over = first, len(runs), not runs
        self._tell()
        yield Save(self._context.saving(self._row("", stands.__dict__), starts=tuple(runs)))
        return runs

    def _id(self, index: int) -> str:
        return mapped_id(self._context.run.id, self._context.stamped(self.address), index)

    def _until_over(self, runs: Sequence[NewRun], *, look_first: bool) -> Protocol_[None]:
        """Wait until no run of the window is live, and count how they have ended."""
        context = self._context
        first, last = runs[0].id, runs[-1].id
        place = f"{self.address}.{self._stands.number}"
        name = window_of(first, last)
        own = WaitRow(place, "children", name)
        if not look_first:
            yield block(context, own, lambda: name in context.over)
        while True:
            standing: list[tuple[str, State]] = yield Ask(
                partial(standing_between, first, last, context.run.id)
            )
            if any(state not in FINAL for _, state in standing):
                context.over.discard(name)
                yield block(context, own, lambda: name in context.over)
                continue
            there = {run_id for run_id, _ in standing}
            missing = [run for run in runs if run.id not in there]
            strangers = yield from self._strangers(missing, place)
            if strangers is not None:
                break
        self._stands.count([state for _, state in standing])
        self._stands.count([row.state for row in strangers.values()])

    def _strangers(
        self, missing: Sequence[NewRun], place: str
    ) -> Protocol_[dict[int, RunRow] | None]:
        """The runs of others that hold these keys, once they have ended. None: look again."""
        if not missing:
            return {}
        context = self._context
        lost = [run for run in missing if run.key is None]
        if lost:
            raise Refused(
                f"{len(lost)} runs that {self._spec.name}.map has started are gone, {lost[0].id} "
                "for one. Keep runs for as long as those that wait for them."
            )
        found: list[tuple[NewRun, str | None]] = yield Ask(partial(holders, missing))
        free = tuple(run for run, holder in found if holder is None)
        if free:  # whoever held the key has been removed since
            yield Save(context.saving(self._row("", self._stands.__dict__), starts=free))
            return None
        by_index = {int(run.id[-6:], 16): holder for run, holder in found if holder is not None}
        yield Save(context.saving(self._row(place, {str(n): i for n, i in by_index.items()})))
        ended: list[RunRow] = yield Ask(partial(ends_of, list(by_index.values())))
        rows = {row.id: row for row in ended}
        for index, run_id in by_index.items():
            if run_id not in rows:
                wait = WaitRow(f"{place}:{index}", "child", run_id)
                yield block(context, wait, partial(context.ended.__contains__, run_id))
                return None
        return {index: rows[run_id] for index, run_id in by_index.items()}

    def _row(self, place: str, value: dict[str, Any]) -> StepRow:
        return StepRow(
            place or self.address, self._spec.name, "map", "done", json.dumps(value),
            started_at=self._began, finished_at=self._context.clock(),
        )  # fmt: skip

    def _tell(self) -> None:
        total = self._items.total()
        if self._report and total:
            run = self._context.run
            fraction = min(self._stands.at / total, 1.0)
            self._context.desk.post(Progress(run.id, run.attempt, fraction))


class Stands:
    """Where a fan-out stands: what its one checkpoint keeps."""

    def __init__(self) -> None:
        self.number = 0  # of the window in flight
        self.at = 0  # index of its first item
        self.open = 0  # how many items it has
        self.over = False
        self.succeeded = 0
        self.failed = 0
        self.cancelled = 0

    def count(self, states: Sequence[State]) -> None:
        self.succeeded += states.count(State.SUCCEEDED)
        self.failed += states.count(State.FAILED)
        self.cancelled += states.count(State.CANCELLED)


def block(context: RunContext, row: WaitRow, ready: Callable[[], bool]) -> Block:
    kept = context.waits.get(row.address, row)
    return Block(partial(Blocked, (kept,), ready))


def standing_between(first: str, last: str, parent: str, reader: Reader) -> list[tuple[str, State]]:
    return reader.standing(first, last, parent)


def holders(runs: Sequence[NewRun], reader: Reader) -> list[tuple[NewRun, str | None]]:
    return [(run, reader.find(run.flow, run.key or "")) for run in runs]


def ends_of(run_ids: Sequence[str], reader: Reader) -> list[RunRow]:
    return reader.ended(run_ids)


class Mapped(Generic[R]):
    """A fan-out whose runs have all ended.

    total, succeeded, failed, cancelled   how many
    outcomes()    how each of them ended, in the order of the items, read page by page
    failures()    those that didn't succeed
    results()     what they returned, in order; raises the error of the first that didn't
    """

    def __init__(self, context: RunContext, address: str, stands: Stands, codec: Codec) -> None:
        self.total = stands.at
        self.succeeded = stands.succeeded
        self.failed = stands.failed
        self.cancelled = stands.cancelled
        self._context = context
        self._address = address
        self._codec = codec

    def outcomes(self) -> Outcomes[ChildOutcome[R]]:
        return Outcomes(self._context, self._all, self.total, lambda outcome: outcome)

    def failures(self) -> Outcomes[ChildOutcome[R]]:
        bad = self.failed + self.cancelled
        return Outcomes(self._context, self._bad, self.total if bad else 0, lambda outcome: outcome)

    def results(self) -> Outcomes[R]:
        return Outcomes(self._context, self._all, self.total, lambda outcome: outcome.result)

    def __repr__(self) -> str:
        return f"<{self.total} mapped: {self.succeeded} succeeded, {self.failed} failed>"

    def _all(self, first: int, reader: Reader) -> list[ChildOutcome[R]]:
        last = min(first + PAGE, self.total) - 1
        rows = reader.runs_between(self._id(first), self._id(last), PAGE)
        strangers = self._strangers(first, last)
        rows += reader.ended(list(strangers)) if strangers else []
        return self._made(rows, strangers)

    def _bad(self, first: int, reader: Reader) -> list[ChildOutcome[R]]:
        last = min(first + PAGE, self.total) - 1
        standing = reader.standing(self._id(first), self._id(last), self._context.run.id)
        strangers = self._strangers(first, last)
        ids = [run_id for run_id, state in standing if state is not State.SUCCEEDED]
        rows = reader.ended(ids + list(strangers)) if ids or strangers else []
        return self._made([row for row in rows if row.state is not State.SUCCEEDED], strangers)

    def _id(self, index: int) -> str:
        return mapped_id(self._context.run.id, self._context.stamped(self._address), index)

    def _strangers(self, first: int, last: int) -> dict[str, list[int]]:
        """Indexes by the run of somebody else that stands in for them."""
        found: dict[str, list[int]] = {}
        for address, row in list(self._context.kept.items()):
            if address.startswith(f"{self._address}.") and row.kind == "map":
                for index, run_id in json.loads(row.result or "{}").items():
                    if first <= int(index) <= last:
                        found.setdefault(run_id, []).append(int(index))
        return found

    def _made(
        self, rows: Sequence[RunRow], strangers: dict[str, list[int]]
    ) -> list[ChildOutcome[R]]:
        made = [
            ChildOutcome[R](
                index, row.id, row.key, row.state, row.result, self._codec,
                None if row.state is State.SUCCEEDED else ended_badly(row),
            )
            for row in rows
            for index in strangers.get(row.id) or [int(row.id[-6:], 16)]
        ]  # fmt: skip
        return sorted(made, key=lambda outcome: outcome.index)


T = TypeVar("T")


class Outcomes(Generic[T]):
    """To be iterated over with `async for` in an `async def` flow, with `for` in a `def` flow."""

    def __init__(
        self,
        context: RunContext,
        look: Callable[[int, Reader], list[ChildOutcome[Any]]],
        total: int,
        convert: Callable[[ChildOutcome[Any]], T],
    ) -> None:
        self._context = context
        self._look = look
        self._total = total
        self._convert = convert

    def __iter__(self) -> Iterator[T]:
        if asyncio._get_running_loop() is not None:
            raise Refused("Write `async for` over the outcomes of a map in an `async def` flow.")
        for first in range(0, self._total, PAGE):
            ask = Ask(partial(self._look, first))
            yield from map(self._convert, ask.run_in_thread(self._context))

    async def __aiter__(self) -> AsyncIterator[T]:
        for first in range(0, self._total, PAGE):
            ask = Ask(partial(self._look, first))
            for outcome in await ask.run(self._context):
                yield self._convert(outcome)


def mapping(
    spec: FlowSpec,
    options: Options,
    make: Callable[..., NewRun],
    items: Any,
    *,
    window: int,
    report: bool,
) -> Mapping[Any]:
    """What `flow.map` returns. `make`: a run from arguments, as `Starter.new_run` makes it."""
    scope = flow_scope()
    if scope is None:
        raise NotInFlow(f"{spec.name}.map()")
    if not 1 <= window <= limits.WINDOW:
        raise Refused(f"window={window} can't be. Use 1 to {limits.WINDOW:,} runs at once.")
    if options.key is not None or options.on is not None or options.detached:
        raise Refused(
            "Runs of a map can't share a key, join a transaction or be detached. Declare the key "
            'with the flow, @app.flow(key="order.id"), and leave key=, on= and detached= out.'
        )

    def make_one(item: Any, run_id: str) -> NewRun:
        return make(spec, options, (item,), {}, run_id=run_id, parent=scope.context)

    return Mapping(scope, spec, make_one, items, window=window, report=report)
