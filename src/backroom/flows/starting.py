"""How calls from outside reach the engine: starts, events, cancels, and what comes back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from backroom.engine.futures import new_future
from backroom.engine.lane import Lane
from backroom.engine.office import Office
from backroom.engine.world import World, derived_id
from backroom.flows.codec import ANY, Codec
from backroom.flows.context import RunContext
from backroom.flows.flow import FlowSpec, Options, Prepared, new_run, start_address, start_row
from backroom.flows.handles import Run
from backroom.flows.pending import Joining
from backroom.flows.queues import changed
from backroom.flows.recovery import Decision, Undo, undos
from backroom.flows.replay import kept_row
from backroom.flows.scope import FlowScope, StepScope, current
from backroom.flows.steps import check_name
from backroom.flows.transactions import (
    asynchronous_connection,
    database_connection,
    is_asynchronous,
)
from backroom.flows.waits import to_delay_us, to_microseconds
from backroom.flows.why import Why, why
from backroom.records import limits
from backroom.records.errors import Refused, RunNotFound
from backroom.records.queues import Pruned, QueueRow, QueueRules
from backroom.records.runs import BreakerRow, HeldLock, NewRun, RunRow, Started
from backroom.records.states import State
from backroom.store.verbs import Cancel, Declare, Emit, Prune, Reschedule, Start, Verb

__all__ = ["Starter"]

T = TypeVar("T")


class Offices(Protocol):
    """Where the process's line to the database is found; opened at first use."""

    def __call__(self) -> Office: ...


class Starter:
    """Shared by all flows of one application."""

    def __init__(
        self, office: Offices, world: World, queues: Mapping[str, QueueRules] | None = None
    ) -> None:
        self._office = office
        self._world = world
        self._queues = {} if queues is None else queues  # what is declared, by name

    # --- starts

    def new_run(
        self,
        spec: FlowSpec,
        options: Options,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        run_id: str | None = None,
        parent: RunContext | None = None,
    ) -> NewRun:
        run_id = run_id or self._fresh_id(spec, options)
        return new_run(
            spec, options, args, kwargs, run_id=run_id, parent=parent, queues=self._queues
        )  # fmt: skip

    def start(
        self, spec: FlowSpec, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Run[Any]:
        scope = current.get()
        if isinstance(scope, FlowScope):
            if options.on is not None:
                raise Refused(
                    "A flow's own body runs again at every replay and would start a run each time. "
                    "Use using(on=...) inside a step."
                )
            return self._start_in_flow(scope, spec, options, args, kwargs)
        new = self.new_run(spec, options, args, kwargs)
        if options.on is not None and is_asynchronous(options.on):
            return self._joining([Prepared(spec, new)], options.on)[0]
        if options.on is not None:
            started = self._office().store.start_on(database_connection(options.on), [new])[0]
            run: Run[Any] = Run(self, started.run_id, spec.name, spec.signature.output)
            run.created = started.created
            return run
        waits = asyncio._get_running_loop() is None
        future = self._office().doors.future(Start(new), waits=waits)
        run = Run(self, new.id, spec.name, spec.signature.output, future)
        return run.wait() if waits else run

    def _start_in_flow(
        self,
        scope: FlowScope,
        spec: FlowSpec,
        options: Options,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Run[Any]:
        """The start is a checkpoint: stored in one commit with the run, found again on replay."""
        context = scope.context
        address = start_address(scope, spec, options)
        kept = kept_row(context, address, "start")
        if kept is not None:
            return Run(self, json.loads(kept.result or "null"), spec.name, spec.signature.output)
        run_id = derived_id(context.run.id, context.stamped(address))
        new = self.new_run(spec, options, args, kwargs, run_id=run_id, parent=context)
        main = self._office().main
        if new.key is None:
            row = start_row(context, address, new, run_id)
            future: Future[Any] = main.future(context.saving(row, starts=(new,)))
        else:
            # Somebody else's run may hold the key; which one must be known before it can be kept.
            future = main.future(Start(new))
            future.add_done_callback(partial(_keep_holder, main, context, address, new))
        future.add_done_callback(context.heed)
        run: Run[Any] = Run(self, run_id, spec.name, spec.signature.output, future)
        return run if asyncio._get_running_loop() is not None else run.wait()

    def start_many(self, prepared: Iterable[Prepared[Any]], on: Any) -> list[Run[Any]]:
        ready = list(prepared)
        runs = [each.new for each in ready]
        office = self._office()
        if on is not None and is_asynchronous(on):
            return self._joining(ready, on)
        if on is not None:
            answers = office.store.start_on(database_connection(on), runs)
            return [self._stored(each, answer) for each, answer in zip(ready, answers, strict=True)]
        if not ready:
            return []
        waits = asyncio._get_running_loop() is None
        stored = office.doors.together([Start(run) for run in runs], waits=waits)
        if waits:
            return [
                self._stored(each, answer)
                for each, answer in zip(ready, stored.result(), strict=True)
            ]
        return [
            Run[Any](
                self,
                each.new.id,
                each.spec.name,
                each.spec.signature.output,
                office.after(stored, partial(_nth, place)),
            )
            for place, each in enumerate(ready)
        ]

    def _stored(self, prepared: Prepared[Any], answer: Started | Exception) -> Run[Any]:
        """The handle of a run whose start has been answered already."""
        spec = prepared.spec
        if isinstance(answer, Started):
            run: Run[Any] = Run(self, answer.run_id, spec.name, spec.signature.output)
            run.created = answer.created
            return run
        refused: Future[Any] = new_future()
        refused.set_exception(answer)
        return Run(self, prepared.new.id, spec.name, spec.signature.output, refused)

    def _joining(self, ready: Sequence[Prepared[Any]], on: Any) -> list[Run[Any]]:
        """Runs that will be stored on the caller's own asynchronous connection, all together when
        the first of them is awaited."""
        if not ready:
            return []

        async def store() -> list[Started]:
            store = self._office().store
            connection = await asynchronous_connection(on)
            answers = await store.join(connection, [Start(each.new) for each in ready])
            return [answer for answer in answers if isinstance(answer, Started)]

        joining = Joining[Sequence[Started]](store, what=f"Starting {ready[0].spec.name}")
        return [
            Run(
                self, each.new.id, each.spec.name, each.spec.signature.output, joining=joining,
                place=place,
            )
            for place, each in enumerate(ready)
        ]  # fmt: skip

    def _fresh_id(self, spec: FlowSpec, options: Options) -> str:
        scope = current.get()
        if isinstance(scope, FlowScope):
            # No checkpoint tells of this start; the same id on every replay makes it happen once.
            return derived_id(scope.context.run.id, start_address(scope, spec, options))
        if isinstance(scope, StepScope):
            return scope.fresh_id("start")
        return self._world.new_id()

    # --- the rest

    def run(self, run_id: str, flow: str = "run", codec: Codec = ANY) -> Run[Any]:
        if not _ID.fullmatch(run_id):
            raise RunNotFound(run_id[:100])
        return Run(self, run_id, flow, codec)

    def find(self, spec: FlowSpec, key: str) -> Run[Any]:
        office = self._office()

        def look(reader: Any) -> Started:
            found = reader.find(spec.name, key)
            if found is None:
                raise RunNotFound(f"with key {key!r} of flow {spec.name}")
            return Started(found, False)

        run: Run[Any] = Run(self, "", spec.name, spec.signature.output, office.read(look))
        return run if asyncio._get_running_loop() is not None else run.wait()

    def ended(self, run_id: str, after: Future[Any] | None = None) -> Future[RunRow]:
        return self._office().ended(run_id, after)

    def row(self, run_id: str, after: Future[Any] | None = None) -> Future[RunRow | None]:
        office = self._office()
        return office.after(
            after, lambda started: office.read(lambda reader: reader.run(_id(started, run_id)))
        )

    def cancel(self, run_id: str, reason: str, after: Future[Any] | None) -> Future[State]:
        reason = reason[: limits.STATUS_CHARS]
        return self._door(run_id, after, lambda run_id: Cancel(run_id, reason))

    def recover(self, run_id: str, after: Future[Any] | None, decide: Decision[T]) -> Future[T]:
        """Look at a run, decide what a person's wish means for it, and do that."""
        office = self._office()

        def act(decision: tuple[T, Verb | None]) -> Future[T]:
            told, verb = decision
            if verb is None:
                return _resolved(told)
            return office.after(office.doors.future(verb), lambda _: _resolved(told))

        def look(started: Any) -> Future[tuple[T, Verb | None]]:
            return office.read(lambda reader: decide(reader, _id(started, run_id)))

        return self._heeded(office.after(office.after(after, look), act))

    def undos(self, run_id: str, after: Future[Any] | None) -> Future[list[Undo]]:
        office = self._office()
        return office.after(
            after, lambda started: office.read(lambda reader: undos(reader, _id(started, run_id)))
        )

    def reschedule(
        self,
        run_id: str,
        delay: float | timedelta | None,
        at: datetime | None,
        after: Future[Any] | None,
    ) -> Future[None]:
        Options(delay=delay, at=at)  # refuses both at once
        moment = None if at is None else to_microseconds(at)
        delay_us = 0 if delay is None else to_delay_us(delay)
        return self._door(
            run_id, after, lambda run_id: Reschedule(run_id, at=moment, delay_us=delay_us)
        )

    def emit(
        self,
        run_id: str,
        event: str,
        payload: Any,
        *,
        key: str | None,
        on: Any,
        after: Future[Any] | None,
    ) -> Future[None] | Joining[None]:
        check_name(event, "event")
        codec = (
            ANY
            if payload is None or type(payload) in _PLAIN
            else Codec(type(payload), owner=f"the event {event}")
        )
        text = codec.encode(payload)
        fresh = None if key is not None else self._fresh_event_id(event)

        def event_id(run_id: str) -> str:
            return fresh or derived_id(run_id, f"event {event} {key}")

        if on is not None and is_asynchronous(on):

            async def send() -> None:
                store = self._office().store
                verb = Emit(run_id, event_id(run_id), event, text)
                await store.join(await asynchronous_connection(on), [verb])

            return Joining(send, what=f"Emitting {event}")
        if on is not None:
            connection = database_connection(on)
            self._office().store.emit_on(connection, run_id, event_id(run_id), event, text)
            return _resolved(None)
        return self._door(run_id, after, lambda run_id: Emit(run_id, event_id(run_id), event, text))

    def why(self, run_id: str, after: Future[Any] | None = None) -> Future[Why]:
        office = self._office()
        return office.after(
            after, lambda started: office.read(lambda reader: why(reader, _id(started, run_id)))
        )

    def locks(self) -> Future[list[HeldLock]]:
        return self._office().read(lambda reader: reader.locks())

    def breakers(self) -> Future[list[BreakerRow]]:
        return self._office().read(lambda reader: reader.breakers())

    def queues(self) -> Future[list[QueueRow]]:
        return self._office().read(lambda reader: reader.queues())

    def limit(self, queue: str, changes: dict[str, Any], by: str) -> Future[None]:
        """Put changed rules of a queue in force. In a thread without a loop that is committed when
        the call returns."""
        office = self._office()

        def put(found: list[QueueRow]) -> Future[None]:
            rules = found[0].rules if found else QueueRules(queue)
            return office.doors.future(Declare(changed(rules, changes), by))

        changed(QueueRules(queue, rate=1, per_us=1_000_000), changes)  # refuses here what can't be
        future = office.after(office.read(lambda reader: reader.queues(queue)), put)
        if asyncio._get_running_loop() is None:
            future.result()
        return future

    def ask(self, verb: Verb) -> Future[Any]:
        """Ask something that is about no run. In a thread without a loop it is committed when the
        call returns."""
        waits = asyncio._get_running_loop() is None
        future = self._office().doors.future(verb, waits=waits)
        if waits:
            future.result()
        return future

    def prune(
        self, older_than_us: int, limit: int | None, seconds: float | None, dry_run: bool
    ) -> Future[Pruned]:
        """Batch after batch, each a transaction of its own, until there is no more."""
        office = self._office()
        world = self._world
        stop_at = None if seconds is None else world.monotonic() + seconds
        result: Future[Pruned] = new_future()
        done = Pruned(0, 0, None)

        def go_on(finished: Future[Any]) -> None:
            nonlocal done
            error = finished.exception()
            if error is not None:
                result.set_exception(error)
                return
            answer: Pruned = finished.result()
            done = Pruned(done.count + answer.count, done.kept + answer.kept, answer.after)
            full = limit is not None and done.count >= limit
            late = stop_at is not None and world.monotonic() >= stop_at
            if done.after is None or full or late:
                result.set_result(done)
                return
            try:
                ask()
            except Exception as refused:  # whatever it is: somebody waits for this future
                result.set_exception(refused)

        def ask() -> None:
            size = limits.SWEEP_RUNS
            if limit is not None:
                size = min(size, limit - done.count)
            verb = Prune(older_than_us, done.after, size, dry_run)
            office.doors.future(verb).add_done_callback(go_on)

        ask()
        return result

    def _fresh_event_id(self, event: str) -> str:
        scope = current.get()
        if isinstance(scope, FlowScope):
            return derived_id(scope.context.run.id, scope.address(f"emit {event}"))
        if isinstance(scope, StepScope):
            return scope.fresh_id("emit")
        return self._world.new_id()

    def _door(
        self, run_id: str, after: Future[Any] | None, verb: Callable[[str], Verb]
    ) -> Future[Any]:
        """Ask something of a run, once its own start (or look-up) has told its id for sure.

        In a thread without a loop it is committed when the call returns.
        """
        office = self._office()
        waits = asyncio._get_running_loop() is None
        future = office.after(
            after,
            lambda started: office.doors.future(
                verb(_id(started, run_id)), waits=waits and after is None
            ),
        )
        return self._heeded(future)

    def _heeded(self, future: Future[T]) -> Future[T]:
        scope = current.get()
        if isinstance(scope, FlowScope):
            future.add_done_callback(scope.context.heed)
        if asyncio._get_running_loop() is None:
            future.result()
        return future


_PLAIN = (bool, int, float, str, bytes, list, dict, tuple, set, frozenset)


def _keep_holder(
    main: Lane, context: RunContext, address: str, new: NewRun, done: Future[Any]
) -> None:
    """Keep which run holds the key. Nobody waits for this: until it is kept, a replay asks
    again."""
    if done.exception() is None:
        row = start_row(context, address, new, done.result().run_id)
        main.post(context.saving(row))


def _resolved(value: T) -> Future[T]:
    future: Future[T] = new_future()
    future.set_result(value)
    return future


def _nth(place: int, answers: list[Any]) -> Future[Any]:
    """One start's answer out of those of many."""
    future: Future[Any] = new_future()
    answer = answers[place]
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return future


_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""One spelling of a UUID, on both databases: an id that is spelt otherwise is nobody's."""


def _id(started: Any, run_id: str) -> str:
    return started.run_id if isinstance(started, Started) else run_id
