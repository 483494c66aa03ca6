"""Time, ids, randomness and threads: the only file where they come from.

Tests and simulations hand in a `World` of their own and get the same run twice. The clock here is a
hint only, for measuring and for waking up; what is due is decided by the database's clock.

A simulated world (`testing/cluster.py`) lets threads take turns, in an order of its own. In it the
engine has no threads that work by themselves: what comes into a lane is committed when the
simulation says so, and looks at the database are made at once.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import TYPE_CHECKING, Any

from backroom.engine.futures import new_future

if TYPE_CHECKING:
    from backroom.engine.lane import Lane

__all__ = ["World", "derived_id", "mapped_id"]


class World:
    """The real one."""

    simulated = False

    def __init__(self) -> None:
        self._made = count()

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def now_us(self) -> int:
        """This machine's clock, in microseconds since 1970. A hint: the database's decides."""
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    def chance(self) -> float:
        """A draw from [0, 1)."""
        return random.random()  # noqa: S311  spreads retries; guards no secret

    def new_id(self) -> str:
        """A UUIDv7: ordered by time, so that new rows land side by side in an index.

        Behind the millisecond stands a count, so what a process starts or emits first comes first,
        also where the database's clock sees no difference. (Once in a million the count begins
        anew. A lock would make it strict, and might be held at a fork.)
        """
        milliseconds = time.time_ns() // 1_000_000
        number = (next(self._made) & 0xFFFFF) << 54 | int.from_bytes(os.urandom(7)) >> 2
        return _version_7(milliseconds, number)

    # --- threads

    def thread(self, body: Callable[[], None], name: str) -> threading.Thread:
        """A thread that has been started; it doesn't keep the process alive."""
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    def join(self, thread: threading.Thread, timeout: float | None = None) -> None:
        thread.join(timeout)

    def wait(self, event: threading.Event) -> None:
        event.wait()

    def future(self) -> Future[Any]:
        """A future that a thread may wait for."""
        return new_future()

    # --- what a simulation is told

    def knock(self, lane: Lane) -> None:
        """Something has come into a lane that has no thread."""

    def asked(self, run_id: str, attempt: int, address: str) -> None:
        """A flow has come by this address."""

    def body(self, run_id: str, address: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is called for the body of a step."""
        return function


def derived_id(parent: str, address: str) -> str:
    """The id of what a run makes at an address: the same on every replay, hence made once.

    Its first 48 bits are the parent's, so that it sorts with its family.
    """
    digest = hashlib.blake2b(f"{parent}/{address}".encode(), digest_size=10).hexdigest()
    return _shape(f"{parent[0:8]}{parent[9:13]}7{digest[:19]}")


def mapped_id(parent: str, address: str, index: int) -> str:
    """The id of the run that a fan-out at this address starts for its item of this index: those of
    one fan-out lie side by side (`rules/windows.py`)."""
    digest = hashlib.blake2b(f"{parent}/{address}".encode(), digest_size=7).hexdigest()
    return _shape(f"{parent[0:8]}{parent[9:13]}8{digest[:13]}{index:06x}")


def _version_7(milliseconds: int, number: int) -> str:
    """The number's bits where UUIDv7 has room for them: 12 before the variant, 62 behind."""
    high, low = number >> 62, number & (1 << 62) - 1
    digits = f"{milliseconds:012x}7{high:03x}{1 << 63 | low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _shape(digits: str) -> str:
    # Version 7 stands at digit 12; the variant's two high bits at digit 16.
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
