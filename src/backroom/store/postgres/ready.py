"""Waiting for sockets, on every system: poll where there is one, since select stops at 1,024."""

from __future__ import annotations

import select

__all__ = ["ready"]


def ready(
    reading: list[int], writing: list[int] | None = None, *, ms: int | None = None
) -> set[int]:
    """Those that can be read (or are broken) or written; empty when the time is up."""
    writing = writing or []
    if not hasattr(select, "poll"):
        timeout = None if ms is None else ms / 1000
        readable, writable, broken = select.select(reading, writing, reading, timeout)
        return {*readable, *writable, *broken}
    poll = select.poll()
    for fd in {*reading, *writing}:
        wanted = (select.POLLIN if fd in reading else 0) | (select.POLLOUT if fd in writing else 0)
        poll.register(fd, wanted)
    return {fd for fd, _ in poll.poll(ms)}
