"""The sending end of the doorbell: NOTIFY tells listening workers to look.

A ring carries nothing and proves nothing; a worker that misses one looks a little later. So it
never travels inside the transaction that made the work: the server serialises the commits of
transactions that notify, which costs a third of them under load. And it is coalesced:

    ring ring ring ring ring                ring
    └─> NOTIFY      └─> NOTIFY (for all     └─> NOTIFY
        at once         of them, 50 ms on)      at once

The sending has a thread of its own, since connecting can block: `ring` leaves a note and goes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from backroom.records.errors import StoreError
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.link import Link

__all__ = ["Ringer", "notify"]

PATIENCE_SECONDS = 2.0
REST_SECONDS = 0.05


class Ringer:
    """Rings for all threads of a process. `send` does it; `rest` passes the time until the next;
    `finish` comes last, in the same thread."""

    def __init__(
        self,
        send: Callable[[], None],
        finish: Callable[[], None] = lambda: None,
        rest: Callable[[threading.Event], object] | None = None,
    ) -> None:
        self.send = send
        self.finish = finish
        self.rest = rest or rested
        self.begin()

    def begin(self) -> None:
        self.starting = threading.Lock()
        self.wanted = threading.Event()
        self.closing = threading.Event()
        self.thread: threading.Thread | None = None
        self.pid = os.getpid()

    def ring(self) -> None:
        if self.pid != os.getpid():
            # A fork copies neither threads nor the sanity of locks.
            self.begin()
        self.wanted.set()
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
        while True:
            self.wanted.wait()
            if self.closing.is_set():
                self.finish()
                return
            self.wanted.clear()
            self.send()
            self.rest(self.closing)

    def close(self) -> None:
        self.closing.set()
        self.wanted.set()
        if self.thread is not None and self.pid == os.getpid():
            self.thread.join(PATIENCE_SECONDS)


def rested(closing: threading.Event) -> None:
    closing.wait(REST_SECONDS)


def notify(link: Link, channel: str) -> None:
    """One NOTIFY, on a connection that commits by itself. A hint that can't be given is not missed:
    whoever works looks from time to time."""
    try:
        link.connection().execute(f'NOTIFY "{channel}"'.encode(), prepare=False)
    except StoreError:
        return
    except psycopg().Error:
        link.drop()
