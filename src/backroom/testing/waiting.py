"""Waiting for something that another thread or process will do, without guessing how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually"]

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02


def eventually(condition: Callable[[], T], *, within: float = 15.0) -> T:
    """Ask `condition` until its answer is true, and return that; fail after `within` seconds.

    The limit is only there so that a broken test ends: make it generous, a machine can be busy.
    """
    deadline = time.monotonic() + within
    pause = FIRST_PAUSE_SECONDS
    while not (answer := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"Waited {within:g} s in vain; the last answer was {answer!r}.")
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return answer
