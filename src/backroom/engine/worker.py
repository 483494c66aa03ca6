"""The worker: claims runs, performs many at once, and looks after them until they end.

One asyncio loop. Its main task claims: it asks for as many runs as it has room for, in the same
transaction in which the lane commits what the last ones have ended with. Beside it three duties
run, each a loop of its own: `_bring_news` to waits in memory, `_heed_cancels`, and `_rescue` of
runs whose worker has died.

When to look for work. A doorbell says "now"; the answer to the last claim says when the next timer
is due; on SQLite a cheap look at the file's change counter catches writers that ring no bell; and a
plain claim every `poll_seconds` catches everything else. With every doorbell cut off all works,
slower.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from backroom.engine.attempt import Attempt, ending_verb
from backroom.engine.handler import Handler
from backroom.engine.lease import Keeper, LeaseTerm
from backroom.engine.office import Office
from backroom.records import limits
from backroom.records.errors import BackroomError, StoreError
from backroom.records.outcome import (
    Cancelled,
    Failed,
    HandedBack,
    Lost,
    NeedsAttention,
    Outcome,
    TryAgain,
)
from backroom.records.queues import Pruned
from backroom.records.runs import Claimed, Claims, Mail, RunRow, WorkerRow
from backroom.store.protocol import Bell, Reader
from backroom.store.verbs import Claim, Expire, HandBack, Prune, Reconcile, Rescue

__all__ = ["Worker", "WorkerSettings"]

log = logging.getLogger("backroom.worker")

News = tuple[int, list[Mail], list[RunRow], list[str], list[tuple[str, str]]]
"""The time, new mail, runs that have ended, windows that are over, requests that have their
locks."""

SUSPECTS_SECONDS = 1.0  # between two looks for suspects
SUSPECTS = 100  # how many are told of; no supervisor has so many processes for them
EXPIRY_SECONDS = 1.0  # between two looks for runs that have expired
PRUNE_SECONDS = 600.0  # between two walks through the runs that ended long ago
BITE = 100  # runs that are looked at, and removed if old enough, in one transaction
BITE_SECONDS = 0.25  # between two bites of a walk
QUIET_POLL_SECONDS = 1.0  # between two claims of an idle worker that sees the file change
BUSY_SECONDS = 0.005  # until it looks again at a queue whose lock another worker had


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works. Times in seconds.

    queues        which queues it serves; empty: those its flows use
    concurrency   runs performed at once in this process
    lease         after this long without a renewal its runs are given to others
    poll          longest time between two looks for work while idle
    pulse         time between two looks whether SQLite's file has changed, while idle
    grace         how long a stopping worker lets its runs go on before it hands them back
    keep          how long after its end a run is removed; 0: never
    """

    queues: tuple[str, ...] = ()
    concurrency: int = 100
    lease: float = 6.0
    poll: float = 0.2
    pulse: float = 0.02
    grace: float = 20.0
    keep: float = 0.0
    doorbells: bool = True
    renew: bool = True  # False: a supervisor renews the lease
    only_suspects: bool = False  # perform suspects one at a time, and stop when there are none
    worker_id: str = ""
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")


class Worker:
    """Performs runs of one application in this process."""

    def __init__(self, office: Office, handler: Handler, settings: WorkerSettings) -> None:
        self._office = office
        self._handler = handler
        self._settings = settings
        self._term = LeaseTerm(settings.lease)
        self._flows = handler.flows()
        self._queues = settings.queues or handler.queues()
        self.id = settings.worker_id or office.world.new_id()
        self._attempts: dict[str, Attempt] = {}
        self._watching: set[str] = set()
        self._ending: set[tuple[str, int]] = set()  # ended here, not yet in the database
        self._floors: dict[tuple[str, int], int] = {}
        self._full_look_at = 0.0
        self._ruled = False  # some of our queues have rules, as the last claim has told
        self._doubtful = False
        self._stopping = False
        self._hurry = False
        self.on_ready: Callable[[], None] = lambda: None  # called once its lease is on disk
        # Called with the number of suspects that wait. None: this worker performs them itself.
        self.on_suspects: Callable[[int], None] | None = None
        self._suspects = False  # some wait, and it falls to us to perform them
        self._alone = ""  # the suspect that is performed and must have no company
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper | None = None
        self._return: asyncio.Task[None] | None = None  # coming back after a lost lease
        self._bell: Bell | None = None
        self._pulse: Reader | None = None
        self._failures = 0

    # --- life

    async def run(self) -> None:
        """Work until `stop` is called; then finish or hand back what is in hand, and return."""
        self._loop = loop = asyncio.get_running_loop()
        # asyncio.to_thread has a handful of threads by default; every run may want one.
        threads = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="backroom-step")
        loop.set_default_executor(threads)
        await asyncio.to_thread(self._open)
        if self._bell is not None:
            loop.add_reader(self._bell.fileno(), self._rung)
        self._office.on_work.append(self.ring)
        duties = [
            loop.create_task(duty)
            for duty in (
                self._bring_news(), self._heed_cancels(), self._rescue(), self._look_for_suspects(),
                self._expire(), self._prune(),
            )
        ]  # fmt: skip
        if self._settings.only_suspects:
            log.info("worker %s performs suspects alone", self._settings.name)
        else:
            names = ", ".join(self._queues)
            log.info("worker %s is ready for queues %s", self._settings.name, names)
        self.on_ready()
        try:
            if self._settings.only_suspects:
                await self._perform_suspects()
            else:
                await self._claim_and_perform()
            await self._finish()
        finally:
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
            self._office.on_work.remove(self.ring)
            if self._bell is not None:
                loop.remove_reader(self._bell.fileno())
            await asyncio.to_thread(self._close)
            await asyncio.to_thread(self._handler.close)
            threads.shutdown(wait=False)
            # Closing the loop joins its pool: not this one, a step in it may never return.
            loop.set_default_executor(ThreadPoolExecutor(1))

    def stop(self, *, now: bool = False) -> None:
        """Claim no more, let go after the grace, or now. Thread-safe."""
        self._stopping = True
        self._hurry = self._hurry or now
        self.ring()

    def renewed(self, asked: float) -> None:
        """The supervisor has renewed the lease; it asked at this `time.monotonic()`."""
        if self._keeper is not None:
            lapsed = not self._keeper.holds()
            self._keeper.renewed(asked)
            if lapsed:
                self.ring()

    def orphaned(self) -> None:
        """The supervisor is gone: stop, and keep the lease meanwhile."""
        self.stop()
        if self._keeper is not None:
            self._keeper.take_over()

    def ring(self) -> None:
        """There may be work. Thread-safe."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self._wake.set()
        if self._watching:
            self._news.set()

    def _rung(self) -> None:
        assert self._bell is not None
        self._bell.drain()
        self._hear()

    def _open(self) -> None:
        if self._settings.doorbells:
            self._bell = self._office.store.bell()
        self._enter()

    def _enter(self) -> None:
        row = WorkerRow(
            self.id, self._settings.name,
            concurrency=self._settings.concurrency,
            bell="" if self._bell is None else self._bell.address,
            queues=self._queues, flows=self._flows,
        )  # fmt: skip
        self._keeper = Keeper(
            self._office.store, row, self._term, self.lease_lost,
            renew=self._settings.renew, monotonic=self._office.world.monotonic,
        )  # fmt: skip
        self._keeper.start()

    def _close(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()
        if self._bell is not None:
            self._bell.close()

    # --- claiming

    async def _claim_and_perform(self) -> None:
        while not self._stopping:
            room = self._settings.concurrency - len(self._attempts)
            if self._alone in self._attempts:
                room = 0
            self._wake.clear()
            next_look = self._poll_seconds()
            if room > 0 and self._holds_lease():
                claims = await self._claim(room)
                if claims is None:
                    next_look = min(0.05 * 2**self._failures, 5.0)
                else:
                    for run in claims.runs:
                        self._begin(run)
                    learnt = claims.ruled and not self._ruled
                    self._ruled = claims.ruled
                    if len(claims.runs) == room or learnt or await self._take_suspect():
                        continue
                    if claims.busy:
                        next_look = min(next_look, BUSY_SECONDS * (1 + self._office.world.chance()))
                    if claims.next_due_at is not None:
                        next_look = min(
                            next_look, max(0, claims.next_due_at - claims.now) / 1_000_000
                        )
            await self._until_there_may_be_work(next_look)

    def _poll_seconds(self) -> float:
        """How long to wait for a reason to look. Where a change of the file is one, hardly anything
        can have been missed."""
        poll = self._settings.poll
        return max(poll, QUIET_POLL_SECONDS) if self._sees_changes() else poll

    async def _take_suspect(self) -> bool:
        """With nothing else to do, perform a suspect, and nothing beside it. Whether there was
        one."""
        if self._attempts or not self._suspects:
            return False
        claims = await self._claim(1, suspects=True)
        self._suspects = claims is not None and bool(claims.runs)
        for run in claims.runs if claims is not None else ():
            self._alone = run.id
            self._begin(run)
        return self._suspects

    async def _perform_suspects(self) -> None:
        """One after another, until there are none."""
        while not self._stopping:
            self._wake.clear()
            if not self._attempts and self._holds_lease():
                self._suspects = True
                if not await self._take_suspect() and not self._failures:
                    return
            await self._until_there_may_be_work(self._settings.poll)

    def _holds_lease(self) -> bool:
        """Whether it may claim and rescue: a worker that was stopped or starved for a whole term
        can't know yet what has become of its runs."""
        return self._keeper is not None and self._keeper.holds()

    async def _claim(self, room: int, *, suspects: bool = False) -> Claims | None:
        """Ask for up to `room` runs. None: the database failed, look again later."""
        main = self._office.main
        try:
            if self._doubtful:
                # What we were given may differ from what we know of: give the difference back.
                self._doubtful = False  # first: what fails meanwhile is a new doubt
                held = {(run_id, a.claimed.attempt) for run_id, a in self._attempts.items()}
                await main.submit(Reconcile(self.id, frozenset(held | self._ending)))
            floors = {} if suspects else self._floors_now()
            claims: Claims = await main.submit(
                Claim(
                    self.id,
                    self._queues,
                    self._flows,
                    room,
                    floors,
                    suspects=suspects,
                    ruled=self._ruled or suspects,
                )
            )
        except StoreError as error:
            self._doubtful = True
            self._failures = min(self._failures + 1, 8)
            log.warning("Can't look for work right now: %s", error)
            return None
        self._failures = 0
        for run in claims.runs:
            place = (run.queue, run.priority)
            self._floors[place] = max(self._floors.get(place, 0), run.due_at - 1_000_000)
        return claims

    def _floors_now(self) -> dict[tuple[str, int], int]:
        """Where to start the scan. Once a second nowhere: a caller's long transaction may bring in
        runs that have been due for a while, and clocks may be set back."""
        now = self._office.world.monotonic()
        if now - self._full_look_at >= 1.0:
            self._full_look_at = now
            return {}
        return dict(self._floors)

    async def _until_there_may_be_work(self, seconds: float) -> None:
        """Until somebody rings, room is made, the file has changed, or the time is over."""
        assert self._loop is not None
        world = self._office.world
        deadline = world.monotonic() + seconds
        pulse = self._settings.pulse if self._sees_changes() else seconds
        while not self._wake.is_set():
            left = deadline - world.monotonic()
            if left <= 0:
                return
            alarm = self._loop.call_later(min(left, pulse), self._wake.set)
            await self._wake.wait()
            if alarm.when() > self._loop.time():
                alarm.cancel()
                return
            if self._file_changed() or world.monotonic() >= deadline:
                return
            self._wake.clear()

    def _sees_changes(self) -> bool:
        return self._office.store.dialect == "sqlite" and self._settings.doorbells

    def _file_changed(self) -> bool:
        if not self._sees_changes():
            return False
        try:
            if self._pulse is None:
                self._pulse = self._office.store.reader()
            return bool(self._pulse.changed())
        except StoreError:
            return True  # the claim will say what is wrong

    # --- performing

    def _begin(self, run: Claimed) -> None:
        assert self._loop is not None
        attempt = Attempt(run, self._office, self)
        self._attempts[run.id] = attempt
        self._idle.clear()
        attempt.task = self._loop.create_task(self._perform(attempt))

    async def _perform(self, attempt: Attempt) -> None:
        run = attempt.claimed
        try:
            attempt.performance = self._handler.open(run, attempt)
            outcome = await attempt.performance.perform()
        except (
            Exception
        ) as error:  # a fault of ours: the run must not be held for ever because of it
            log.exception("run %s of %s could not be performed", run.id, run.flow)
            outcome = NeedsAttention(
                json.dumps({"kind": type(error).__name__, "message": str(error)})
            )
        if self._attempts.get(run.id) is attempt:
            self._end(attempt, outcome)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        run = attempt.claimed
        del self._attempts[run.id]
        attempt.let_go()
        self._watching.discard(run.id)
        self._wake.set()  # before the end is told: so the next claim goes to the lane with it
        verb = ending_verb(run, outcome)
        note(run, outcome)
        if verb is not None:
            try:
                self._office.main.tell(verb, partial(self._ended, (run.id, run.attempt)))
            except BackroomError:  # the lane is full or closed
                self._doubtful = True
            else:
                self._ending.add((run.id, run.attempt))
        if not self._attempts:
            self._idle.set()

    def _ended(self, attempt: tuple[str, int], answer: object) -> None:
        self._ending.discard(attempt)
        if isinstance(answer, StoreError):
            self._doubtful = True  # it may still be ours in the database
        if self._stopping and not self._ending:
            self._wake.set()

    async def _finish(self) -> None:
        """Let what is in hand end; hand back what doesn't end within the grace."""
        if self._attempts:
            log.info(
                "stopping: %d runs may go on for %g s", len(self._attempts), self._settings.grace
            )
            await self._until_idle_or_time_is_up()
        for attempt in list(self._attempts.values()):
            attempt.interrupt(HandedBack())
        with contextlib.suppress(TimeoutError):
            if self._attempts:
                await asyncio.wait_for(self._idle.wait(), 1.0)
        main = self._office.main
        # What still goes on is in threads that can't be stopped; its late writes will be refused.
        stuck = [
            main.submit(HandBack(a.claimed.id, a.claimed.attempt)) for a in self._attempts.values()
        ]
        self._attempts.clear()
        # Only then may the lease be given back: with it goes what isn't in the database yet.
        await asyncio.gather(*stuck, return_exceptions=True)
        while self._ending:
            self._wake.clear()
            await self._wake.wait()

    async def _until_idle_or_time_is_up(self) -> None:
        world = self._office.world
        deadline = world.monotonic() + self._settings.grace
        while self._attempts and not self._hurry and (left := deadline - world.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    def lease_lost(self) -> None:
        """From the keeper's thread: we were declared dead. Drop everything, come back as
        another."""
        log.error("worker %s missed its lease; its runs are in other hands", self._settings.name)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._start_over)

    def _start_over(self) -> None:
        for attempt in list(self._attempts.values()):
            attempt.interrupt(Lost())
        self.id = self._office.world.new_id()
        assert self._loop is not None
        self._return = self._loop.create_task(self._come_back())

    async def _come_back(self) -> None:
        while not self._stopping:
            try:
                await asyncio.to_thread(self._enter)
            except StoreError as error:
                log.warning("Can't come back right now, trying again: %s", error)
                await asyncio.sleep(self._term.pause_seconds)
            else:
                self._wake.set()
                return

    # --- duties

    def watch(self, attempt: Attempt) -> None:
        """An attempt has a wait in memory. From its flow's loop or thread."""
        self._watching.add(attempt.claimed.id)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    async def _bring_news(self) -> None:
        """Tell attempts with waits in memory what has come for them."""
        while True:
            if not self._watching:
                await self._news.wait()
            self._news.clear()
            watched = [a for run_id in tuple(self._watching) if (a := self._attempts.get(run_id))]
            if watched:
                await self._look_for_news(watched)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), 0.05)

    async def _look_for_news(self, watched: Sequence[Attempt]) -> None:
        ids = [attempt.claimed.id for attempt in watched]
        asked = [a.performance for a in watched if a.performance]
        children = [child for performance in asked for child in performance.children()]
        windows = [name for performance in asked for name in performance.windows()]
        in_line = [
            a.claimed.id for a in watched if a.performance and a.performance.waits_for_locks()
        ]

        def look(reader: Reader) -> News:
            return (
                reader.now(),
                reader.mail(ids),
                reader.ended(children) if children else [],
                reader.windows_over(windows) if windows else [],
                reader.locks_held(in_line) if in_line else [],
            )

        try:
            now, mail, ended, over, held = await asyncio.wrap_future(self._office.read(look))
        except StoreError as error:
            log.warning("Can't look for news right now: %s", error)
            return
        for attempt in watched:
            if attempt.performance is not None:
                run_id = attempt.claimed.id
                mine = [letter for letter in mail if letter.run_id == run_id]
                locks = [address for holder, address in held if holder == run_id]
                attempt.performance.news(now, mine, ended, over, locks)

    async def _heed_cancels(self) -> None:
        """See who of ours is asked to stop."""
        while True:
            await asyncio.sleep(0.25 if self._attempts else 1.0)
            if not self._attempts:
                continue
            try:
                asked = await asyncio.wrap_future(
                    self._office.read(lambda reader: reader.cancelled(self.id))
                )
            except StoreError:
                continue
            for run_id, reason in asked:
                attempt = self._attempts.get(run_id)
                if attempt is not None:
                    attempt.interrupt(Cancelled(reason))

    async def _rescue(self) -> None:
        """Release the runs of dead workers; anybody may, and it takes nothing to find none."""
        while True:
            released: Sequence[str] = ()
            if self._holds_lease():
                with contextlib.suppress(StoreError):
                    released = await self._office.main.submit(Rescue(limits.STARTS))
            if released:
                log.warning("released %d runs of workers that died", len(released))
                self._wake.set()
            await asyncio.sleep(self._term.pause_seconds)

    async def _look_for_suspects(self) -> None:
        """See whether runs wait that nobody may perform beside others (`rules/suspicion.py`). Here
        they are performed once there is nothing else to do; a supervisor has a process for them."""
        while not self._settings.only_suspects:
            found = 0
            with contextlib.suppress(StoreError):
                found = await asyncio.wrap_future(
                    self._office.read(
                        lambda reader: reader.suspects(self._queues, self._flows, SUSPECTS)
                    )
                )
            if found and self.on_suspects is not None:
                self.on_suspects(found)
            elif found:
                self._suspects = True
                self._wake.set()
            await asyncio.sleep(min(self._term.pause_seconds, SUSPECTS_SECONDS))

    async def _expire(self) -> None:
        """End runs that haven't begun in time, of whatever queue; anybody may. A look first, since
        a look locks nothing."""
        while True:
            with contextlib.suppress(StoreError):
                if await asyncio.wrap_future(self._office.read(lambda reader: reader.expired())):
                    await self._office.main.submit(Expire(limits.SWEEP_RUNS))
                    self._wake.set()  # perhaps a run waits for one of them
                    continue
            await asyncio.sleep(EXPIRY_SECONDS)

    async def _prune(self) -> None:
        """Remove runs that ended long ago, in small bites and on the lane that no checkpoint waits
        for. Every worker does, each at times of its own; those who meet pass each other by."""
        if not self._settings.keep or self._settings.only_suspects:
            return
        older_than_us = int(self._settings.keep * 1_000_000)
        while True:
            await asyncio.sleep(PRUNE_SECONDS * (0.1 + 0.9 * self._office.world.chance()))
            after, removed = None, 0
            with contextlib.suppress(StoreError):  # later, then
                while True:
                    bite = Prune(older_than_us, after, BITE)
                    pruned: Pruned = await self._office.doors.submit(bite)
                    after, removed = pruned.after, removed + pruned.count
                    if after is None:
                        break
                    await asyncio.sleep(BITE_SECONDS)
            if removed:
                log.info("removed %d runs that ended long ago", removed)


def note(run: Claimed, outcome: Outcome) -> None:
    """A line in the log for what a person may want to know of; its traceback is kept with the
    run."""
    match outcome:
        case Failed(error):
            what, level = "failed", logging.ERROR
        case NeedsAttention(error):
            what, level = "needs attention", logging.ERROR
        case TryAgain(_, error):
            what, level = "failed and will be tried again", logging.WARNING
        case _:
            return
    fields = {"run_id": run.id, "flow": run.flow, "attempt": run.attempt}
    log.log(level, "run %s of %s %s: %s", run.id, run.flow, what, in_short(error), extra=fields)


def in_short(error: str) -> str:
    try:
        told = json.loads(error)
        text = f"{told['kind']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        text = error
    return text if len(text) <= 300 else f"{text[:300]}…"
