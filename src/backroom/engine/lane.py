"""A lane: one thread with one connection that commits whatever has come in.

Group commit without a timer. While one commit is being synced the next verbs queue up; when it is
done they go together into the next transaction. Alone, a verb waits for nobody; in a crowd a
thousand share one sync.

    submit ─▶ queue ─▶ [ lane's thread: take all ─▶ one transaction ─▶ commit ] ─▶ answers
                                     ▲                                     │
                                     └────────── meanwhile, more ──────────┘

A thread that waits for its answer needs no other thread while nobody else wants anything: it takes
the lane's turn and commits by itself, which saves two hops between threads, as much as a statement
costs.

A worker's loop performs many runs in one turn. What they submit goes to the lane together at the
turn's end; else the lane would take the first, and fight with the rest for the interpreter's lock.

A process has two lanes. `main` carries what its own attempts write; `doors` what may have to wait
for other people's locks (keyed starts, events), so that a caller's long transaction holds up
nobody's checkpoint. Leases are renewed elsewhere (`engine/lease.py`).

When the world fails, the lane tries again with the same ids: every verb but `Claim` is repeatable.
A verb that breaks the whole batch (a value the database chokes on) is found by halving the batch,
so that it fails alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from backroom.engine.world import World
from backroom.records import limits
from backroom.records.errors import (
    BackroomError,
    Busy,
    OutcomeUnknown,
    SchemaError,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from backroom.store.protocol import Session
from backroom.store.verbs import Claim, Verb

__all__ = ["Lane"]

log = logging.getLogger("backroom.store")
FIRST_PAUSE_SECONDS = 0.05  # before the database is asked again; doubled each time
BATCH = 1_000  # verbs in one transaction: beyond it nothing is won, and a failure costs more


class _Ticket:
    """Verbs that belong in one transaction, mostly one, and whoever waits for the answer: an
    asyncio future, a callback in a loop, a thread's future, or nobody."""

    __slots__ = ("future", "is_group", "loop", "then", "verbs")

    def __init__(
        self,
        verbs: tuple[Verb, ...],
        future: Any,
        loop: asyncio.AbstractEventLoop | None,
        *,
        then: Callable[[Any], None] | None = None,
        is_group: bool = False,
    ) -> None:
        self.verbs = verbs
        self.future = future
        self.loop = loop
        self.then = then
        self.is_group = is_group  # answered with the list of answers


class Lane:
    """Verbs go in from any thread or loop; answers come out after their commit."""

    def __init__(
        self,
        make_session: Callable[[], Session],
        name: str,
        *,
        patience_seconds: float = 30.0,
        after_commit: Callable[[Sequence[Verb]], None] | None = None,
        world: World | None = None,
    ) -> None:
        self._session = make_session()  # opens its connection at the first use
        self.patience_seconds = patience_seconds  # how long a failing database is tried again
        self._after_commit = after_commit
        self._queue: SimpleQueue[_Ticket | None] = SimpleQueue()
        self._turns: dict[asyncio.AbstractEventLoop, list[_Ticket]] = {}  # not yet over
        self._turn = threading.Lock()  # held by whoever commits
        self._waiting = False  # something may be queued
        self._closed = False
        self._world = world or World()
        self._thread: threading.Thread | None = None
        if not self._world.simulated:
            self._thread = self._world.thread(self._work, f"backroom-{name}")

    # --- in

    def submit(self, verb: Verb) -> asyncio.Future[Any]:
        """From a loop: a future of that loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._put_with_turn(_Ticket((verb,), future, loop), loop)
        return future

    def tell(self, verb: Verb, then: Callable[[Any], None]) -> None:
        """From a loop: call `then` with the answer, an error included. Where nobody awaits, a
        future would only cost."""
        loop = asyncio.get_running_loop()
        self._put_with_turn(_Ticket((verb,), None, loop, then=then), loop)

    def future(self, verb: Verb, *, waits: bool = False) -> Future[Any]:
        """From anywhere: a thread-safe future. `waits`: the calling thread has nothing to do until
        it is done."""
        return self._ask(_Ticket((verb,), self._world.future(), None), waits=waits)

    def together(self, verbs: Iterable[Verb], *, waits: bool = False) -> Future[list[Any]]:
        """All of these in one transaction, or none; the list of their answers."""
        return self._ask(
            _Ticket(tuple(verbs), self._world.future(), None, is_group=True), waits=waits
        )

    def call(self, verb: Verb) -> Any:
        """From a thread that can wait; refusals are raised."""
        return self.future(verb, waits=True).result()

    def post(self, verb: Verb) -> None:
        """Nobody waits for the answer."""
        ticket = _Ticket((verb,), None, None)
        loop = asyncio._get_running_loop()
        if loop is None:
            self._put(ticket)
        else:
            self._put_with_turn(ticket, loop)

    def _ask(self, ticket: _Ticket, *, waits: bool) -> Future[Any]:
        waits = waits and self._thread is not None
        if waits and not self._waiting and self._turn.acquire(blocking=False):
            try:
                self._check_intake(0)
                self._perform(self._session, [ticket])
            finally:
                self._turn.release()
        else:
            self._put(ticket)
        future: Future[Any] = ticket.future
        return future

    def _put(self, ticket: _Ticket) -> None:
        self._check_intake(self._queue.qsize())
        self._waiting = True
        self._queue.put(ticket)
        if self._thread is None:
            self._world.knock(self)

    def _put_with_turn(self, ticket: _Ticket, loop: asyncio.AbstractEventLoop) -> None:
        turn = self._turns.get(loop)
        if turn is None:
            self._check_intake(self._queue.qsize())
            turn = self._turns[loop] = []
            loop.call_soon(self._end_turn, loop)
        self._check_intake(len(turn))
        turn.append(ticket)

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = self._turns.pop(loop)
        if self._closed:
            _deliver(turn, [closed()] * len(turn))
            return
        self._waiting = True
        for ticket in turn:
            self._queue.put(ticket)
        if self._thread is None:
            self._world.knock(self)

    def _check_intake(self, waiting: int) -> None:
        if self._closed:
            raise closed()
        if waiting >= limits.INTAKE_OPS:
            raise Busy(
                f"{limits.INTAKE_OPS:,} calls wait for the database already. Nothing of this "
                "one was stored; try again in a moment."
            )

    def close(self) -> None:
        """Commit what is queued, then stop. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if self._thread is None:
            while self.step():
                pass
            self._session.close()
        elif threading.current_thread() is not self._thread:
            self._thread.join()

    def step(self) -> bool:
        """Commit what waits, in the caller's thread; whether there was anything. For simulations,
        in whose world a lane has no thread."""
        batch: list[_Ticket] = []
        self._take(batch)
        if batch:
            self._perform(self._session, batch)
        return bool(batch)

    # --- the thread

    def _work(self) -> None:
        last = False
        while not last:
            first = self._queue.get()
            with self._turn:
                # Before the look, so that what comes after it says so again.
                self._waiting = False
                if first is None:
                    break
                batch = [first]
                last = self._take(batch)
                if len(batch) == BATCH:
                    self._waiting = True  # there may be more, which nobody may overtake
                self._perform(self._session, batch)
        with self._turn:
            self._session.close()

    def _take(self, batch: list[_Ticket]) -> bool:
        """All that has come in, up to a batch. Whether it was the last."""
        with contextlib.suppress(Empty):
            while len(batch) < BATCH:
                ticket = self._queue.get_nowait()
                if ticket is None:
                    return True
                batch.append(ticket)
        return False

    def _perform(self, session: Session, batch: list[_Ticket]) -> None:
        """One batch to its end: every ticket gets an answer or an error."""
        try:
            self._commit(session, batch)
        except (OutcomeUnknown, StoreUnavailable) as error:
            self._again(session, batch, error)
        except (StoreFull, StoreDamaged, SchemaError) as error:
            _deliver(batch, [error] * len(batch))
        except Exception as error:
            if len(batch) == 1:
                verb = batch[0].verbs[0]
                log.error("The store failed at %s: %s", type(verb).__name__, error)
                _deliver(batch, [_wrapped(error, verb)])
                return
            middle = len(batch) // 2
            self._perform(session, batch[:middle])
            self._perform(session, batch[middle:])

    def _commit(self, session: Session, batch: Sequence[_Ticket]) -> None:
        """One transaction, and the answers to those who wait. Raises if it didn't go through."""
        verbs = [verb for ticket in batch for verb in ticket.verbs]
        answers = session.apply(verbs)
        if len(verbs) > len(batch) or any(ticket.is_group for ticket in batch):
            answers = _grouped(batch, answers)
        _deliver(batch, answers)
        if self._after_commit is not None:
            self._after_commit(verbs)

    def _again(self, session: Session, batch: list[_Ticket], error: StoreError) -> None:
        """The database failed us. Claims fail (the worker looks again); the rest is tried again,
        with the same ids, until it goes through or our patience ends."""
        claims = [ticket for ticket in batch if isinstance(ticket.verbs[0], Claim)]
        rest = [ticket for ticket in batch if not isinstance(ticket.verbs[0], Claim)]
        _deliver(claims, [error] * len(claims))
        if not rest:
            return
        began = self._world.monotonic()
        pause = FIRST_PAUSE_SECONDS
        unknown = isinstance(error, OutcomeUnknown)
        while self._world.monotonic() < began + self.patience_seconds:  # may be lowered meanwhile
            if not unknown:
                self._world.sleep(pause)
                pause = min(pause * 2, 2.0)
            unknown = False
            try:
                self._commit(session, rest)
            except (OutcomeUnknown, StoreUnavailable) as again:
                error = again
            except Exception:
                self._perform(session, rest)
                return
            else:
                return
        log.error("Giving up on %d calls: %s", len(rest), error)
        _deliver(rest, [error] * len(rest))


def closed() -> StoreUnavailable:
    return StoreUnavailable("This Backroom has been closed. Open a new one.")


def _grouped(tickets: Sequence[_Ticket], answers: Sequence[object]) -> list[object]:
    """One answer a ticket: a group's is the list of its verbs' answers."""
    taken = 0
    found: list[object] = []
    for ticket in tickets:
        own = list(answers[taken : taken + len(ticket.verbs)])
        taken += len(own)
        found.append(own if ticket.is_group else own[0])
    return found


def _wrapped(error: Exception, verb: Verb) -> BackroomError:
    if isinstance(error, BackroomError):
        return error
    failed = StoreError(f"The database refused {type(verb).__name__}: {error}")
    failed.__cause__ = error
    return failed


def _deliver(tickets: Sequence[_Ticket], answers: Sequence[object]) -> None:
    """Resolve the futures; those of one loop together, since waking a loop costs more than a
    future."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Ticket, object]]] = {}
    for ticket, answer in zip(tickets, answers, strict=True):
        if ticket.loop is not None:
            by_loop.setdefault(ticket.loop, []).append((ticket, answer))
        elif ticket.future is None:
            continue
        elif isinstance(answer, BaseException):
            ticket.future.set_exception(answer)
        else:
            ticket.future.set_result(answer)
    for loop, pairs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: Sequence[tuple[_Ticket, object]]) -> None:
    for ticket, answer in pairs:
        future = ticket.future
        if ticket.then is not None:
            ticket.then(answer)
        elif future.done():
            continue
        elif isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
