"""Flows: the author's decorated functions, and the ways to start them.

    fulfil.start(order)                       from anywhere: store a run, get its handle
    fulfil.using(key=..., delay=...).start(order)   the same with options
    await fulfil(order)                       in another flow: a child run, awaited
    await fulfil(order)                       elsewhere, a test say: the plain function
    app.start_many(fulfil.prepare(o) for o in orders)   many runs in one statement

Options stand in `using(...)` rather than among the arguments, so that `start` has exactly the
parameters of the function and a type checker can compare them.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import json
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from backroom.engine.world import derived_id
from backroom.flows.context import RunContext
from backroom.flows.effects import Protocol_, Save, drive, drive_in_thread
from backroom.flows.mapping import Mapping, OfOne, mapping
from backroom.flows.replay import kept_row, perform_wait
from backroom.flows.scope import FlowScope, StepScope, current, flow_scope
from backroom.flows.signature import Signature
from backroom.flows.steps import check_key, check_name, check_priority, check_timeout
from backroom.flows.waits import ChildWait, to_delay_us, to_microseconds
from backroom.records import limits
from backroom.records.errors import InvalidInput, InvalidTime, Refused
from backroom.records.queues import QueueRules
from backroom.records.runs import NewRun, Started, StepRow
from backroom.rules.retry import NO_RETRY, Retry
from backroom.store.verbs import Start

if TYPE_CHECKING:
    from backroom.flows.handles import Run
    from backroom.flows.starting import Starter

__all__ = [
    "AsyncFlow",
    "Flow",
    "FlowSpec",
    "Options",
    "Prepared",
    "check_alternative",
    "check_expires",
]

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")


@dataclass(frozen=True)
class FlowSpec:
    """All that is declared about a flow."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    is_async: bool
    queue: str = "default"
    priority: int = 5
    key: str | None = None
    retry: Retry = NO_RETRY
    timeout: float | None = None
    aliases: tuple[str, ...] = ()
    partition: str | None = None
    expires: float | timedelta | None = None
    subject: str | None = None
    version: int = 1
    otherwise: Callable[..., Any] | None = None
    own_queue: bool = False  # its queue is its own, for its limit; no other run may stand in it
    app: object = field(default=None, repr=False, compare=False)  # the application it belongs to


@dataclass(frozen=True)
class Options:
    """How one run is started. None: as the flow declares."""

    key: str | None = None
    delay: float | timedelta | None = None
    at: datetime | None = None
    queue: str | None = None
    priority: int | None = None
    timeout: float | None = None
    detached: bool = False
    on: Any = None
    partition: str | None = None
    expires: float | timedelta | datetime | None = None
    subject: str | None = None
    after: tuple[Any, ...] = ()  # handles of runs, or their ids
    after_any_end: bool = False

    def __post_init__(self) -> None:
        if self.delay is not None and self.at is not None:
            raise Refused("A run starts after a delay or at a time: give delay= or at=, not both.")
        if self.priority is not None:
            check_priority(self.priority)
        if self.key is not None:
            check_key(self.key)
        if self.queue is not None:
            check_name(self.queue, "queue")
        if self.partition is not None:
            check_key(self.partition)
        if self.subject is not None:
            check_key(self.subject, "subject")
        if len(self.after) > limits.AFTER:
            raise Refused(
                f"after= names {len(self.after):,} runs; the limit is {limits.AFTER:,}. Start them "
                "from one flow with map(), and let that one be awaited."
            )
        check_expires(self.expires)
        check_timeout(self.timeout)


@dataclass(frozen=True)
class Prepared(Generic[R]):
    """A run that is ready to be stored: `app.start_many` takes many of these."""

    spec: FlowSpec
    new: NewRun


class _Declared(Generic[P, R]):
    """What both colours of flow share."""

    def __init__(self, spec: FlowSpec, starter: Starter, options: Options | None = None) -> None:
        self.spec = spec
        self._starter = starter
        self._options = options or Options()
        functools.update_wrapper(cast("Callable[..., Any]", self), spec.function)

    @property
    def name(self) -> str:
        return self.spec.name

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
        """Store a run of this flow and return its handle.

        In a thread without a running event loop the run is committed when this returns. In one with
        a loop it is under way, and `await` gives the handle back once it is committed; a forgotten
        await loses nothing. With `using(on=connection)` it becomes part of the caller's own
        transaction and exists if and only if that commits; on an asynchronous connection that
        happens when it is awaited, and not without.

        Inside a flow the start is kept: a replay finds the same run. The run is attached to the
        flow (cancelled with it) unless `using(detached=True)`.
        """
        return self._starter.start(self.spec, self._options, args, kwargs)

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Prepared[R]:
        """The same run, not stored yet: for `app.start_many`."""
        return Prepared(self.spec, self._starter.new_run(self.spec, self._options, args, kwargs))

    def _map(self, items: Any, window: int, report: bool) -> Mapping[R]:
        return mapping(
            self.spec, self._options, self._starter.new_run, items, window=window, report=report
        )

    def find(self, key: str) -> Run[R]:
        """The handle of the run that holds this key."""
        return self._starter.find(self.spec, key)

    def _child(
        self, scope: FlowScope, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Protocol_[R]:
        """Start a child run and wait for its result. Begins when driven; addresses are taken
        now."""
        context = scope.context
        address = start_address(scope, self.spec, self._options)
        new = self._starter.new_run(
            self.spec, self._options, args, kwargs,
            run_id=derived_id(context.run.id, context.stamped(address)), parent=context,
        )  # fmt: skip
        wait = ChildWait[R](
            scope, new.id, self.spec.name, self.spec.signature.output, former=self.spec.aliases
        )
        wait.begun = True  # by `_start_and_wait`
        return _start_and_wait(scope.context, address, new, wait)

    def __repr__(self) -> str:
        return f"<flow {self.spec.name}>"


class AsyncFlow(_Declared[P, R]):
    """An `async def` flow."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        scope = flow_scope()
        if scope is None:
            return cast("Coroutine[Any, Any, R]", self.spec.function(*args, **kwargs))
        return drive(scope.context, self._child(scope, args, kwargs))

    def map(
        self: OfOne[A, Coroutine[Any, Any, R]],
        items: Iterable[A] | AsyncIterable[A],
        *,
        window: int = 500,
        report: bool = True,
    ) -> Mapping[R]:
        """Inside a flow: a child run for each item, `window` of them open at a time.

        Awaited it returns a `Mapped` once all have ended, well or badly: one that fails stops
        nobody. `items` are the flow's one argument, the same ones at every replay; a sequence is
        entered anywhere at once. `report`: tell the run's progress by it.
        """
        flow = cast("_Declared[Any, R]", self)
        return flow._map(items, window, report)

    def using(
        self,
        *,
        key: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        timeout: float | None = None,
        expires: float | timedelta | datetime | None = None,
        partition: str | None = None,
        subject: str | None = None,
        after: Run[Any] | str | Sequence[Run[Any] | str] = (),
        after_any_end: bool = False,
        detached: bool = False,
        on: Any = None,
    ) -> AsyncFlow[P, R]:
        """The same flow with options for its next starts.

        key       same flow and key, same run, for as long as that run is kept (at least 7 days)
        delay, at seconds (or timedelta) from now, or a moment with a time zone
        queue, priority, timeout   in place of what the flow declares
        expires   a run that hasn't begun so many seconds after its time, or by a moment, is
                  cancelled
        partition the part of a parted queue that the run belongs to
        subject   whom or what the run is about, for `app.erase(subject=...)`
        after     runs (handles or ids) that have to succeed before it begins; it is cancelled when
                  one doesn't, unless `after_any_end` says that it begins however they end
        detached  inside a flow: not cancelled together with the run that starts it
        on        a connection or session with an open transaction, which the start joins
        """
        return AsyncFlow(
            self.spec, self._starter,
            _changed(
                self._options, key, delay, at, queue, priority, timeout, detached, on, partition,
                expires, subject, after, after_any_end,
            ),
        )  # fmt: skip


class Flow(_Declared[P, R]):
    """A `def` flow; it is performed in a thread of its own."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        scope = flow_scope()
        if scope is None:
            return cast("R", self.spec.function(*args, **kwargs))
        scope.context.must_not_block_loop(self.spec.name)
        with scope.in_thread():
            return drive_in_thread(scope.context, self._child(scope, args, kwargs))

    def map(
        self: OfOne[A, R],
        items: Iterable[A] | AsyncIterable[A],
        *,
        window: int = 500,
        report: bool = True,
    ) -> Mapping[R]:
        """The same in a `def` flow, as `.map(...).wait()`; see `AsyncFlow.map`."""
        flow = cast("_Declared[Any, R]", self)
        return flow._map(items, window, report)

    def using(
        self,
        *,
        key: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        timeout: float | None = None,
        expires: float | timedelta | datetime | None = None,
        partition: str | None = None,
        subject: str | None = None,
        after: Run[Any] | str | Sequence[Run[Any] | str] = (),
        after_any_end: bool = False,
        detached: bool = False,
        on: Any = None,
    ) -> Flow[P, R]:
        """The same flow with options for its next starts; see `AsyncFlow.using`."""
        return Flow(
            self.spec, self._starter,
            _changed(
                self._options, key, delay, at, queue, priority, timeout, detached, on, partition,
                expires, subject, after, after_any_end,
            ),
        )  # fmt: skip


def _changed(
    options: Options,
    key: str | None,
    delay: float | timedelta | None,
    at: datetime | None,
    queue: str | None,
    priority: int | None,
    timeout: float | None,
    detached: bool,
    on: Any,
    partition: str | None,
    expires: float | timedelta | datetime | None,
    subject: str | None,
    after: Run[Any] | str | Sequence[Run[Any] | str],
    after_any_end: bool,
) -> Options:
    leaders = (after,) if isinstance(after, str) or not isinstance(after, Sequence) else after
    given = {
        "key": None if key is None else str(key), "delay": delay, "at": at, "queue": queue,
        "priority": priority, "timeout": timeout, "detached": detached or None, "on": on,
        "partition": None if partition is None else str(partition), "expires": expires,
        "subject": None if subject is None else str(subject),
        "after": tuple(leaders) or None, "after_any_end": after_any_end or None,
    }  # fmt: skip
    return replace(options, **{name: value for name, value in given.items() if value is not None})


def _start_and_wait(
    context: RunContext, address: str, new: NewRun, wait: ChildWait[R]
) -> Protocol_[R]:
    row = kept_row(context, address, "start")
    if row is not None:
        wait.run_id = json.loads(row.result or "null")
    elif new.key is None:
        yield Save(context.saving(start_row(context, address, new, new.id), starts=(new,)))
    else:
        # Somebody else's run may hold the key; which one must be known before it can be kept.
        started: Started = yield Save(Start(new))
        wait.run_id = started.run_id
        yield Save(context.saving(start_row(context, address, new, started.run_id)))
    result: R = yield from perform_wait(context, wait)
    return result


def start_address(scope: FlowScope, spec: FlowSpec, options: Options) -> str:
    """Where a start in a flow is kept. A child flow that was renamed isn't started again."""
    former = [f"start {alias}" for alias in spec.aliases]
    return scope.address_since(f"start {spec.name}", former, options.key)


def start_row(context: RunContext, address: str, new: NewRun, run_id: str) -> StepRow:
    """The checkpoint that says which run was started at an address."""
    now = context.clock()
    return StepRow(
        address, new.flow, "start", "done", f'"{run_id}"', started_at=now, finished_at=now
    )


def new_run(
    spec: FlowSpec,
    options: Options,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    run_id: str,
    parent: RunContext | None = None,
    queues: collections.abc.Mapping[str, QueueRules] | None = None,
) -> NewRun:
    """A run as it will be stored; every refusal of bad input happens here, before the database."""
    signature = spec.signature
    bound = signature.bind(args, kwargs)
    if bound:
        bound = signature.input.validate(bound)
        text = signature.input.encode(bound)
    else:
        text = "{}"
    key = options.key
    if key is None and spec.key is not None:
        key = _key_from(spec, bound)
    queue = options.queue or spec.queue
    if spec.own_queue and queue != spec.queue:
        raise Refused(
            f"{spec.name} declares concurrency=, so its runs stand in a queue of their own. Leave "
            "out using(queue=...), or declare the limit with app.queue(...) and name that queue."
        )
    expires = spec.expires if options.expires is None else options.expires
    cause = current.get()
    causing = cause.context.run if isinstance(cause, FlowScope | StepScope) else None
    depth = causing.depth + 1 if causing else 0
    if depth > limits.CHAIN_DEPTH:
        raise Refused(
            f"Run {causing.id if causing else ''} is number {depth} in a chain of runs that start "
            f"each other; the limit is {limits.CHAIN_DEPTH}. Look for a loop; loop inside one flow "
            "if you mean to."
        )
    timeout = options.timeout if options.timeout is not None else spec.timeout
    return NewRun(
        id=run_id,
        flow=spec.name,
        input=text,
        queue=queue,
        priority=spec.priority if options.priority is None else options.priority,
        key=key,
        delay_us=0 if options.delay is None else to_delay_us(options.delay),
        at=None if options.at is None else to_microseconds(options.at),
        timeout_us=None if timeout is None else to_delay_us(timeout),
        parent_id=parent.run.id if parent is not None and not options.detached else None,
        cause_id=causing.id if causing else None,
        root_id=(causing.root_id or causing.id) if causing else None,
        depth=depth,
        partition=_partition(spec, options, bound, (queues or {}).get(queue)),
        expires_us=None
        if expires is None or isinstance(expires, datetime)
        else to_delay_us(expires),
        expires_at=to_microseconds(expires) if isinstance(expires, datetime) else None,
        subject=_subject(spec, options, bound) or (causing.subject if causing else None),
        version=spec.version,
        after=tuple(dict.fromkeys(_id_of(leader) for leader in options.after)),
        after_any_end=options.after_any_end,
    )


def check_alternative(otherwise: Callable[..., Any], spec: FlowSpec) -> None:
    """It is called with all of the flow's arguments, by their names."""
    try:
        inspect.signature(otherwise).bind(**dict.fromkeys(spec.signature.parameters))
    except TypeError as error:
        raise TypeError(
            f"The alternative of flow {spec.name} is called with the flow's arguments by their "
            f"names, which it doesn't take: {error}."
        ) from None


def _id_of(leader: Run[Any] | str) -> str:
    run_id = leader if isinstance(leader, str) else leader.id
    if not run_id:
        raise Refused("after= names a run whose id isn't known yet. Await its handle first.")
    return run_id


def check_expires(expires: float | timedelta | datetime | None) -> None:
    if expires is None or isinstance(expires, datetime):
        return
    if to_delay_us(expires) == 0:
        raise InvalidTime("A run that expires at once could never begin. Use more than 0 seconds.")


def _partition(
    spec: FlowSpec, options: Options, bound: dict[str, Any], rules: QueueRules | None
) -> str | None:
    """The part of its queue that a run belongs to; "" for one that names none in a parted queue."""
    if rules is None or rules.concurrency_per_partition is None:
        if options.partition is not None:
            raise Refused(
                "using(partition=...) needs a parted queue, and this run's isn't. Declare it with "
                "app.queue(..., concurrency_per_partition=...)."
            )
        return None
    if options.partition is not None:
        return options.partition
    if spec.partition is None:
        return ""
    value = _at(spec, spec.partition, bound)
    return "" if value is None or not str(value) else check_key(str(value))


def _subject(spec: FlowSpec, options: Options, bound: dict[str, Any]) -> str | None:
    """Whom a run is about; a child that doesn't say is about whom its parent is."""
    if options.subject is not None or spec.subject is None:
        return options.subject
    value = _at(spec, spec.subject, bound)
    return None if value is None or not str(value) else check_key(str(value), "subject")


def _at(spec: FlowSpec, path: str, bound: dict[str, Any]) -> Any:
    """`order.id` out of the arguments."""
    first, *rest = path.split(".")
    value: Any = bound.get(first, spec.signature.parameters[first].default)
    for name in rest:
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def _key_from(spec: FlowSpec, bound: dict[str, Any]) -> str:
    assert spec.key is not None
    value = _at(spec, spec.key, bound)
    text = str(value)
    if value is None or not text:
        raise InvalidInput(
            f"The key of {spec.name} is {spec.key}, which is empty here. Pass a value, or "
            "start it with using(key=...)."
        )
    return check_key(text)
