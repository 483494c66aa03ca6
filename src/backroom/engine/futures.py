"""Futures that another thread resolves."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

__all__ = ["new_future", "resolve"]


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
