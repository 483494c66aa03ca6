"""The supervising process: starts the workers, renews their leases, and replaces what dies.

It imports none of the user's code and does nothing but wait, so nothing a run does can keep it from
renewing: a body that holds the interpreter's lock for minutes stops its own process only.

    supervisor ──spawn──▶ child 1   worker: imports the application, performs runs
        │      ──spawn──▶ child 2   worker
        │      ──spawn──▶ child 3   web server (`backroom serve`)
        └─ one Renew for all, three times per lease (engine/renewals.py)

What it does when

    a child dies                its lease is given up at once, so its runs are ready for others; a
                                new child under a new id takes its place, after a pause that
                                doubles while children die young
    the first can't begin       if it said why, that is the end; if it died without a word (killed,
                                out of memory), it is started again, up to five times in all
    a child is stopped          it isn't renewed and its lease runs out (engine/renewals.py)
    a lease has been lost       the child is killed, since all it could still send would be refused
    a child knows of suspects   runs that may have killed it before: as many extra children as there
                                are workers, at most, perform them one at a time each, and exit
                                when none are left (rules/suspicion.py)
    SIGTERM, SIGINT             every child finishes or hands back within the grace, then exit 0
    the same again              every child is killed; its runs are handed back without a mark
    SIGHUP                      one after another: a new child is started, and once it is ready the
                                old one stops; if it doesn't get ready the old ones stay
    it is killed itself         the children see the end of their line (engine/leash.py), claim no
                                more and stop gracefully, keeping their leases meanwhile

Children are spawned, never forked, each in a process group of its own: a Ctrl-C in a terminal
reaches the supervisor alone, which passes it on as a message. So a signal that the system sends to
every process of a service doesn't count as the second one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from backroom.engine.leash import Message, SupervisorEnd
from backroom.engine.renewals import Renewals
from backroom.engine.world import World
from backroom.store.protocol import Store

__all__ = ["Job", "StartFailed", "Supervisor"]

log = logging.getLogger("backroom.supervisor")
T = TypeVar("T")

FALSE_STARTS = 5  # so many deaths in a row before anything was ready, and it gives up
YOUNG_SECONDS = 10.0  # a child that dies before this age is replaced after a growing pause
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
BEYOND_GRACE_SECONDS = 5.0  # what a child gets beyond the grace to hand back and exit


class StartFailed(Exception):
    """A child could not begin at all. The message says why, as the child put it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one child is to do.

    command     the program and its arguments; the descriptor of its line is added
    plan        what it is told over the line
    leased      whether it is a worker, with a lease to be renewed
    inherits    file descriptors that it gets (a listening socket)
    """

    what: str
    command: tuple[str, ...]
    plan: Message = field(default_factory=dict)
    leased: bool = True
    inherits: tuple[int, ...] = ()


class Place:
    """Where one child stands; children come and go, the place stays."""

    def __init__(self, job: Job, *, on_demand: bool = False) -> None:
        self.job = job
        self.on_demand = on_demand  # its child comes when it is wanted, and goes by itself
        self.child: Child | None = None
        self.successor: Child | None = None  # started to replace it in a rolling restart
        self.proven = on_demand  # a child of it has been ready, or needn't be
        self.false_starts = 0  # deaths before any child of it was ready
        self.young_deaths = 0
        # When to start the next one; None: not.
        self.start_at: float | None = None if on_demand else 0.0


class Child:
    def __init__(
        self, place: Place, worker_id: str, process: subprocess.Popen[bytes], line: SupervisorEnd
    ) -> None:
        self.place = place
        self.worker_id = worker_id
        self.process = process
        self.line = line
        self.started_at = time.monotonic()
        self.grace = 20.0
        self.renewals: Renewals | None = None
        self.ready = False
        self.failed: str | None = None
        self.stop_by: float | None = None  # told to stop; killed when it is still there then

    @property
    def name(self) -> str:
        return f"{self.place.job.what} {self.process.pid}"


class Supervisor:
    """Runs children until it is told to stop.

    make_store  from what a child says about its database to a store
    suspects    jobs for children that perform suspects, started when some are waiting
    on_hello    called with the first child's settings, before any other child is started
    on_ready    called once, when all children are ready
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        make_store: Callable[[Message], Store],
        *,
        suspects: Sequence[Job] = (),
        on_hello: Callable[[Message], None] = lambda settings: None,
        on_ready: Callable[[], None] = lambda: None,
        world: World | None = None,
    ) -> None:
        self._make_store = make_store
        self._on_hello = on_hello
        self._on_ready = on_ready
        self._world = world or World()
        self._places = [Place(job) for job in jobs]
        self._demanded = [Place(job, on_demand=True) for job in suspects]
        self._children: list[Child] = []
        self._renewals: dict[str, Renewals] = {}
        self._answers: SimpleQueue[tuple[float, frozenset[str], frozenset[str]]] = SimpleQueue()
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._rolling: list[Place] = []
        self._failure: str | None = None
        self._stopping = False
        self._forced = 0
        self._all_ready = False

    def run(self) -> int:
        """Until a signal says stop. The exit code. Raises StartFailed."""
        with self._woken_by_signals():
            try:
                while not self._stopping or self._children:
                    self._turn()
            finally:
                for child in self._children:
                    child.process.kill()
                    child.process.wait()
                for renewals in self._renewals.values():
                    renewals.close()
                self._selector.close()
        if self._failure is not None:
            raise StartFailed(self._failure)
        return 128 + self._forced if self._forced else 0

    def _turn(self) -> None:
        """Sleep until something happens; see to it."""
        self._start_due()
        for key, _ in self._selector.select(self._seconds_to_next()):
            if isinstance(key.data, Child):
                self._hear(key.data)
            else:
                key.data()
        self._heed_signals()
        self._heed_answers()
        self._reap()
        self._kill_overdue()

    def _seconds_to_next(self) -> float | None:
        times = [child.stop_by for child in self._children if child.stop_by is not None]
        times += [place.start_at for place in self._startable() if place.start_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    # --- starting

    def _startable(self) -> list[Place]:
        """The places that may be filled. The first goes ahead: what is wrong with the application
        is then said once, and the database is set up by one."""
        if self._stopping:
            return []
        if not self._places[0].proven:
            return self._places[:1]
        return self._places + self._demanded

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._startable():
            if place.start_at is not None and place.start_at <= now:
                place.start_at = None
                place.child = self._spawn(place)

    def _spawn(self, place: Place) -> Child:
        worker_id = self._world.new_id()
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603  our own program, started without a shell
                [*place.job.command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *place.job.inherits),
                process_group=0,
            )
        child = Child(place, worker_id, process, SupervisorEnd(ours))
        child.line.tell(plan={**place.job.plan, "worker_id": worker_id, "parent": os.getpid()})
        self._children.append(child)
        self._selector.register(ours, selectors.EVENT_READ, child)
        return child

    # --- what children say

    def _hear(self, child: Child) -> None:
        messages, gone = child.line.read()
        for message in messages:
            match message:
                case {"hello": settings}:
                    self._meet(child, settings)
                case {"ready": _}:
                    self._is_ready(child)
                case {"suspects": count}:
                    self._summon(int(count))
                case {"failed": why}:
                    child.failed = str(why)
        if gone:
            self._selector.unregister(child.line)
            child.line.close()

    def _meet(self, child: Child, settings: Message) -> None:
        child.grace = settings["grace"]
        if not self._renewals:
            self._on_hello(settings)
        if not child.place.job.leased:
            return
        # One for all, as a rule; a rolling restart may bring in other settings.
        address = json.dumps([settings["store"], settings["lease"]], sort_keys=True)
        if address not in self._renewals:
            store = self._make_store(settings["store"])
            self._renewals[address] = Renewals(store, settings["lease"], self._answered)
        child.renewals = self._renewals[address]

    def _summon(self, suspects: int) -> None:
        """Start children for so many suspects, where there is a place."""
        for place in self._demanded[:suspects]:
            if place.child is None and place.start_at is None:
                place.start_at = time.monotonic()

    def _is_ready(self, child: Child) -> None:
        place = child.place
        child.ready = place.proven = True
        log.log(
            logging.DEBUG if place.job.leased else logging.INFO, "%s is ready", child.name
        )  # a worker says so itself
        if child.renewals is not None:
            child.renewals.add(child.worker_id, child.process.pid)
        if self._stopping:
            self._stop(child)
        elif child is place.successor:
            predecessor, place.child, place.successor = place.child, child, None
            if predecessor is not None:
                self._stop(predecessor)
            else:
                self._roll_on()
        elif not self._all_ready and all(p.child and p.child.ready for p in self._places):
            self._all_ready = True
            self._on_ready()

    # --- leases

    def _answered(self, asked: float, ids: frozenset[str], alive: frozenset[str]) -> None:
        """From the renewing thread."""
        self._answers.put((asked, ids, alive))
        self._wake()

    def _heed_answers(self) -> None:
        for asked, ids, alive in drained(self._answers):
            for child in self._children:
                if child.worker_id in alive:
                    child.line.tell(renewed=asked)
                elif child.worker_id in ids and child.ready and child.stop_by is None:
                    log.error("%s missed its lease; its runs are in other hands", child.name)
                    child.process.kill()

    # --- deaths

    def _reap(self) -> None:
        for child in [c for c in self._children if c.process.poll() is not None]:
            with contextlib.suppress(KeyError, ValueError):
                self._hear(child)  # its last words
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.line)
            child.line.close()
            self._children.remove(child)
            self._bury(child)

    def _bury(self, child: Child) -> None:
        expected = child.stop_by is not None
        if child.renewals is not None and child.failed is None:
            child.renewals.retire(child.worker_id, lost=not expected)
        place = child.place
        finished = place.on_demand and child.process.returncode == 0
        if not expected and not finished and child.failed is None:
            level = logging.ERROR if child.process.returncode else logging.WARNING
            log.log(level, "%s %s", child.name, ending(child.process.returncode))
        if not place.proven and not self._stopping and (why := self._false_start(child)):
            self._failure = why
            self._stop_all()
        elif child is place.child:
            place.child = None
            if finished:
                place.young_deaths = 0
            elif place.successor is None:
                self._start_again(place, child)
        elif child is place.successor:
            place.successor = None
            self._rolling.clear()
            log.error("The restart is off: %s", child.failed or "the new one died")
            if place.child is None:
                self._start_again(place, child)
        else:
            self._roll_on()

    def _false_start(self, dead: Child) -> str | None:
        """Why nothing of this kind can begin; None: what killed it may have been an accident."""
        dead.place.false_starts += 1
        if dead.failed or dead.place.false_starts < FALSE_STARTS:
            return dead.failed
        return (
            f"The {dead.name} {ending(dead.process.returncode)} before it was ready, as did the "
            f"{FALSE_STARTS - 1} before it. Look at what they printed, and whether the machine has "
            "memory left."
        )

    def _start_again(self, place: Place, dead: Child) -> None:
        now = time.monotonic()
        if now - dead.started_at >= YOUNG_SECONDS:
            place.young_deaths = 0
            place.start_at = now
        else:
            pause = min(FIRST_PAUSE_SECONDS * 2**place.young_deaths, LONGEST_PAUSE_SECONDS)
            place.young_deaths = min(place.young_deaths + 1, 16)
            place.start_at = now + pause
        if dead.failed and not self._stopping:
            log.error("%s can't begin: %s", dead.name, dead.failed)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.stop_by is not None and child.stop_by <= now:
                log.error("%s doesn't stop and is killed", child.name)
                child.process.kill()
                child.stop_by = now + LONGEST_PAUSE_SECONDS

    # --- being told

    def _heed_signals(self) -> None:
        for signum in drained(self._signals):
            if signum == signal.SIGHUP:
                if not self._stopping and not self._rolling:
                    log.info("restarting, one after another")
                    self._rolling = [place for place in self._places if place.child is not None]
                    for place in self._demanded:
                        if place.child is not None:  # with the new code when they are wanted again
                            self._stop(place.child)
                    self._roll_on()
            elif not self._stopping:
                log.info("stopping")
                self._stop_all()
            else:
                self._forced = signum
                log.warning("stopping now")
                for child in self._children:
                    child.stop_by = child.stop_by or time.monotonic() + BEYOND_GRACE_SECONDS
                    child.process.kill()

    def _roll_on(self) -> None:
        if self._rolling and not self._stopping:
            place = self._rolling.pop(0)
            place.successor = self._spawn(place)

    def _stop_all(self) -> None:
        self._stopping = True
        for child in self._children:
            self._stop(child)

    def _stop(self, child: Child) -> None:
        if child.stop_by is None:
            child.stop_by = time.monotonic() + child.grace + BEYOND_GRACE_SECONDS
            if child.ready and child.place.job.leased:
                child.line.tell(stop=True)
            else:
                child.process.terminate()

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        """Signals, a child's end among them, end the sleep of `_turn`."""
        hears, self._wakes = socket.socketpair()
        hears.setblocking(False)
        self._wakes.setblocking(False)

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                while hears.recv(4096):
                    pass

        self._selector.register(hears, selectors.EVENT_READ, drain)
        before: list[tuple[int, Any]] = [
            (signum, signal.signal(signum, lambda number, _: self._signals.put(number)))
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        ]
        before.append((signal.SIGCHLD, signal.signal(signal.SIGCHLD, lambda number, _: None)))
        fd = signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd)
            for signum, handler in before:
                signal.signal(signum, handler)
            hears.close()
            self._wakes.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wakes.send(b"\0")


def ending(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"was killed by signal {-returncode}"


def drained(queue: SimpleQueue[T]) -> Iterator[T]:
    with contextlib.suppress(Empty):
        while True:
            yield queue.get_nowait()
