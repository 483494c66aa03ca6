"""The sending end of the doorbells: NOTIFY tells who listens to look.

There are two: `work` for workers, and `ends` for whoever waits for a run to end. A ring carries
nothing and proves nothing; who misses one looks a little later. So it never travels inside the
transaction that made the work: the server serialises the commits of transactions that notify, which
costs a third of them under load. And it is coalesced, the more the more is rung:

    ring        ring ring ring ring ring ring ring ring ring           ring
    └─> NOTIFY  └─> NOTIFY └─> NOTIFY    └─> NOTIFY (for all of them)  └─> NOTIFY
        at once     at once    1 ms on       2 ms on, 4, 8 … 20            at once

The sending has a thread of its own, since connecting can block: `ring` leaves a note and goes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from backroom.records.errors import StoreError
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.link import Link

__all__ = ["Ringer", "notify"]

PATIENCE_SECONDS = 2.0
REST_SECONDS = (0.001, 0.020)
"""Between two rings: after a silence, and while it never stops."""


class Ringer:
    """Rings for all threads of a process. `send` rings these bells; `rest` passes the time until
    the next; `finish` comes last, in the same thread."""

    def __init__(
        self,
        send: Callable[[set[str]], None],
        finish: Callable[[], None] = lambda: None,
        rest: Callable[[threading.Event, float], object] | None = None,
    ) -> None:
        self.send = send
        self.finish = finish
        self.rest = rest or threading.Event.wait
        self.begin()

    def begin(self) -> None:
        self.starting = threading.Lock()
        self.wanted: SimpleQueue[str] = SimpleQueue()
        self.closing = threading.Event()
        self.thread: threading.Thread | None = None
        self.pid = os.getpid()

    def ring(self, bell: str = "work") -> None:
        if self.pid != os.getpid():
            # A fork copies neither threads nor the sanity of locks.
            self.begin()
        self.wanted.put(bell)
        if self.thread is None:
            self.start()

    def start(self) -> None:
        with self.starting:
            if self.thread is None and not self.closing.is_set():
                self.thread = threading.Thread(
                    target=self.work, name="backroom doorbell", daemon=True
                )
                self.thread.start()

    def work(self) -> None:
        shortest, longest = REST_SECONDS
        pause = shortest
        while True:
            bells = {self.wanted.get()}
            with suppress(Empty):
                while True:
                    bells.add(self.wanted.get_nowait())
            if self.closing.is_set():
                self.finish()
                return
            self.send(bells)
            self.rest(self.closing, pause)
            pause = shortest if self.wanted.empty() else min(2 * pause, longest)

    def close(self) -> None:
        self.closing.set()
        self.wanted.put("work")  # so that it looks up
        if self.thread is not None and self.pid == os.getpid():
            self.thread.join(PATIENCE_SECONDS)


def notify(link: Link, channel: Callable[[str], str], bells: set[str]) -> None:
    """One NOTIFY a bell, on a connection that commits by itself. A hint that can't be given is not
    missed: whoever works looks from time to time."""
    text = ";".join([f'NOTIFY "{channel(bell)}"' for bell in sorted(bells)])
    try:
        link.connection().execute(text.encode(), prepare=False)
    except StoreError:
        return
    except psycopg().Error:
        link.drop()
