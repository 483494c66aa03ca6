"""Futures that another thread resolves, and that whoever waits can't take back."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

__all__ = ["new_future"]


def new_future() -> Future[Any]:
    """A future that is running already.

    asyncio cancels the thread's future together with the await of it. The work goes on all the
    same, and its thread would die of InvalidStateError on setting the result; a running future
    can't be cancelled, only no longer waited for.
    """
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
