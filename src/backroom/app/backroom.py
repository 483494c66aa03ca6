"""`Backroom`: an application's flows, and its line to the database."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from backroom.engine.office import Office
from backroom.engine.settings import WorkerSettings
from backroom.engine.worker import Worker
from backroom.engine.world import World
from backroom.flows.erasing import erase
from backroom.flows.executors import OWN, Declaration, Executors
from backroom.flows.flow import (
    AsyncFlow,
    Flow,
    FlowSpec,
    Prepared,
    check_alternative,
    check_expires,
)
from backroom.flows.handles import Run
from backroom.flows.pending import Pending, Promise
from backroom.flows.performer import Performer
from backroom.flows.queues import KEEP, rules_of
from backroom.flows.reports import LOOPBACK
from backroom.flows.signature import Signature, caller_names
from backroom.flows.starting import Starter
from backroom.flows.steps import (
    check_key,
    check_name,
    check_priority,
    check_timeout,
    check_version,
)
from backroom.flows.waits import to_delay_us
from backroom.records import limits
from backroom.records.erasure import Erased
from backroom.records.errors import Refused, UnknownFlow
from backroom.records.queues import Pruned, QueueRow, QueueRules
from backroom.records.runs import BreakerRow, HeldLock, served_as
from backroom.records.triggers import Plan, RowTrigger
from backroom.rules.retry import NO_RETRY, Retry
from backroom.schedules.access import Schedules
from backroom.schedules.calendars import Calendar
from backroom.schedules.declared import Declared, options_from
from backroom.schedules.planning import Missed, Overlap
from backroom.schedules.scheduler import Scheduler
from backroom.store.protocol import Store
from backroom.store.verbs import (
    AsDeclared,
    CloseBreaker,
    Declare,
    Pause,
    Resume,
    RetireSchedules,
    Verb,
)

if TYPE_CHECKING:
    from backroom.app.settings import Settings

__all__ = ["Backroom"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
S = TypeVar("S", bound=AsyncFlow[..., Any] | Flow[..., Any])


class Backroom:
    """The flows of one application and the database in which their runs are kept.

    database  a SQLite file (default ./backroom.db; the application's own file is a good choice)
              or a postgresql:// address; else BACKROOM_DATABASE, else [tool.backroom] in
              pyproject.toml
    settings  any other setting by name, see `backroom.app.settings`

    Nothing is opened before it is needed, so one `Backroom` can be made at import time.
    """

    def __init__(
        self, database: str | Path | None = None, *, world: World | None = None, **settings: Any
    ) -> None:
        self._given = {"database": None if database is None else str(database), **settings}
        self._world = world or World()
        self._specs: dict[str, FlowSpec] = {}
        self._executors: dict[str, Declaration] = {}
        self._settings: Settings | None = None
        self._office: Office | None = None
        self._office_pid = 0
        self._lock = threading.Lock()
        self._queues: dict[str, QueueRules] = {}
        self._row_triggers: dict[str, RowTrigger] = {}
        self._starter = Starter(lambda: self.office, self._world, self._queues)
        self._schedules: dict[str, Declared] = {}
        self.schedules = Schedules(lambda: self.office, self._specs)

    # --- flows

    @overload
    def flow(  # type: ignore[overload-overlap]  # a coroutine function is a function too
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncFlow[P, R]: ...
    @overload
    def flow(self, function: Callable[P, R], /) -> Flow[P, R]: ...
    @overload
    def flow(
        self,
        /,
        *,
        name: str | None = None,
        key: str | None = None,
        queue: str = "default",
        priority: int = 5,
        retry: Retry | None = None,
        timeout: float | None = None,
        expires: float | timedelta | None = None,
        partition: str | None = None,
        subject: str | None = None,
        concurrency: int | None = None,
        aliases: tuple[str, ...] = (),
        version: int = 1,
        otherwise: Callable[..., Any] | None = None,
    ) -> _FlowDecorator: ...
    def flow(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        key: str | None = None,
        queue: str = "default",
        priority: int = 5,
        retry: Retry | None = None,
        timeout: float | None = None,
        expires: float | timedelta | None = None,
        partition: str | None = None,
        subject: str | None = None,
        concurrency: int | None = None,
        aliases: tuple[str, ...] = (),
        version: int = 1,
        otherwise: Callable[..., Any] | None = None,
    ) -> Any:
        """Make a function a flow.

        name      under which its runs are stored; default: the function's
        key       where among the arguments a run's key is found, "order.id": same key, same run
        queue     the line its runs stand in
        priority  0, the most urgent, to 9
        retry     how often a run that raised is tried again, from its checkpoints; default: never
        timeout   seconds for a whole run, from when it is due
        expires   seconds after its time by which a run must have begun; else it is cancelled
        partition where among the arguments its part of a parted queue is found, "order.customer"
        subject   where among the arguments the one is found whom a run is about,
                  "order.customer", for `erase(subject=...)`
        concurrency   how many of its runs are performed at once, over all workers; they stand in a
                  queue of their own then, which is called like the flow
        aliases   former names, under which runs may still be stored
        version   of its code, kept with each run: only workers that know it perform the run. A flow
                  may be declared in several versions, each by a function of its own
        otherwise the alternative path: called with the same arguments when a run has failed for
                  good, and is undone; its result becomes the run's
        """
        names = caller_names(1)
        checked = check_version(version)

        def declare(function: Callable[..., Any]) -> Any:
            own = concurrency is not None
            called = check_name(name or function.__name__, "flow")
            if own and queue != "default":
                raise Refused(
                    f"{called} has a limit of its own and the queue {queue}. Declare the limit "
                    f"with app.queue({queue!r}, concurrency={concurrency}), or leave out queue=."
                )
            spec = FlowSpec(
                name=called,
                function=function,
                signature=Signature(function, name or function.__name__, names),
                is_async=inspect.iscoroutinefunction(function),
                queue=called if own else check_name(queue, "queue"),
                priority=priority,
                key=key,
                retry=retry or NO_RETRY,
                timeout=check_timeout(timeout),
                aliases=aliases,
                version=checked,
                partition=partition,
                subject=subject,
                expires=expires,
                own_queue=own,
                otherwise=otherwise,
                app=self,
            )
            self._add(spec)
            if own and called in self._queues and self._queues[called].concurrency != concurrency:
                raise Refused(
                    f"The versions of {called} stand in one queue and share its limit. Give all of "
                    "them the same concurrency=."
                )
            if own and called not in self._queues:
                self.queue(called, concurrency=concurrency)
            return AsyncFlow(spec, self._starter) if spec.is_async else Flow(spec, self._starter)

        return declare if function is None else declare(function)

    def _add(self, spec: FlowSpec) -> None:
        for what, path in (
            ("key", spec.key), ("partition", spec.partition), ("subject", spec.subject),
        ):  # fmt: skip
            if path is not None and path.split(".")[0] not in spec.signature.parameters:
                raise Refused(
                    f"The {what} of {spec.name} is {path!r}, but it has no parameter "
                    f"{path.split('.')[0]!r}. "
                    f"A {what} starts with the name of a parameter."
                )
        others = [other for other in self._specs.values() if other.name != spec.name]
        versions = [other for other in self._specs.values() if other.name == spec.name]
        if spec.own_queue and (
            (spec.queue in self._queues and not any(other.own_queue for other in versions))
            or spec.queue in {other.queue for other in others}
        ):
            raise Refused(
                f"{spec.name} declares concurrency= and would have the queue {spec.queue} for its "
                "own, but that is used already. Give the flow or the queue another name."
            )
        if spec.otherwise is not None:
            check_alternative(spec.otherwise, spec)
        check_expires(spec.expires)
        check_priority(spec.priority)
        for name in (spec.name, *spec.aliases):
            served = served_as(name, spec.version)
            if served in self._specs:
                raise Refused(
                    f"Two flows are called {served!r}. Give one of them another name: "
                    "@app.flow(name=...); or another version: @app.flow(version=...)."
                )
            self._specs[served] = spec

    # --- schedules

    def schedule(
        self,
        calendar: Calendar,
        /,
        *,
        name: str | None = None,
        input: Mapping[str, Any] | None = None,
        slot: str | None = None,
        missed: Missed = "once",
        catch_up: int = 100,
        late: float | timedelta = 60,
        overlap: Overlap = "queue",
        jitter: float | timedelta = 0,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> Callable[[S], S]:
        """Start a flow by a calendar: above `@app.flow`, or `app.schedule(...)(flow)`.

        calendar  `cron("30 2 * * *", "Europe/Berlin")`, `every(minutes=15)`, `rrule(...)`, or
                  `once(at)`
        name      of the schedule; default: the flow's. A flow may have several
        input     the flow's arguments by name
        slot      the parameter that gets the time for which a run was started, a datetime or date
        missed    what becomes of slots for which no worker was there: "once" starts the last one,
                  "skip" none that is later than `late` seconds, "all" each, the newest `catch_up`
        overlap   if the last run hasn't ended: "queue" begins after it, "skip" starts none,
                  "cancel" cancels the last one, "together" doesn't care
        jitter    spread: a slot starts up to so many seconds later, always the same for each slot
        begin, end   no slots before the one and after the other

        The workers start the runs, each slot once however many they are. Declared when the database
        is opened; a schedule that isn't declared any more is retired then.
        """
        options = options_from(
            missed=missed, catch_up=catch_up, late=late, overlap=overlap, jitter=jitter,
            begin=begin, end=end, slot=slot,
        )  # fmt: skip

        def declare(flow: S) -> S:
            declared = Declared(
                check_name(name or flow.spec.name, "schedule"), flow.spec, calendar, options,
                dict(input or {}),
            )  # fmt: skip
            if declared.name in self._schedules:
                raise Refused(
                    f"Two schedules are called {declared.name!r}. Give one of them another name: "
                    "@app.schedule(..., name=...)."
                )
            self._schedules[declared.name] = declared
            if self._office is not None and self._office_pid == os.getpid():
                self._starter.ask(declared.verb())
            return flow

        return declare

    @property
    def flows(self) -> dict[str, FlowSpec]:
        """What is declared, by name (aliases included), later versions as `ship@2`."""
        return dict(self._specs)

    # --- triggers

    def on_change(
        self,
        table: Any,
        /,
        *,
        insert: bool = False,
        update: bool = False,
        delete: bool = False,
        columns: Iterable[Any] = (),
        when: str | None = None,
        carry: Iterable[Any] | None = None,
        key: Iterable[Any] = (),
        coalesce: bool = False,
        own_writes: bool = False,
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Start the flow below when a row of a table changes, whoever changes it.

        It takes effect with `backroom triggers install`. The flow's one argument is a `Change`; its
        runs of one row are performed one after another, in the order of the changes.

        table     a table's name, or a model or table of SQLAlchemy's
        insert, update, delete   which changes count; none named: all
        columns   an update counts only if the value of one of these has really changed
        when      a condition in SQL over `old` and `new`, evaluated in the database: a change that
                  fails it costs no run
        carry     the columns that the flow is given, beside the key; default: all
        key       the columns that tell one row from another; default: the primary key
        coalesce  changes of a row that no run has begun with become one: first old, last new
        own_writes   what the flow's own runs write starts it too
        name      of the trigger; default: the flow's
        """

        def declare(flow: F) -> F:
            from backroom.triggers.changes import row_trigger

            spec = getattr(flow, "spec", None)
            if not isinstance(spec, FlowSpec) or spec.app is not self:
                raise Refused(
                    "on_change() stands above @app.flow of the same application; it takes a flow."
                )
            trigger = row_trigger(
                spec, table, name=name, insert=insert, update=update, delete=delete,
                columns=columns, when=when, carry=carry, key=key, coalesce=coalesce,
                own_writes=own_writes,
            )  # fmt: skip
            if trigger.name in self._row_triggers:
                raise Refused(
                    f"Two triggers are called {trigger.name!r}. Give one another name: "
                    "on_change(..., name=...)."
                )
            self._row_triggers[trigger.name] = trigger
            return flow

        return declare

    @property
    def row_triggers(self) -> tuple[RowTrigger, ...]:
        """What is declared with `on_change`, by name."""
        return tuple(self._row_triggers[name] for name in sorted(self._row_triggers))

    def install_triggers(self) -> list[Plan]:
        """Make the SQL triggers on the tables as they are declared; answers what that took. Nothing
        is done that is done already."""
        return self.office.store.install_triggers(self.row_triggers)

    # --- executors

    def executor(
        self,
        name: str,
        make: Callable[[], Executor] | None = None,
        *,
        processes: int | None = None,
        reached_at: str = LOOPBACK,
    ) -> None:
        """Declare an executor for steps with `@step(executor=name)`.

        make        makes any `concurrent.futures.Executor`; each worker calls it once, at the
                    first such step: `lambda: Client("tcp://head:8786").get_executor()`
        processes   or else: so many processes of our own, each to be killed by itself
        reached_at  this machine's name where the executor's processes are, for their progress;
                    default: they are on this machine

        The name "process" is that of the executor for `@step(process=True)`.
        """
        check_name(name, "executor")
        if name in self._executors:
            raise Refused(f"Two executors are called {name!r}. Give one of them another name.")
        if (make is None) == (processes is None) or (processes is not None and processes < 1):
            raise Refused(
                f"The executor {name!r} needs either a function that makes it, or processes= of at "
                "least 1."
            )
        self._executors[name] = Declaration(make or partial(self._processes, processes), reached_at)

    def _processes(self, count: int | None = None) -> Executor:
        from backroom.engine.processes import Processes

        settings = self.settings
        count = count or settings.processes or len(os.sched_getaffinity(0))
        return Processes(count, calls=settings.process_calls)

    # --- queues

    def queue(
        self,
        name: str,
        /,
        *,
        concurrency: int | None = None,
        concurrency_per_partition: int | None = None,
        rate: int | None = None,
        per: float | timedelta | None = None,
        burst: int | None = None,
        max_waiting: int | None = None,
    ) -> str:
        """Declare the rules of a queue; its name, for `@app.flow(queue=...)`.

        They hold over all workers and programs that use the database, from when the first one opens
        it; what the last one to open it declares is in force, unless an operator has changed it
        (`limit`). Without rules: lift them.

        subject   where among the arguments the one is found whom a run is about,
                  "order.customer", for `erase(subject=...)`
        concurrency   how many of its runs are performed at once
        concurrency_per_partition   how many of one partition (see `flow(partition=...)`)
        rate, per     how many are taken up in so many seconds
        burst         how many of them at once; default: a tenth of a second's worth, at least 1
        max_waiting   how many may stand in it that haven't begun; a start beyond that is refused
        """
        rules = rules_of(
            name, concurrency=concurrency, concurrency_per_partition=concurrency_per_partition,
            rate=rate, per=per, burst=burst, max_waiting=max_waiting,
        )  # fmt: skip
        self._queues[name] = rules
        if self._office is not None and self._office_pid == os.getpid():
            self._starter.ask(Declare(rules))
        return name

    def queues(self) -> Pending[list[QueueRow]]:
        """How the queues stand that have rules or runs, by name."""
        return Promise(self._starter.queues(), lambda rows: rows, what="Reading the queues")

    def limit(
        self,
        queue: str,
        /,
        *,
        by: str,
        concurrency: int | None = KEEP,
        concurrency_per_partition: int | None = KEEP,
        rate: int | None = KEEP,
        per: float | timedelta | None = KEEP,
        burst: int | None = KEEP,
        max_waiting: int | None = KEEP,
    ) -> Pending[None]:
        """Change the rules of a queue while everything runs, whatever the code declares. `by`: who,
        or why, for people.

        What isn't given stays as it is, None lifts it. These rules stay in force over restarts and
        deploys, until `as_declared`.
        """
        given = {
            "concurrency": concurrency, "concurrency_per_partition": concurrency_per_partition,
            "rate": rate, "per": per, "burst": burst, "max_waiting": max_waiting,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not KEEP}
        done = self._starter.limit(check_name(queue, "queue"), changes, by[: limits.STATUS_CHARS])
        return Promise(done, lambda _: None, what="Changing limits")

    def as_declared(self, queue: str) -> Pending[bool]:
        """Lift what `limit` has changed: what the code declares is in force again. Whether there
        was anything."""
        check_name(queue, "queue")
        asked = self._starter.ask(AsDeclared(queue))
        return Promise(asked, lambda there: there, what="Lifting changed limits")

    def pause(self, queue: str, *, by: str = "") -> Pending[None]:
        """Let nothing more of a queue begin, on any worker; what is running goes on. `by`: who, or
        why, for people."""
        check_name(queue, "queue")
        asked = self._starter.ask(Pause(queue, by[: limits.STATUS_CHARS]))
        return Promise(asked, lambda _: None, what="Pausing")

    def resume(self, queue: str) -> Pending[None]:
        """Let a paused queue go on."""
        check_name(queue, "queue")
        return Promise(self._starter.ask(Resume(queue)), lambda _: None, what="Resuming")

    def locks(self) -> Pending[list[HeldLock]]:
        """The locks that runs hold, by name."""
        return Promise(self._starter.locks(), lambda rows: rows, what="Reading the locks")

    def breakers(self) -> Pending[list[BreakerRow]]:
        """The breakers that count failures or are open, by name."""
        return Promise(self._starter.breakers(), lambda rows: rows, what="Reading the breakers")

    def close_breaker(self, name: str) -> Pending[bool]:
        """Let a service be called again at once; whether its breaker had counted any failure."""
        check_name(name, "breaker")
        return Promise(
            self._starter.ask(CloseBreaker(name)), lambda there: there, what="Closing a breaker"
        )

    def prune(
        self,
        *,
        older_than: float | timedelta,
        limit: int | None = None,
        seconds: float | None = None,
        dry_run: bool = False,
    ) -> Pending[Pruned]:
        """Remove runs that ended longer ago than this, with all that belongs to them.

        In transactions of at most 1,000 runs, the oldest first; `limit`: so many runs at most,
        `seconds`: begin no further transaction after that. Kept are those that a live run
        waits for or has started, those with live children, and for a week those with a key. `count`
        of the answer is how many went (dry_run: would go), `kept` how many were needed, `after` is
        None if that was all.
        """
        return Promise(
            self._starter.prune(to_delay_us(older_than), limit, seconds, dry_run),
            lambda pruned: pruned, what="Pruning",
        )  # fmt: skip

    def erase(
        self,
        *,
        subject: str | None = None,
        runs: Iterable[str] = (),
        cancel: bool = False,
        dry_run: bool = False,
        by: str = "",
    ) -> Pending[Erased]:
        """Blank what came from outside in the ended runs about a subject, or in these runs.

        Input, result, errors, steps' results, events, status, key, partition and subject go; that
        there was such a run, its flow, its states and times stay. `runs` of the answer are the ids,
        `refused` those that can't be erased now, with the reason each: above all those that have
        not ended. `cancel`: ask these to stop first; what has ended by then is erased, the rest
        when this is called again. `by`: who, or why; kept in the audit.
        """
        ids = list(runs)
        if (subject is None) == (not ids):
            raise Refused("Say what to erase: give subject= or runs=, one of them.")
        if subject is not None:
            check_key(subject, "subject")
        asked = erase(
            self.office, subject=subject, run_ids=ids, cancel=cancel, dry_run=dry_run,
            by=by[: limits.STATUS_CHARS],
        )  # fmt: skip
        return Promise(asked, lambda erased: erased, what="Erasing")

    # --- runs

    def run(self, run_id: str) -> Run[Any]:
        """The handle of any run, by its id."""
        return self._starter.run(run_id)

    def start(self, flow: str, /, **arguments: Any) -> Run[Any]:
        """Start a flow by its name; for callers that have the name as data."""
        return self.handle(flow).start(**arguments)

    def handle(self, flow: str) -> AsyncFlow[..., Any] | Flow[..., Any]:
        """A declared flow by its name, the newest version of it; UnknownFlow."""
        versions = [spec for spec in self._specs.values() if flow in (spec.name, *spec.aliases)]
        if not versions:
            raise UnknownFlow(flow, tuple(self._specs))
        spec = max(versions, key=lambda spec: spec.version)
        return AsyncFlow(spec, self._starter) if spec.is_async else Flow(spec, self._starter)

    def start_many(self, prepared: Iterable[Prepared[R]], *, on: Any = None) -> list[Run[R]]:
        """Store many runs at once; each is `flow.prepare(...)`. `on` as in `using(on=...)`."""
        return self._starter.start_many(prepared, on)

    # --- the line to the database

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            from backroom.app.settings import load

            self._settings = load(**self._given)
        return self._settings

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given as arguments."""
        return dict(self._given)

    def override(self, **settings: Any) -> None:
        """Settings that go before all others, as the command line's do. None: not given."""
        given = {
            name: value
            for name, value in settings.items()
            if value is not None and value != self._given.get(name)
        }
        if given and self._office is not None:
            raise Refused(
                f"The database is open already, so {', '.join(given)} can't be changed any more. "
                "Don't use it while modules are imported, or set BACKROOM_* or pyproject.toml."
            )
        self._given |= given
        self._settings = None

    @property
    def office(self) -> Office:
        """This process's line, opened at first use; a forked child gets one of its own."""
        if self._office is None or self._office_pid != os.getpid():
            if self._office_pid != os.getpid():
                self._lock = threading.Lock()  # the parent's may have been held at the fork
            with self._lock:
                if self._office is None or self._office_pid != os.getpid():
                    self._office = self._open()
                    self._office_pid = os.getpid()
        return self._office

    def _open(self) -> Office:
        from backroom.app.stores import make_store

        store = make_store(self.settings)
        try:
            if self.settings.migrate == "auto":
                store.migrate()
            else:
                store.check_schema()
            self.declare(store)
        except BaseException:
            store.close()
            raise
        return Office(store, self._world, doorbells=self.settings.doorbells)

    def declare(self, store: Store) -> None:
        """Put the rules of the queues that are declared here in force, and the schedules; one that
        isn't declared any more is retired, if its flow is ours."""
        verbs: list[Verb] = [Declare(rules) for rules in self._queues.values()]
        if self._specs:
            ours = tuple(
                {name for spec in self._specs.values() for name in (spec.name, *spec.aliases)}
            )
            verbs.append(RetireSchedules(ours, tuple(self._schedules)))
        verbs += [declared.verb() for declared in self._schedules.values()]
        if verbs:
            session = store.session()
            try:
                session.apply(verbs)
            finally:
                session.close()

    def open(self) -> None:
        """Open the line now rather than at first use: a database that can't be reached is known at
        once, and our tables are there before a transaction of your own begins."""
        _ = self.office

    def close(self) -> None:
        """Commit what is under way and let go of all connections; the next use opens them again."""
        with self._lock:
            office, self._office = self._office, None
        if office is not None and self._office_pid == os.getpid():
            office.close()

    # --- working

    def worker(self, **changes: Any) -> Worker:
        """A worker of this process; `changes` are fields of WorkerSettings."""
        settings = self.settings
        given: dict[str, Any] = {
            "queues": settings.queues, "concurrency": settings.concurrency, "lease": settings.lease,
            "poll": settings.poll, "grace": settings.grace, "doorbells": settings.doorbells,
            "keep": settings.keep_days * 86_400,
        }  # fmt: skip
        scheduler = Scheduler(self._specs, self._queues, self._world)
        return Worker(self.office, self.performer(), WorkerSettings(**(given | changes)), scheduler)

    def performer(self, make: Callable[[], Executor] | None = None) -> Performer:
        """What performs runs of this application's flows. `make`: another executor instead of all
        that are declared."""
        declared = {OWN: Declaration(self._processes)} | self._executors
        if make is not None:
            declared = dict.fromkeys(declared, Declaration(make))
        return Performer(
            self._specs, Executors(declared), self._queues, watches=bool(self._row_triggers)
        )

    @contextmanager
    def seated(self, office: Office) -> Iterator[None]:
        """Let another line to a database stand in for this process's own: for simulations."""
        before = self._office, self._office_pid
        self._office, self._office_pid = office, os.getpid()
        try:
            yield
        finally:
            self._office, self._office_pid = before

    @contextmanager
    def working(self, **changes: Any) -> Iterator[Worker]:
        """A worker in a thread of this process, for as long as the block lasts: for tests and
        scripts.

        In production run `backroom worker`, whose leases nothing in your code can stop.
        """
        worker = self.worker(**changes)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(worker.run())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="backroom-worker", daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join()
        if failed:
            raise failed[0]

    @asynccontextmanager
    async def lifespan(self, _asgi_app: Any = None) -> AsyncIterator[None]:
        """For ASGI frameworks: `FastAPI(lifespan=app.lifespan)`. Opens the line at start-up, so
        that a database that can't be reached is known then, and closes it at the end."""
        await asyncio.to_thread(self.open)
        try:
            yield
        finally:
            await asyncio.to_thread(self.close)


class _FlowDecorator:
    """The type of `app.flow(...)` with arguments: keeps the signature of either colour."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncFlow[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Flow[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        raise NotImplementedError
