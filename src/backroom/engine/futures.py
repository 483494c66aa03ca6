"""Futures that another thread resolves, and waits with an end."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Any

__all__ = ["new_future", "resolve", "rung_within"]


def new_future() -> Future[Any]:
    """A future that is running already, which whoever waits can't take back.

    asyncio cancels the thread's future together with the await of it. The work goes on all the
    same, and its thread would die of InvalidStateError on setting the result; a running future
    can't be cancelled, only no longer waited for.
    """
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def resolve(
    future: asyncio.Future[Any], value: object = None, error: BaseException | None = None
) -> None:
    """Tell the task that waits, in its loop, how the thread has ended; unless it waits no more."""
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


async def rung_within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, so long at most.

    Not by `wait_for`: before Python 3.12 it swallows a cancel that comes together with the event.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
