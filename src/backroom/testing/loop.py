"""The event loop of a simulated process: it stops when it has nothing to do, and time is a number.

advance ──▶ everything that can go on now goes on ──▶ idle: when does it want to go on?
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from backroom.engine.futures import resolve
from backroom.testing.turns import Turns, Unplugged

__all__ = ["SteppedLoop"]


class _Selector(selectors.DefaultSelector):
    """Never waits: it tells that there is nothing to do now."""

    on_idle: Callable[[float | None], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0) if timeout is None or timeout > 0 or self.has_guests() else []
        if not found and (timeout is None or timeout > 0):
            self.on_idle(timeout)
        return found

    def has_guests(self) -> bool:
        """Whether anything else is registered than the loop's own pipe to itself."""
        return len(self.get_map()) > 1


class SteppedLoop(asyncio.SelectorEventLoop):
    """One process's loop."""

    def __init__(self, now: Callable[[], float], turns: Turns) -> None:
        self._now = now
        self._turns = turns
        self._guard = _Selector()
        self._guard.on_idle = self._idle
        self.wants_at: float | None = None  # when a timer of its own is due
        self.awake = True  # something has been handed to it since it was idle
        super().__init__(self._guard)
        self.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.complaints: list[dict[str, Any]] = []

    def time(self) -> float:
        return self._now()

    def can_go_on(self) -> bool:
        return self.awake or (self.wants_at is not None and self.wants_at <= self._now())

    def has_guests(self) -> bool:
        """Whether it listens to the real world, whose time is real."""
        return self._guard.has_guests()

    def advance(self) -> None:
        """Let everything that can go on go on until nothing can."""
        self.awake = False
        self.run_forever()

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        self.awake = True
        if asyncio._get_running_loop() is self or self._turns.has() or not self.is_running():
            return self.call_soon(callback, *args, context=context)  # nobody runs beside us
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """A thread of its own, which takes its turn."""
        future: asyncio.Future[Any] = self.create_future()

        def body() -> None:
            value: Any = None
            raised: BaseException | None = None
            try:
                value = func(*args)
            except Unplugged:
                raise
            except StopIteration as stop:  # a future can't carry it
                raised = RuntimeError(f"{func!r} raised {stop!r}")
            except BaseException as left:
                raised = left
            self.call_soon_threadsafe(resolve, future, value, raised)

        self._turns.spawn(body, "backroom-simulated")
        return future

    def _idle(self, timeout: float | None) -> None:
        self.wants_at = None if timeout is None else self._now() + timeout
        self.stop()
