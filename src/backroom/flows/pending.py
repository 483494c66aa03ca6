"""One spelling for both colours: `await x` in asynchronous code, `x.wait()` in ordinary code.

Everything of ours that takes time returns a `Pending`. It is under way already when you get it
(unless its class says that it is lazy), so forgetting it loses the answer but never the work.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from backroom.engine.futures import new_future

__all__ = ["Joining", "Pending", "Promise"]

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


class Joining(Pending[T_co]):
    """A Pending that begins when it is first awaited, in the awaiting task.

    For what is done on an asynchronous connection of the caller's: nobody else may use it, and the
    caller alone knows when. Forgetting the await would do nothing at all, so that is logged.
    """

    __slots__ = ("_begin", "_future", "_what")

    def __init__(self, begin: Callable[[], Awaitable[T_co]], *, what: str) -> None:
        self._begin = begin
        self._what = what
        self._future: Future[T_co] | None = None

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._once().__await__()

    async def _once(self) -> T_co:
        if self._future is not None:
            return await asyncio.wrap_future(self._future)
        future = self._future = new_future()
        try:
            answer = await self._begin()
        except BaseException as error:
            self._future = None  # it may be awaited again, after a rollback say
            future.set_exception(error)
            raise
        future.set_result(answer)
        return answer

    def wait(self, timeout: float | None = None) -> T_co:
        if self._future is not None and self._future.done():
            return self._future.result()
        raise RuntimeError(
            f"{self._what} uses an asynchronous connection, which only its own event loop can do. "
            "Write `await` here instead."
        )

    def __del__(self) -> None:
        if self._future is None:
            log.error(
                "%s was never awaited and has not been done: on an asynchronous connection it "
                "begins with `await`",
                self._what,
            )


def _complain(done: Future[Any], what: str) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.error("%s failed and nobody was waiting for it: %s", what, error)
