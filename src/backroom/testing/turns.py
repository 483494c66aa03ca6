"""Threads that take turns: one runs at a time, in an order that is always the same.

`def` flows and `def` steps need threads. Here they are real ones, since what runs in them looks at
the thread it is in, but each runs only while it has the turn:

    home    gives the turn to the first that can go on ──▶ thread ── ends, or waits ──▶ home

Home is the thread of the simulation. It never runs beside one of the others, so nothing here needs
a lock, and the order in which things happen is decided by the order in which they became possible.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["TurnFuture", "Turns", "Unplugged"]

STACK_BYTES = 512 * 1024


class Unplugged(BaseException):
    """The simulation is over: leave. Not an Exception, so that no author's code holds it up."""


class _Waiting:
    """A thread between two turns."""

    def __init__(self, thread: threading.Thread, can_go_on: Callable[[], bool]) -> None:
        self.thread = thread
        self.can_go_on = can_go_on
        self.gate = threading.Lock()
        self.gate.acquire()


class Turns:
    """The threads of one simulated process."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._home = threading.Lock()
        self._home.acquire()
        self._waiting: list[_Waiting] = []
        self._alive: set[threading.Thread] = set()
        self._deadlines: list[float] = []
        self.over = False

    # --- from home

    def step(self) -> bool:
        """Let the first thread that can go on have its turn; whether there was one."""
        for waiting in self._waiting:
            if self.over or waiting.can_go_on():
                self._waiting.remove(waiting)
                waiting.gate.release()
                self._home.acquire()
                return True
        return False

    def next_deadline(self) -> float | None:
        """When the first thread that waits with a time-out may go on."""
        ahead = [moment for moment in self._deadlines if moment > self._now()]
        return min(ahead, default=None)

    def end(self) -> None:
        """Have every thread leave."""
        self.over = True
        while self.step():
            pass

    # --- from anywhere

    def spawn(self, body: Callable[[], None], name: str) -> threading.Thread:
        """A thread that gets its first turn after those that wait already."""

        def work() -> None:
            entry.gate.acquire()
            try:
                if not self.over:
                    body()
            except Unplugged:
                pass
            finally:
                self._alive.discard(thread)
                self._home.release()

        thread = threading.Thread(target=work, name=name, daemon=True)
        entry = _Waiting(thread, lambda: True)
        self._alive.add(thread)
        self._waiting.append(entry)
        thread.start()
        return thread

    # --- from a thread that has the turn

    def wait(self, can_go_on: Callable[[], bool]) -> None:
        """Let others have their turn until this can go on."""
        thread = threading.current_thread()
        if thread not in self._alive:
            raise RuntimeError("This would wait for ever: nothing else goes on meanwhile.")
        if not can_go_on():
            entry = _Waiting(thread, can_go_on)
            self._waiting.append(entry)
            self._home.release()
            entry.gate.acquire()
        if self.over:
            raise Unplugged

    def join(self, thread: threading.Thread, timeout: float | None) -> None:
        if timeout is None:
            self.wait(lambda: thread not in self._alive)
            return
        deadline = self._now() + timeout
        self._deadlines.append(deadline)
        try:
            self.wait(lambda: thread not in self._alive or self._now() >= deadline)
        finally:
            self._deadlines.remove(deadline)

    def has(self) -> bool:
        """Whether the thread that asks takes turns here."""
        return threading.current_thread() in self._alive


class TurnFuture(Future[Any]):
    """A future for which a thread waits by letting others have their turn."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Any:
        self._wait()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait()
        return super().exception(timeout)

    def _wait(self) -> None:
        if not self.done() and self._turns.has():
            self._turns.wait(self.done)
