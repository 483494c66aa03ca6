"""A bank outside of everything, where sagas move money, and the trouble that they meet.

A transfer has a key, and one that comes again with its key changes nothing, as with any bank worth
calling. So the books tell what has been done for good, and the calls tell who has asked when.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from backroom import current_run
from backroom.flows.context import RunContext, Unwind
from backroom.flows.scope import current
from backroom.records.outcome import HandedBack

__all__ = ["FULL", "HASTE_SECONDS", "Books", "Trouble", "linger", "linger_in_thread", "meet"]

FULL = 100
HASTE_SECONDS = 0.05  # the time-out of calls for which it is to strike
PATIENCE_SECONDS = 20.0


class Trouble(StrEnum):
    """What becomes of a call."""

    NONE = "it succeeds"
    REFUSES = "it fails before its effect"
    BREAKS = "it fails after its effect"
    DIES = "its process dies after its effect"
    CANCELLED = "somebody cancels the run after its effect"
    TOO_LATE = "its time-out strikes after its effect"
    FOR_EVER = "it fails before its effect, however often it is tried"


@dataclass
class Books:
    """The accounts of one saga: step n moves a coin from account n to account n + 1."""

    accounts: list[int] = field(default_factory=lambda: [FULL] * 7)
    keys: set[str] = field(default_factory=set)
    entries: list[tuple[str, int]] = field(default_factory=list)  # what, and the step's number
    asked: list[int] = field(default_factory=list)  # the steps whose undos were called, in order
    lock: threading.RLock = field(default_factory=threading.RLock)

    def move(self, number: int) -> None:
        self._enter("moved", number, 1)

    def move_back(self, number: int) -> None:
        """Take a transfer back; one that never happened, or was taken back, is no error."""
        with self.lock:
            if number in self.standing():
                self._enter("moved back", number, -1)

    def _enter(self, what: str, number: int, coins: int) -> None:
        key = current_run().step_key
        assert key is not None
        with self.lock:
            if key in self.keys:
                return
            self.keys.add(key)
            self.accounts[number] -= coins
            self.accounts[number + 1] += coins
            self.entries.append((what, number))

    def standing(self) -> list[int]:
        """The steps whose coin is where the step moved it."""
        with self.lock:
            return [n for n in range(6) if self._count("moved", n) > self._count("moved back", n)]

    def _count(self, what: str, number: int) -> int:
        return self.entries.count((what, number))


def meet(trouble: Trouble, effect: Callable[[], None], cancel: Callable[[], object]) -> None:
    """What happens at once when a call meets its trouble; `linger` is what happens then."""
    if trouble in (Trouble.REFUSES, Trouble.FOR_EVER):
        raise ConnectionError("the bank is closed")
    effect()
    if trouble is Trouble.BREAKS:
        raise ConnectionError("the line broke")
    if trouble is Trouble.DIES:
        die(context())
    if trouble is Trouble.CANCELLED:
        cancel()


def context() -> RunContext:
    scope = current.get()
    assert scope is not None
    return scope.context


def die(attempt: RunContext) -> None:
    """Nothing of this attempt reaches the database from now on."""
    attempt.end(HandedBack())
    raise asyncio.CancelledError if asyncio._get_running_loop() is not None else Unwind


async def linger(trouble: Trouble, *, shielded: bool) -> None:
    """An `async def` body that is to be stopped in the middle, or isn't."""
    if trouble is Trouble.TOO_LATE or (trouble is Trouble.CANCELLED and not shielded):
        await asyncio.sleep(PATIENCE_SECONDS)


def linger_in_thread(trouble: Trouble, *, shielded: bool) -> None:
    """A `def` body can't be stopped: it goes on for a while, whatever has been decided."""
    if trouble is Trouble.TOO_LATE:
        until(lambda: threading.current_thread() in context().overdue.values())
        time.sleep(HASTE_SECONDS)
    if trouble is Trouble.CANCELLED and not shielded:
        until(lambda: context().ending is not None)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
