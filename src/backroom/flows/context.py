"""One attempt of one run: what is kept, which branches are busy, and when to park.

Replay in one paragraph. The author's function is called from its first line at every claim. Each
step and wait asks this context for what is kept at its address; what is kept is returned at once,
the first call with nothing kept does real work. So the function reaches the point where the last
attempt stopped, in the state it had there, without having been held in memory in between.

Parking. A flow has leaves: its body, or while a `gather` is open the branches of it. `busy` counts
the leaves that are not inside a wait. The last leaf to enter a wait parks the run: the waits go to
the database in one transaction, and the function is unwound by cancelling its task (or, in a
thread, by raising `Unwind` from the wait). While other leaves are busy a wait stays in memory, and
the engine brings the news about it.

    leaf enters a wait ── busy > 0 ──▶ waits in memory, recorded; news wakes it
                       └─ busy = 0 ──▶ Parked(all waits)

What an author runs in tasks of his own counts as a leaf too while it is inside a step or a wait;
nobody knows what else such tasks do, so beside them the body counts as busy and nothing parks.

Unwinding runs `finally` blocks and `__exit__` methods, and they run again in the next attempt: what
must happen once belongs in a step. A flow that swallows the cancellation changes nothing: its
ending is decided, every further step or wait unwinds again, and what it returns is ignored.

Threads. A `def` flow runs in a pool thread, news come from the loop's thread: `_lock` guards the
few lines that both touch.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import Any, NoReturn

from backroom.engine.handler import Desk
from backroom.engine.world import World
from backroom.flows.executors import Executors, Ongoing
from backroom.flows.failures import as_json, read
from backroom.flows.rewinding import REWIND, rounds
from backroom.flows.scope import FlowScope, current, here
from backroom.flows.undo import last_number
from backroom.records import limits
from backroom.records.errors import CodeMismatch, LeaseLost, Refused, StoreError
from backroom.records.outcome import (
    Cancelled,
    Failed,
    HandedBack,
    Lost,
    NeedsAttention,
    Outcome,
    Parked,
)
from backroom.records.runs import FOREVER, Claimed, Mail, RunRow, StepRow, WaitRow
from backroom.store.verbs import SaveStep, SaveWaits

__all__ = ["Blocked", "RunContext", "Unwind", "ending_for"]


class Unwind(BaseException):
    """Leaves a `def` flow whose ending is decided. Not an Exception: authors don't catch it."""


class Blocked:
    """A leaf inside a wait: what it waits for, and how to wake it."""

    __slots__ = ("_event", "_future", "ready", "rows")

    def __init__(self, rows: tuple[WaitRow, ...], ready: Callable[[], bool]) -> None:
        self.rows = rows
        self.ready = ready
        loop = asyncio._get_running_loop()
        self._future: asyncio.Future[None] | None = loop.create_future() if loop else None
        self._event = threading.Event() if loop is None else None

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def sleep(self) -> None:
        assert self._future is not None
        await self._future

    def sleep_in_thread(self, world: World) -> None:
        assert self._event is not None
        world.wait(self._event)


def ending_for(error: BaseException) -> Outcome:
    """How an attempt ends whose write didn't get through.

    Without the lease another attempt has the run. Without the database this one is given back, to
    go on from its last checkpoint. What the database takes from nobody would be refused for ever,
    and a body repeated as often: a person has to look.
    """
    if isinstance(error, LeaseLost):
        return Lost()
    if type(error) is StoreError:
        return NeedsAttention(as_json(error))
    return HandedBack()


REPLAYED = frozenset({"step", "timer", "event", "child", "first", "start"})
"""Kinds of checkpoints and waits that a flow's own calls come to again."""


class RunContext:
    """The state of one attempt."""

    def __init__(self, claimed: Claimed, desk: Desk, executors: Executors) -> None:
        self.run = claimed
        self.desk = desk
        self.executors = executors
        self.ongoing: set[Ongoing] = set()  # bodies that executors perform
        self.kept: dict[str, StepRow] = {row.address: row for row in claimed.steps}
        self.waits: dict[str, WaitRow] = {row.address: row for row in claimed.waits}
        self.mail: list[Mail] = list(claimed.mail)
        self.ended: dict[str, RunRow] = {row.id: row for row in claimed.ended}
        self.over: set[str] = set()  # windows of children that news have told are over
        self.locked: set[str] = set()  # addresses at which news have told that we have our locks
        self.ahead: set[str] = {row.address for row in claimed.steps if row.kind in REPLAYED}
        self.ahead |= {row.address for row in claimed.waits if row.kind in REPLAYED}
        self.now = claimed.now  # the database's clock as last heard
        self.ending: Outcome | None = None
        self.task: asyncio.Task[Any] | None = None  # the async flow's task, to be cancelled
        self.suspicious = claimed.starts > 1
        self._began = desk.world.monotonic()
        self._lock = threading.Lock()
        self._shielded = False
        self.failure: str | None = None  # of the flow, while its alternative is performed
        self._busy = 1
        self._blocked: list[Blocked] = []
        self._taken: set[str] = set()
        self.calling: set[str] = set()  # addresses of keyed steps that are being called
        self._passed: dict[str, StepRow] = {}  # timers that are over, not yet kept as such
        self._functions: dict[str, Callable[..., Any]] = {}
        self.overdue: dict[str, threading.Thread] = {}  # bodies that outlived their time-out
        self.undo_numbers = count(1 + last_number(claimed.steps))
        self._rounds: dict[str, int] = rounds(self.kept.get(REWIND))
        self._at_work = 0  # steps with an undo that are under way
        self._rest: asyncio.Future[None] | None = None  # resolved when there are none

    # --- time and checks

    def clock(self) -> int:
        """About what the database's clock says now; for records and hints."""
        return self.run.now + int((self.desk.world.monotonic() - self._began) * 1_000_000)

    def check(self) -> None:
        """Leave the flow if its ending is decided."""
        if self.ending is not None:
            self.unwind()

    def check_forward(self) -> None:
        """The same for a call that the flow makes: from what is left of a flow that is over, none
        gets through while its undos are under way."""
        if self.ending is not None or self._is_stray():
            self.unwind()

    def _is_stray(self) -> bool:
        """Whether this is a task or thread that a flow has left behind, and not the undoing."""
        return self._shielded and isinstance(current.get(), FlowScope)

    def stamped(self, address: str) -> str:
        """The address that keys and ids are made from. Where a person has rewound the run, what is
        done again isn't a repetition of what was done before."""
        again = self._rounds.get(address)
        return address if again is None else f"{address}@{again}"

    def room_for(self, address: str) -> None:
        """Refuse one checkpoint too many. What is kept is found again, limit or not."""
        if len(self.kept) >= limits.STEPS and address not in self.kept:
            raise Refused(
                f"Run {self.run.id} has {limits.STEPS:,} checkpoints, the limit of one run. "
                "Hand the rest of the work to a child run."
            )

    @property
    def is_replaying(self) -> bool:
        """Whether the flow's code has been here before: calls that were kept are still to come."""
        return bool(self.ahead)

    def unwind(self) -> NoReturn:
        raise asyncio.CancelledError if asyncio._get_running_loop() else Unwind

    # --- writing

    def saving(self, row: StepRow, **extra: Any) -> SaveStep:
        """The verb that keeps a checkpoint of this attempt."""
        verb = self.verb(row, **extra)
        self.was_kept(row)
        return verb

    def verb(self, row: StepRow, **extra: Any) -> SaveStep:
        """The same verb for a checkpoint that may still come to nothing; then see `was_kept`."""
        return SaveStep(self.run.id, self.run.attempt, row, clears_starts=self.suspicious, **extra)

    def was_kept(self, row: StepRow) -> None:
        self.kept[row.address] = row
        self.ahead.clear()
        self.suspicious = False

    def forget(self, prefix: str) -> None:
        """What `SaveStep.forgets` says, in memory."""
        gone = [a for a in list(self.kept) if a.startswith(prefix) and f"undo {a}" not in self.kept]
        for address in gone:
            del self.kept[address]
        for rows in (self.waits, self._passed):
            for address in [a for a in list(rows) if a.startswith(prefix)]:
                del rows[address]

    def passed(self, address: str) -> None:
        """A timer is over. Its wait row is due and says so until the run parks, when the row goes:
        the checkpoint is written then, in the same transaction."""
        now = self.clock()
        row = StepRow(address, "sleep", "timer", "done", started_at=now, finished_at=now)
        self._passed[address] = row

    def keep_passed(self) -> None:
        """The run ends and its wait rows go; a person may still retry it, and it won't sleep
        again."""
        for row in self._passed.values():
            self.desk.post(self.saving(row))

    def forget_failures(self, failed: Sequence[str]) -> None:
        """The flow will be tried again: the steps it failed of get all their tries anew, and locks
        that the error has taken from it are asked for again. Where it isn't known which they were,
        that goes for all that failed."""
        for row in list(self.kept.values()):
            killer = read(row.error).get("deaths", 0) >= limits.DEATHS
            wanted = row.kind in ("step", "lock") and (not failed or row.address in failed)
            if wanted and row.state == "failed" and not killer:
                self.desk.post(self.saving(replace(row, state="trying", tries=0)))

    def not_kept(self, error: LeaseLost | StoreError) -> NoReturn:
        """A write was refused or failed: leave."""
        self.end(ending_for(error))
        self.unwind()

    def heed(self, done: Future[Any]) -> None:
        """A callback for what the flow has under way beside its steps, a start or an event: its
        failure is no business of the author's `except` either."""
        error = None if done.cancelled() else done.exception()
        if isinstance(error, LeaseLost | StoreError):
            self.end(ending_for(error))

    def end(self, outcome: Outcome) -> None:
        """Decide the ending (the first decision stands) and unwind whoever is inside the flow."""
        with self._lock:
            if self._shielded and isinstance(outcome, Cancelled):
                return
            if self.ending is None:
                self.ending = outcome
            blocked, self._blocked = self._blocked, []
        for leaf in blocked:
            leaf.wake()
        for body in tuple(self.ongoing):
            body.stop()
        task = self.task
        if task is None or here() is task:
            return  # it leaves by itself, see `leave`; cancelling as well would strike twice
        if asyncio._get_running_loop() is task.get_loop():
            task.cancel()
        else:
            with suppress(RuntimeError):  # the worker's loop has been closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    def mismatch(self, address: str, what: str) -> NoReturn:
        """The code doesn't fit what is kept. Decided here: an author's `except` changes nothing."""
        error = CodeMismatch(address, what)
        self.end(NeedsAttention(as_json(error)))
        raise error

    # --- undoing

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A step with an undo is under way, in whatever task or thread."""
        with self._lock:
            over = self.ending is not None or self._shielded
            self._at_work += not over
        if over:
            self.unwind()
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                rest = self._rest if not self._at_work else None
            if rest is not None:
                with suppress(RuntimeError):  # the worker's loop has been closed
                    rest.get_loop().call_soon_threadsafe(resolve, rest)

    async def at_rest(self) -> None:
        """Wait until no step that can be undone is under way: what a flow has left behind in tasks
        and threads of its own is told to leave, but a body in a thread can't be stopped."""
        with self._lock:
            if self._at_work:
                self._rest = asyncio.get_running_loop().create_future()
        if self._rest is not None:
            await self._rest
        for address, thread in list(self.overdue.items()):
            if f"undo {address}" in self.kept:
                await ended(thread)

    def begin_undoing(self) -> None:
        """The flow is at rest; its undos begin, as a single leaf that no cancel reaches."""
        self._begin_anew(Failed, Cancelled, shielded=True)

    def begin_alternative(self, failure: str) -> None:
        """The flow is over; its alternative begins, as a single leaf that a cancel reaches."""
        self._begin_anew(Failed, shielded=False)
        self.failure = failure

    def _begin_anew(self, *endings: type[Outcome], shielded: bool) -> None:
        """Forget an ending of these kinds: it was the flow's."""
        with self._lock:
            if isinstance(self.ending, endings):
                self.ending = None
            self._shielded = shielded
            self._busy = 1
            self._blocked = []

    # --- leaves

    def fork(self, branches: int) -> None:
        """A gather opens: its branches are leaves in place of the one that opened it."""
        if self._is_stray():
            return
        with self._lock:
            self._busy += branches - 1

    def branch_ended(self, remaining: int) -> None:
        """One branch is done. The last one hands its place back to the leaf that opened the
        gather."""
        if remaining and not self._is_stray():
            with self._lock:
                self._busy -= 1
            self._park_if_idle()

    def enter(self, blocked: Blocked) -> None:
        """A leaf enters a wait. Parks the run if it was the last busy one."""
        if self._is_stray():
            self.unwind()
        with self._lock:
            self._busy -= 1
            self._blocked.append(blocked)
            busy = self._busy
        if busy:
            self._record(blocked)
        else:
            self._park_if_idle()

    def withdraw(self, blocked: Blocked) -> None:
        """The author's own code cancelled a leaf inside a wait: it is busy again."""
        with self._lock:
            if blocked in self._blocked:
                self._blocked.remove(blocked)
                self._busy += 1

    def stay_for(self, address: str) -> None:
        """A body that outlived its time-out still runs: stay in memory until it returns, since the
        next try has to wait for it."""
        thread = self.overdue.get(address)
        if thread is None or not thread.is_alive():
            return
        self.fork(2)
        undoing = self._shielded

        def watch() -> None:
            self.desk.world.join(thread)
            if undoing == self._shielded:
                self.branch_ended(1)

        self.desk.world.thread(watch, "backroom-overdue")

    def leave(self) -> None:
        """The leaf goes on; `news` has counted it as busy again already."""
        self.check_forward()

    def _record(self, blocked: Blocked) -> None:
        """The wait stays in memory: note when it began, so that a crash doesn't start it anew."""
        missing = tuple(row for row in blocked.rows if row.address not in self.waits)
        self.desk.watch()
        if not missing:
            return
        verb = SaveWaits(self.run.id, self.run.attempt, missing)
        if asyncio._get_running_loop() is not None:
            self.desk.submit(verb).add_done_callback(self._recorded)
            return
        try:
            self._keep_waits(self.desk.call(verb))
        except (LeaseLost, StoreError) as error:
            self.not_kept(error)

    def _recorded(self, done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._keep_waits(done.result())
        else:
            self.end(ending_for(error))

    def _keep_waits(self, rows: Sequence[WaitRow]) -> None:
        for row in rows:
            self.waits[row.address] = row

    def _park_if_idle(self) -> None:
        with self._lock:
            if self._busy or self.ending is not None or not self._blocked:
                return
            rows = {row.address: row for leaf in self._blocked for row in leaf.rows}
            # Decided under the lock: a leaf that news woke after this sees it and unwinds.
            passed = tuple(self._passed.values())
            over = self._shielded or self.failure is not None
            waits = tuple(rows.values())
            self.ending = Parked(waits, passed, backwards=self._shielded, timeless=over)
        self.end(self.ending)

    def news(
        self,
        now: int,
        mail: Sequence[Mail],
        ended: Sequence[RunRow],
        over: Sequence[str] = (),
        held: Sequence[str] = (),
    ) -> None:
        """What the engine has seen of our waits. Wakes the leaves that may go on."""
        self.now = max(self.now, now)
        with self._lock:
            known = self._taken.union(letter.id for letter in self.mail)
            self.mail.extend(letter for letter in mail if letter.id not in known)
            self.ended.update((row.id, row) for row in ended)
            self.over.update(over)
            self.locked.update(held)
            woken = [leaf for leaf in self._blocked if leaf.ready()]
            self._blocked = [leaf for leaf in self._blocked if leaf not in woken]
            self._busy += len(woken)
        for leaf in woken:
            leaf.wake()

    def children(self) -> list[str]:
        """The runs that waits in memory wait for."""
        return self._awaited("child")

    def windows(self) -> list[str]:
        """The windows of children that waits in memory wait for."""
        return self._awaited("children")

    def waits_for_locks(self) -> bool:
        """Whether waits in memory wait for locks."""
        return bool(self._awaited("lock"))

    def _awaited(self, kind: str) -> list[str]:
        with self._lock:
            return [row.name for leaf in self._blocked for row in leaf.rows if row.kind == kind]

    # --- what waits look at

    def is_due(self, address: str) -> bool:
        row = self.waits.get(address)
        return row is not None and row.due_at is not None and row.due_at <= self.now

    def due_at(self, address: str) -> int:
        row = self.waits.get(address)
        return FOREVER if row is None or row.due_at is None else row.due_at

    def has_lock(self, address: str) -> bool:
        return address in self.locked

    def letter(self, name: str, problem: Callable[[Mail], str | None]) -> Mail | None:
        """The oldest unread event of that name that has no problem, left where it is."""
        named = (letter for letter in self.mail if letter.name == name)
        return next((letter for letter in named if problem(letter) is None), None)

    def take(self, letter: Mail) -> None:
        """It is being consumed: no other wait of this attempt may take it too."""
        with self._lock:
            self.mail.remove(letter)
            self._taken.add(letter.id)

    # --- guards

    def know(self, name: str, function: Callable[..., Any]) -> None:
        """Two different steps of one name in one run would answer for each other."""
        if self._functions.setdefault(name, function) is not function:
            raise Refused(
                f"Two different steps of this flow are called {name!r}, so their results "
                "would be mixed "
                "up. Give one of them another name: @step(name=...)."
            )

    def must_not_block_loop(self, name: str) -> None:
        if asyncio._get_running_loop() is not None:
            raise Refused(
                f"{name} is a `def` step called inside an `async def` flow, where it would "
                "block every "
                f"other run of this worker. Write `await asyncio.to_thread({name}, ...)`, or "
                "make it `async def`."
            )


def resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def ended(thread: threading.Thread) -> None:
    """Wait for the end of a thread, without a thread that the program's end would wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def watch() -> None:
        thread.join()
        with suppress(RuntimeError):  # the worker's loop has been closed
            loop.call_soon_threadsafe(resolve, future)

    threading.Thread(target=watch, name="backroom-overdue", daemon=True).start()
    await future
