"""`chunks` and `pages`: a long walk in pieces, whose position is kept.

    async for orders in chunks(all_orders, size=500):     # for ... in a `def` flow
        await book(orders)

One checkpoint, the cursor, says where the walk stands, and is written over at every chunk. What the
loop's body does stands below a path of the chunk's own, and is forgotten with the commit that moves
the cursor on:

    chunks#1            cursor: 36 chunks are done, 18,000 items
    chunks#1.36/book#1  kept: a kill now doesn't repeat this step
    ── next chunk ──    cursor: 37 …; chunks#1.36/… is gone, in the same commit

So a million chunks keep no more than one does. A replay begins in the chunk in flight, which is why
variables that the loop adds up begin anew: what has to be remembered belongs in `notes`, which are
kept with the cursor.

A break or an error leaves the loop by letting go of its iterator, which leaves the path as well.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from itertools import islice
from typing import Any, Generic, TypeVar, cast, get_type_hints

from backroom.flows.codec import ANY, Codec
from backroom.flows.context import RunContext
from backroom.flows.effects import Protocol_, Save, drive, drive_in_thread
from backroom.flows.replay import kept_row
from backroom.flows.scope import FlowScope, StepScope, current, flow_scope
from backroom.records.errors import Refused
from backroom.records.runs import StepRow
from backroom.rules.addressing import branch_path
from backroom.store.verbs import Progress

__all__ = ["Chunks", "chunks", "pages"]

T = TypeVar("T")
K = TypeVar("K")

AT_A_TIME = 1_000  # items read before other runs of the loop get their turn


class Source(ABC, Generic[T]):
    """Where chunks come from, and how to come back to the one in flight."""

    @abstractmethod
    async def read(self) -> list[T]:
        """The next chunk; empty: there is no more."""

    @abstractmethod
    def read_in_thread(self) -> list[T]: ...

    @abstractmethod
    def position(self) -> dict[str, Any]:
        """What has to be kept to read the same chunk again."""

    @abstractmethod
    def resume(self, position: dict[str, Any]) -> None: ...

    def close(self) -> None:
        """The loop has been left."""
        return

    keeps_first = False
    """Whether the first chunk has a position worth keeping."""


class Items(Source[T]):
    """Anything that can be iterated over, from the same beginning at every replay."""

    def __init__(self, items: Any, size: int) -> None:
        self._items = items
        self.size = size  # of the next chunk
        self._at = 0  # of the chunk read last
        self._next = 0
        self._iterator: Any = None
        self._made: Any = None  # what we opened ourselves

    def close(self) -> None:
        close = getattr(self._made, "close", None)  # files and generators have one
        self._made = None
        if callable(close):
            close()

    def total(self) -> int | None:
        return len(self._items) if isinstance(self._items, Sequence) else None

    def position(self) -> dict[str, Any]:
        return {"at": self._at}

    def resume(self, position: dict[str, Any]) -> None:
        self._next = position["at"]

    def _sliced(self) -> list[T]:
        self._at, self._next = self._next, self._next + self.size
        return list(self._items[self._at : self._next])

    def _open(self) -> Any:
        items = self._items
        if callable(items):
            self._made = items = items()
        if isinstance(items, AsyncIterable):
            return aiter(items)
        return iter(items)

    def read_in_thread(self) -> list[T]:
        if isinstance(self._items, Sequence):
            return self._sliced()
        if self._iterator is None:
            self._iterator = self._open()
            if not isinstance(self._iterator, Iterator):
                raise Refused(
                    "These items come asynchronously. Walk them with `async for` in an `async def` "
                    "flow."
                )
            next(islice(self._iterator, self._next, self._next), None)
        self._at, self._next = self._next, self._next + self.size
        return list(islice(self._iterator, self.size))

    async def read(self) -> list[T]:
        if isinstance(self._items, Sequence):
            return self._sliced()
        if self._iterator is None:
            self._iterator = self._open()
            await self._take(self._next)
        self._at, self._next = self._next, self._next + self.size
        return await self._take(self.size, keep=True)

    async def _take(self, count: int, *, keep: bool = False) -> list[T]:
        taken: list[T] = []
        if isinstance(self._iterator, AsyncIterator):
            while count > 0:
                try:
                    item = await anext(self._iterator)
                except StopAsyncIteration:
                    break
                count -= 1
                if keep:
                    taken.append(item)
            return taken
        while count > 0:
            part = list(islice(self._iterator, min(count, AT_A_TIME)))
            if not part:
                break
            count -= len(part)
            if keep:
                taken += part
            if count > 0:
                await asyncio.sleep(0)
        return taken


class Pages(Source[T]):
    """A query that is asked for what comes after a key. The page in flight is kept, since the rows
    may have changed when a replay would ask again."""

    keeps_first = True

    def __init__(self, fetch: Callable[[Any], Any]) -> None:
        self._fetch = fetch
        name = getattr(fetch, "__name__", "pages")
        self._codec = Codec(_returned(fetch), owner=f"a page of {name}")
        self._after: Any = None
        self._over = False
        self._kept: str | None = None
        self._text = ""

    def position(self) -> dict[str, Any]:
        return {"page": self._text}

    def resume(self, position: dict[str, Any]) -> None:
        self._kept = position["page"]

    def _again(self) -> list[T]:
        text, self._kept = self._kept, None
        return self._taken(self._codec.decode(text or "null"))

    def _taken(self, page: Any) -> list[T]:
        try:
            rows, after = page
        except (TypeError, ValueError):
            raise Refused(
                "pages(fetch) needs a function that returns (rows, after): the rows of a page, and "
                "what to pass to get the next one; None when this one was the last."
            ) from None
        self._text = self._codec.encode(page)
        self._after, self._over = after, after is None
        return list(rows)

    def read_in_thread(self) -> list[T]:
        if self._kept is not None:
            return self._again()
        while not self._over:
            if rows := self._taken(self._fetch(self._after)):
                return rows
        return []

    async def read(self) -> list[T]:
        if self._kept is not None:
            return self._again()
        while not self._over:
            if inspect.iscoroutinefunction(inspect.unwrap(self._fetch)):
                page = await self._fetch(self._after)
            else:
                page = await asyncio.to_thread(self._fetch, self._after)
            if rows := self._taken(page):
                return rows
        return []


def _returned(fetch: Callable[..., Any]) -> Any:
    """What the author's function says it returns; Any where it says nothing."""
    try:
        return get_type_hints(inspect.unwrap(fetch), include_extras=True).get("return", Any)
    except (TypeError, NameError):  # no function, or names that exist for type checkers only
        return Any


class Read:
    """An effect: read the next chunk. Inside, calls of steps are plain calls."""

    __slots__ = ("_address", "_source")

    def __init__(self, source: Source[Any], address: str) -> None:
        self._source = source
        self._address = address

    async def run(self, context: RunContext) -> list[Any]:
        token = current.set(StepScope(context, self._address, 1))
        try:
            return await self._source.read()
        finally:
            current.reset(token)

    def run_in_thread(self, context: RunContext) -> list[Any]:
        token = current.set(StepScope(context, self._address, 1))
        try:
            return self._source.read_in_thread()
        finally:
            current.reset(token)


class Chunks(Generic[T]):
    """A walk, to be iterated over once: with `async for` in an `async def` flow, with `for` in a
    `def` flow or outside of flows, where nothing is kept.

    notes  what the loop has to remember, kept with the position: plain values by name
    done   items of the chunks that are done
    """

    def __init__(
        self, name: str, source: Source[T], *, total: int | None = None, report: bool = True
    ) -> None:
        self.notes: dict[str, Any] = {}
        self.done = 0
        self._source = source
        self._total = total
        self._report = report
        self._scope = flow_scope()
        self._address = "" if self._scope is None else self._scope.address(name)
        self._begun = False

    def __iter__(self) -> Iterator[list[T]]:
        return _Walk(self._walker())

    def __aiter__(self) -> AsyncIterator[list[T]]:
        return _AsyncWalk(self._walker())

    def _walker(self) -> _Walker[T]:
        if self._begun:
            raise Refused("These chunks have been walked already. Make new ones: chunks(...).")
        self._begun = True
        if self._scope is None:
            return _Walker(self, self._source)
        return _KeptWalker(self, self._source, self._scope)


class _Walker(Generic[T]):
    """Outside of flows: one chunk after the other."""

    def __init__(self, walk: Chunks[T], source: Source[T]) -> None:
        self.walk = walk
        self.source = source
        self.size = 0  # of the chunk in flight

    async def next(self) -> list[T]:
        self.walk.done += self.size
        chunk = await self.source.read()
        self.size = len(chunk)
        return chunk

    def next_in_thread(self) -> list[T]:
        self.walk.done += self.size
        chunk = self.source.read_in_thread()
        self.size = len(chunk)
        return chunk

    def leave(self) -> None:
        """A chunk is done."""

    def close(self) -> None:
        """The loop is left, in the middle or at its end."""
        self.leave()
        self.source.close()


class _KeptWalker(_Walker[T]):
    """Inside a flow."""

    def __init__(self, walk: Chunks[T], source: Source[T], scope: FlowScope) -> None:
        super().__init__(walk, source)
        self.scope = scope
        self.context = scope.context
        self.address = walk._address
        self.number: int | None = None  # of the chunk in flight
        self.began = self.context.clock()

    async def next(self) -> list[T]:
        return await drive(self.context, self._next())

    def next_in_thread(self) -> list[T]:
        if asyncio._get_running_loop() is not None:
            raise Refused("Write `async for` over chunks in an `async def` flow.")
        return drive_in_thread(self.context, self._next())

    def leave(self) -> None:
        self.scope.leave(self)

    def _next(self) -> Protocol_[list[T]]:
        self.leave()
        self.context.check_forward()
        if self.number is None:
            kept = kept_row(self.context, self.address, "cursor")
            if kept is not None:
                position = json.loads(kept.result or "{}")
                self.began = kept.started_at
                self.walk.done = position["done"]
                self.walk.notes.update(ANY.decode(position["notes"]))
                if position["over"]:
                    return []
                self.source.resume(position)
            chunk: list[T] = yield Read(self.source, self.address)
            self.number = 0 if kept is None else position["number"]
            if kept is None and (self.source.keeps_first or not chunk):
                yield self._save(chunk, forgets=None)
        else:
            self.walk.done += self.size
            over = branch_path(self.address, self.number)
            chunk = yield Read(self.source, self.address)
            self.number += 1
            yield self._save(chunk, forgets=over)
            self.context.forget(over)
        self.size = len(chunk)
        if chunk:
            self.scope.enter(self, branch_path(self.address, self.number))
        return chunk

    def _save(self, chunk: list[T], *, forgets: str | None) -> Save:
        """Move the cursor to this chunk; to the end if it is empty."""
        position = {
            "number": self.number,
            "done": self.walk.done,
            "notes": ANY.encode(self.walk.notes),
            "over": not chunk,
            **(self.source.position() if chunk else {}),
        }
        self._tell()
        row = StepRow(
            self.address, self.address.rpartition("/")[2].partition("#")[0], "cursor", "done",
            json.dumps(position, ensure_ascii=False),
            started_at=self.began, finished_at=self.context.clock(),
        )  # fmt: skip
        return Save(self.context.saving(row, forgets=forgets))

    def _tell(self) -> None:
        """Show how far the walk is: in the same commit as the cursor, mostly."""
        if not self.walk._report:
            return
        run = self.context.run
        done, total = self.walk.done, self.walk._total
        if total:
            fraction = min(done / total, 1.0)
            self.context.desk.post(Progress(run.id, run.attempt, fraction))
        else:
            self.context.desk.post(Progress(run.id, run.attempt, None, f"{done:,} done"))


class _Walk(Generic[T]):
    """What `for` holds while it loops, and lets go of however it ends."""

    def __init__(self, walker: _Walker[T]) -> None:
        self._walker = walker

    def __iter__(self) -> _Walk[T]:
        return self

    def __next__(self) -> list[T]:
        if chunk := self._walker.next_in_thread():
            return chunk
        raise StopIteration

    def __del__(self) -> None:
        self._walker.close()


class _AsyncWalk(Generic[T]):
    """The same for `async for`."""

    def __init__(self, walker: _Walker[T]) -> None:
        self._walker = walker

    def __aiter__(self) -> _AsyncWalk[T]:
        return self

    async def __anext__(self) -> list[T]:
        if chunk := await self._walker.next():
            return chunk
        raise StopAsyncIteration

    def __del__(self) -> None:
        self._walker.close()


def chunks(
    items: Iterable[T] | AsyncIterable[T] | Callable[[], Iterable[T] | AsyncIterable[T]],
    /,
    *,
    size: int = 500,
    total: int | None = None,
    report: bool = True,
) -> Chunks[T]:
    """Walk items in chunks of `size`, each a list. After a crash the walk goes on in the chunk it
    was in; chunks that are done don't come again.

    items   the same ones at every replay: a list, a range, a file's lines, a generator, or a
            function that makes one of these. A sequence is entered anywhere at once, anything
            else is read past from its beginning
    total   how many there are, where that can't be seen; for the progress
    report  tell the run's progress by it; False: leave that to the flow
    """
    if size < 1:
        raise Refused(f"chunks(size={size}) can't be. Use 1 or more.")
    source = Items[T](items, size)
    counted = source.total() if total is None else total
    return Chunks("chunks", source, total=counted, report=report)


def pages(
    fetch: Callable[[K | None], tuple[Sequence[T], K | None]]
    | Callable[[K | None], Awaitable[tuple[Sequence[T], K | None]]],
    /,
    *,
    total: int | None = None,
    report: bool = True,
) -> Chunks[T]:
    """Walk a query in pages: `fetch(after)` returns (rows, after), where `after` is None for the
    first page and when there are no more; between, whatever comes after the last row, its key say.

    The page in flight is kept, so after a crash the flow gets the very rows it had, whatever has
    become of them. So they must be storable, like a step's result: ids, say.
    """
    source: Source[T] = cast("Source[T]", Pages(fetch))
    return Chunks("pages", source, total=total, report=report)
