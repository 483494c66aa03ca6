"""The worker: claims runs, performs many at once, and looks after them until they end.

One asyncio loop, whose parts each have a page of their own:

    seat       its id and its lease                    (seat.py)
    alarm      when to look for work                   (alarm.py)
    claiming   asks for runs and begins them           (claiming.py)
    hands      the attempts, from claim to end         (hands.py)
    news       for waits in memory                     (news.py)
    duties     cancels, rescues and what is swept up   (duties.py)
    timekeeper schedules, and runs that expire         (timekeeper.py)

Here is its life: how it comes, stops and comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from backroom.engine.alarm import Alarm
from backroom.engine.claiming import Claiming
from backroom.engine.duties import Duties
from backroom.engine.handler import Clockwork, Handler
from backroom.engine.hands import Hands
from backroom.engine.news import News
from backroom.engine.office import Office
from backroom.engine.seat import Seat
from backroom.engine.settings import WorkerSettings
from backroom.engine.timekeeper import Timekeeper

__all__ = ["Worker"]

log = logging.getLogger("backroom.worker")


class Worker:
    """Performs runs of one application in this process."""

    def __init__(
        self,
        office: Office,
        handler: Handler,
        settings: WorkerSettings,
        clockwork: Clockwork | None = None,
    ) -> None:
        self._office = office
        self._handler = handler
        self._settings = settings
        self._seat = Seat(
            office, settings, self.lease_lost,
            queues=settings.queues or handler.queues(), flows=handler.flows(),
        )  # fmt: skip
        self._alarm = Alarm(office, settings, self._hear)
        self._news = News(office)
        self._hands = Hands(office, handler, self._news, self._alarm.ring)
        self._claiming = Claiming(
            office, self._seat, self._hands, self._alarm, settings.concurrency,
            watches=handler.watches(),
        )  # fmt: skip
        self._duties = Duties(
            office, settings, self._seat, self._hands,
            ring=self._alarm.ring, found=self._suspects_wait,
        )  # fmt: skip
        self._timekeeper = Timekeeper(office, clockwork, self._alarm.ring)
        self._hurry = False
        self.on_ready: Callable[[], None] = lambda: None  # called once its lease is on disk
        # Called with the number of suspects that wait. None: this worker performs them itself.
        self.on_suspects: Callable[[int], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._return: asyncio.Task[None] | None = None  # coming back after a lost lease

    @property
    def id(self) -> str:
        return self._seat.id

    async def run(self) -> None:
        """Work until `stop` is called; then finish or hand back what is in hand, and return."""
        self._loop = loop = asyncio.get_running_loop()
        # asyncio.to_thread has a handful of threads by default; every run may want one.
        threads = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="backroom-step")
        loop.set_default_executor(threads)
        await asyncio.to_thread(self._open)
        self._alarm.listen(loop)
        self._office.on_work.append(self.ring)
        about = self._duties
        duties = [
            loop.create_task(duty)
            for duty in (
                self._news.bring(), about.heed_cancels(), about.rescue(),
                about.look_for_suspects(), self._timekeeper.keep_time(), about.prune(),
            )
        ]  # fmt: skip
        if self._settings.only_suspects:
            log.info("worker %s performs suspects alone", self._settings.name)
        else:
            names = ", ".join(self._seat.queues)
            log.info("worker %s is ready for queues %s", self._settings.name, names)
        self.on_ready()
        try:
            if self._settings.only_suspects:
                await self._claiming.suspects_only()
            else:
                await self._claiming.until_stopped()
            await self._finish()
        finally:
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
            self._office.on_work.remove(self.ring)
            self._alarm.deafen(loop)
            await asyncio.to_thread(self._close)
            await asyncio.to_thread(self._handler.close)
            threads.shutdown(wait=False)
            # Closing the loop joins its pool: not this one, a step in it may never return.
            loop.set_default_executor(ThreadPoolExecutor(1))

    def stop(self, *, now: bool = False) -> None:
        """Claim no more, let go after the grace, or now. Thread-safe."""
        self._claiming.stopping = True
        self._hurry = self._hurry or now
        self.ring()

    def renewed(self, asked: float) -> None:
        """The supervisor has renewed the lease; it asked at this `time.monotonic()`."""
        if self._seat.renewed(asked):
            self.ring()

    def orphaned(self) -> None:
        """The supervisor is gone: stop, and keep the lease meanwhile."""
        self.stop()
        self._seat.orphaned()

    def ring(self) -> None:
        """There may be work. Thread-safe."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._hear)

    def clock_moved(self) -> None:
        """The database's clock was moved, for a test: look what is due. Thread-safe."""
        self.ring()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._timekeeper.clock_moved)

    def _hear(self) -> None:
        self._alarm.ring()
        self._news.ring()

    def _open(self) -> None:
        self._alarm.open()
        self._seat.take(self._alarm.address)

    def _close(self) -> None:
        self._seat.leave()
        self._alarm.close()

    async def _finish(self) -> None:
        """Let what is in hand end; hand back what doesn't end within the grace."""
        if self._hands.attempts:
            log.info(
                "stopping: %d runs may go on for %g s",
                len(self._hands.attempts), self._settings.grace,
            )  # fmt: skip
            await self._until_idle_or_time_is_up()
        # Only then may the lease be given back: with it goes what isn't in the database yet.
        await self._hands.hand_back()

    async def _until_idle_or_time_is_up(self) -> None:
        world = self._office.world
        deadline = world.monotonic() + self._settings.grace
        while (
            self._hands.attempts and not self._hurry and (left := deadline - world.monotonic()) > 0
        ):
            self._alarm.hush()
            await self._alarm.until_it_rings(left)

    def lease_lost(self) -> None:
        """From the keeper's thread: we were declared dead. Drop everything, come back as
        another."""
        log.error("worker %s missed its lease; its runs are in other hands", self._settings.name)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._start_over)

    def _start_over(self) -> None:
        self._hands.drop()
        self._seat.change_id()
        assert self._loop is not None
        self._return = self._loop.create_task(self._come_back())

    async def _come_back(self) -> None:
        if await self._seat.take_another(self._alarm.address, lambda: self._claiming.stopping):
            self._alarm.ring()

    def _suspects_wait(self, count: int) -> None:
        """Here they are performed once there is nothing else to do; a supervisor has a process for
        them."""
        if self.on_suspects is not None:
            self.on_suspects(count)
        else:
            self._claiming.suspects = True
            self._alarm.ring()
