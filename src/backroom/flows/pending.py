"""One spelling for both colours: `await x` in asynchronous code, `x.wait()` in ordinary code.

Everything of ours that takes time returns a `Pending`. It is under way already when you get it
(unless its class says that it is lazy), so forgetting it loses the answer but never the work.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

__all__ = ["Pending", "Promise"]

T_co = TypeVar("T_co", covariant=True)
log = logging.getLogger("backroom")


class Pending(ABC, Generic[T_co]):
    """Something that is being done."""

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, T_co]: ...

    @abstractmethod
    def wait(self, timeout: float | None = None) -> T_co:
        """Block this thread until it is done. TimeoutError after `timeout` seconds."""


class Promise(Pending[T_co]):
    """A Pending over a `concurrent.futures.Future` that another thread will resolve."""

    __slots__ = ("_convert", "_future", "_seen", "_what")

    def __init__(self, future: Future[Any], convert: Callable[[Any], T_co], *, what: str) -> None:
        self._future = future
        self._convert = convert
        self._what = what
        self._seen = False

    def __await__(self) -> Generator[Any, Any, T_co]:
        self._seen = True
        return self._convert((yield from asyncio.wrap_future(self._future).__await__()))

    def wait(self, timeout: float | None = None) -> T_co:
        self._seen = True
        if asyncio._get_running_loop() is not None and not self._future.done():
            raise RuntimeError("wait() would block the event loop. Write `await` here instead.")
        return self._convert(self._future.result(timeout))

    def __del__(self) -> None:
        """A failure that nobody looked at is at least logged."""
        if not self._seen:
            what = self._what
            self._future.add_done_callback(lambda done: _complain(done, what))


def _complain(done: Future[Any], what: str) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.error("%s failed and nobody was waiting for it: %s", what, error)
