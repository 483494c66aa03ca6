"""What runs in a peer's process: `python -m benchmarks.peers.line ADAPTER ROLE [JSON]`.

The parent (`contender.py`) gives the database's address and the diary's folder in the environment.
A role prints one JSON object a line:

    prepare                                        {"done": true}
    fill     {"kind": "noop", "count": 10000}      {"done": true}
    start    {"how": "one", "seconds": 1}          {"rate": 1234.5}
    stamp    {"kind": "stamp", "seconds": 3, …}    {"done": true}: jobs one by one on an idle system
    work     {"processes": 1, …}                   {"ready": true}; after "go" works until it is
                                                   killed

Standard library only: this runs in the environments of the peers.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from benchmarks.peers.diary import Diary

__all__ = ["ADDRESS", "FOLDER", "Client", "begin_ten", "diary", "end_ten", "noop", "slow",
           "slow_async", "stamp"]  # fmt: skip

ADDRESS = os.environ.get("BENCH_ADDRESS", "")
FOLDER = os.environ.get("BENCH_FOLDER", "")
CALLERS = 64
BULK = 1_000  # jobs in one bulk call
SLOW_SECONDS = 0.005
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Client:
    """A process that puts jobs in. Each call returns when the job is accepted; plain functions
    and coroutine functions are both fine."""

    one: Callable[[str, int], Any]
    bulk: Callable[[str, Sequence[int]], Any] | None = None  # None: it has no such call
    one_of_many: Callable[[str, int], Any] | None = None  # for many at once, where it differs


class Adapter(Protocol):
    """What a module of `adapters` offers."""

    def prepare(self) -> None:
        """Make the tables in an empty database."""
        ...

    def client(self) -> AbstractAsyncContextManager[Client]: ...

    def work(self, settings: dict[str, Any]) -> None:
        """Work until killed. Where a peer has a command of its own for this, become it."""
        ...


# The bodies that all adapters call.

_diary: Diary | None = None


def diary() -> Diary:
    global _diary
    if _diary is None:
        _diary = Diary(Path(FOLDER))
    return _diary


def noop(number: int) -> None:
    diary().begin()


def stamp(called_at: int) -> None:
    diary().note(f"stamp {time.monotonic_ns() - called_at}")
    diary().begin()


def slow(number: int) -> None:
    _begin_slow(number)
    time.sleep(SLOW_SECONDS)
    _end_slow(number)


async def slow_async(number: int) -> None:
    _begin_slow(number)
    await asyncio.sleep(SLOW_SECONDS)
    _end_slow(number)


def _begin_slow(number: int) -> None:
    diary().note(f"begin {number} {time.monotonic_ns()}")
    diary().begin()


def _end_slow(number: int) -> None:
    diary().note(f"end {number} {time.monotonic_ns()}")
    diary().end()


def begin_ten() -> int:
    diary().begin()
    return time.monotonic_ns()


def end_ten(called_at: int, began: int) -> None:
    now = time.monotonic_ns()
    diary().note(f"ten {now - called_at} {now - began}")
    diary().end()


# The roles.


def main() -> None:
    name, role = sys.argv[1:3]
    given: dict[str, Any] = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    adapter = cast(Adapter, importlib.import_module(f"benchmarks.peers.adapters.{name}"))
    match role:
        case "prepare":
            adapter.prepare()
            say({"done": True})
        case "fill":
            asyncio.run(fill(adapter, **given))
        case "start":
            asyncio.run(start(adapter, **given))
        case "stamp":
            asyncio.run(one_by_one(adapter, **given))
        case "work":
            diary()
            say({"ready": True})
            if sys.stdin.readline().strip() == "go":
                adapter.work(given)
        case _:
            raise SystemExit(f"no role {role!r}")
    sys.stdout.flush()
    os._exit(0)  # what a peer's threads still want is of no interest


async def fill(adapter: Adapter, kind: str, count: int) -> None:
    async with adapter.client() as client:
        if client.bulk is not None:
            parts = [range(at, min(at + BULK, count)) for at in range(0, count, BULK)]
            await repeated(client.bulk, kind, iter(parts))
        else:
            await by_many(client, kind, iter(range(count)))
    say({"done": True})


async def start(adapter: Adapter, how: str, seconds: float) -> None:
    async with adapter.client() as client:
        await repeated(client.one, "noop", iter([0]))  # connected, and its statements known
        numbers = until(time.perf_counter() + seconds)
        begun = time.perf_counter()
        if how == "one":
            count = await repeated(client.one, "noop", numbers)
        elif how == "many":
            count = await by_many(client, "noop", numbers)
        elif client.bulk is not None:
            count = BULK * await repeated(client.bulk, "noop", (range(BULK) for _ in numbers))
        else:
            return say({"rate": None})
        return say({"rate": count / (time.perf_counter() - begun)})


def until(moment: float) -> Iterator[int]:
    number = 0
    while time.perf_counter() < moment:
        yield number
        number += 1


async def repeated(call: Callable[[str, Any], Any], kind: str, arguments: Iterator[Any]) -> int:
    """The calls one after another; how many. Plain functions are called where no loop runs."""
    if inspect.iscoroutinefunction(call):
        count = 0
        for argument in arguments:
            await call(kind, argument)
            count += 1
        return count

    def plainly() -> int:
        count = 0
        for argument in arguments:
            call(kind, argument)
            count += 1
        return count

    return await asyncio.to_thread(plainly)


async def by_many(client: Client, kind: str, numbers: Iterator[int]) -> int:
    """The same by CALLERS at once: tasks, or threads if the peer's call is a plain function."""
    one = client.one_of_many or client.one
    if inspect.iscoroutinefunction(one):
        # Generators can't be shared by threads, but by the tasks of one loop.
        counts = await asyncio.gather(*(repeated(one, kind, numbers) for _ in range(CALLERS)))
        return sum(counts)
    shared = Shared(numbers)
    with ThreadPoolExecutor(CALLERS) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        counts = await asyncio.gather(*(repeated(one, kind, shared) for _ in range(CALLERS)))
        return sum(counts)


class Shared:
    """An iterator that threads may share."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


async def one_by_one(
    adapter: Adapter, kind: str, most: int, seconds: float, pause: list[float]
) -> None:
    """One job at a time: the next is put in a moment after the last was seen."""
    chance = random.Random(7)
    begun = time.monotonic()

    def moments() -> Iterator[int]:
        for number in range(1, most + 1):
            yield time.monotonic_ns()
            until_seen(number, ended=kind == "ten")
            if number > 1 and time.monotonic() > begun + seconds:
                break
            time.sleep(chance.uniform(*pause))

    async with adapter.client() as client:
        if inspect.iscoroutinefunction(client.one):
            waiting = moments()
            # In threads, so that the peer's own tasks go on meanwhile.
            while await asyncio.to_thread(next, waiting, 0):
                await client.one(kind, time.monotonic_ns())
        else:
            await repeated(client.one, kind, moments())
    say({"done": True})


def until_seen(number: int, *, ended: bool) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (diary().ended() if ended else diary().begun()) < number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Job {number} has not begun within {PATIENCE_SECONDS} s.")
        time.sleep(0.002)


def say(message: dict[str, Any]) -> None:
    # Adapters and their libraries may print as well: ours are marked.
    sys.stdout.write("\n@" + json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
