"""A program that bears workers and callers: each is a process of its own, and cheap to replace.

    python -m tests.torture.nursery          reads orders from its input, a line each:

    worker                     perform runs, without a supervisor
    caller 0 2                 start the runs whose number is 0 modulo 2
                               the answer to either is the child's process number

It has imported everything, so that a child is a fork of some milliseconds, and a thousand kills
take minutes and not hours. It opens no database itself. When its input ends it kills what is left.

A caller goes on as far as the file `allowed` says. It writes down what was accepted, a line for
each start and each event, as soon as it has been told so and not before. What was asked for when
its predecessor died it asks for again, if it has a key; who has none can't know, and leaves it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from backroom import Run
from backroom.engine.leash import die_with_parent
from backroom.records.errors import Busy, StoreError
from tests.torture.labour import EVENT, EVERY, FOLDER, app, drudge, labour
from tests.torture.sabotage import off

AT_ONCE = "BACKROOM_TEST_AT_ONCE"  # calls of one caller that wait for their answers
LEASE = "BACKROOM_TEST_LEASE"

T = TypeVar("T")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries them
    born: list[int] = []
    for order in sys.stdin:
        what, *numbers = order.split()
        pid = os.fork()
        if pid == 0:
            live(what, [int(number) for number in numbers])
        born.append(pid)
        print(pid, flush=True)
    for pid in born:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def live(what: str, numbers: list[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent(os.getppid(), signal.SIGKILL)
    os.close(0)
    os.close(1)
    try:
        if what == "worker":
            perform()
        else:
            asyncio.run(Caller(*numbers).call())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def perform() -> None:
    """A worker that can't begin says so and ends; here it is begun again, as by a supervisor."""
    while True:
        try:
            worker = app.worker(lease=float(os.environ[LEASE]), concurrency=32)
            asyncio.run(worker.run())
        except StoreError as error:
            print(f"A worker can't begin, and is begun again: {error}", file=sys.stderr, flush=True)
            time.sleep(0.1)


class Caller:
    def __init__(self, mine: int, of: int) -> None:
        self.mine, self.of = mine, of
        self.folder = Path(os.environ[FOLDER])
        path = self.folder / f"accepted-{mine}"
        self.told: dict[str, str] = {}
        if path.exists():
            self.told = dict(line.split() for line in path.read_text().splitlines())
        self.log = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self.asked = os.open(self.folder / f"asked-{mine}", os.O_APPEND | os.O_CREAT | os.O_RDWR)
        lines = os.pread(self.asked, 1 << 30, 0).decode().split()
        self.begun = set(lines)

    async def call(self) -> None:
        number = self.mine
        busy: set[asyncio.Task[None]] = set()
        at_once = int(os.environ[AT_ONCE])
        while True:
            if number >= self.allowed():
                await asyncio.sleep(0.01)
            elif len(busy) >= at_once:
                await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
            else:
                task = asyncio.create_task(self.one(number))
                busy.add(task)
                task.add_done_callback(busy.discard)
                number += self.of

    def allowed(self) -> int:
        return int((self.folder / "allowed").read_text())

    async def one(self, number: int) -> None:
        run_id = self.told.get(f"run-{number}") or await self.start(number)
        if run_id is None or number % EVERY or f"event-{number}" in self.told:
            return
        run = app.run(run_id)
        await insisted(lambda: run.emit(EVENT, number, key="once"))
        self.note(f"event-{number}", run_id)

    async def start(self, number: int) -> str | None:
        """The run's id; None: nobody knows."""
        if has_key(number):
            return await insisted(lambda: self.started(number, f"key-{number}"))
        if f"run-{number}" in self.begun:
            return None
        os.write(self.asked, f"run-{number}\n".encode())
        try:
            return await self.started(number, None)
        except StoreError:
            return None

    async def started(self, number: int, key: str | None) -> str:
        run: Run[Any]
        if number % EVERY == 0 or number % 2:
            run = labour.using(key=key).start(number)
        else:
            run = drudge.using(key=key).start(number)
        if off("receipt"):
            self.note(f"run-{number}", run.id)
        await run
        self.note(f"run-{number}", run.id)
        return run.id

    def note(self, what: str, run_id: str) -> None:
        os.write(self.log, f"{what} {run_id}\n".encode())


def has_key(number: int) -> bool:
    return number % 3 != 0 or number % EVERY == 0


async def insisted(ask: Callable[[], Awaitable[T]]) -> T:
    """Whoever gets no answer asks again."""
    while True:
        try:
            return await ask()
        except (StoreError, Busy):
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
