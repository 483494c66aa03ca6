"""A network that misbehaves, between us and PostgreSQL.

    with proxy(dsn, chance, swallow=0.2) as between:
        between.dsn                       # the same database, by way of the proxy

It reads what the server says, message by message, so it knows a commit's answer when it sees one.
What it may do with a connection, each with its own probability:

    swallow   the answer to a COMMIT never arrives: the connection is reset in its place
    hang      neither does it, but the connection stays open and says nothing any more (half-open)
    mute      the same at any message
    cut       a message of the server's arrives by half, then the connection is reset
    delay     a message comes up to 20 ms late
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from random import Random
from urllib.parse import urlsplit

__all__ = ["Proxy", "proxy"]

COMMITTED = b"COMMIT\0"
LATE_SECONDS = 0.02


class Proxy:
    def __init__(self, dsn: str, chance: Random, **odds: float) -> None:
        self.chance = chance
        self.odds = dict.fromkeys(("swallow", "hang", "mute", "cut", "delay"), 0.0) | odds
        self.done: Counter[str] = Counter()  # of each kind, and "commits" that it has seen
        self.dsn = ""
        self.loop = asyncio.new_event_loop()
        self._server_at = urlsplit(dsn)
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    def serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        at = self._server_at
        who = at.netloc.rpartition("@")[0]
        # In the clear, or it couldn't read what goes by.
        self.dsn = at._replace(
            netloc=f"{who}@127.0.0.1:{port}", query="sslmode=disable&gssencmode=disable"
        ).geturl()
        self._ready.set()
        await self._over.wait()
        server.close()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _connected(self, theirs: asyncio.StreamReader, to_them: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        ends = [to_them]
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                ours, to_server = await asyncio.open_connection(
                    self._server_at.hostname, self._server_at.port
                )
                ends.append(to_server)
                await first_of(self._ask(theirs, to_server), self._answer(ours, to_them))
        finally:
            for end in ends:
                end.transport.abort()
            self._calls.discard(call)

    async def _ask(self, theirs: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await theirs.read(65_536):
            to_server.write(data)
            await to_server.drain()

    async def _answer(self, ours: asyncio.StreamReader, to_them: asyncio.StreamWriter) -> None:
        async for message in messages(ours):
            if message[:1] == b"C" and message[5:] == COMMITTED:
                self.done["commits"] += 1
                if self._draws("swallow"):
                    return
                if self._draws("hang"):
                    await self._over.wait()
            if self._draws("mute"):
                await self._over.wait()
            if self._draws("cut"):
                to_them.write(message[: len(message) // 2])
                return
            if self._draws("delay"):
                await asyncio.sleep(self.chance.uniform(0, LATE_SECONDS))
            to_them.write(message)
            if not ours._buffer:  # type: ignore[attr-defined]
                await to_them.drain()

    def _draws(self, kind: str) -> bool:
        drawn = self.chance.random() < self.odds[kind]
        self.done[kind] += drawn
        return drawn

    def wait_until_ready(self) -> None:
        self._ready.wait()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)


async def messages(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What the server says: a letter, the length of the rest, the rest."""
    while True:
        head = await stream.readexactly(5)
        yield head + await stream.readexactly(int.from_bytes(head[1:]) - 4)


async def first_of(*both: object) -> None:
    """Until one of them ends; then the other is dropped."""
    tasks = [asyncio.ensure_future(one) for one in both]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def proxy(dsn: str, chance: Random, **odds: float) -> Iterator[Proxy]:
    between = Proxy(dsn, chance, **odds)
    thread = threading.Thread(target=between.serve, name="proxy")
    thread.start()
    between.wait_until_ready()
    try:
        yield between
    finally:
        between.stop()
        thread.join()
