"""Steps that run in other processes, as those processes import them.

They leave marks in a folder, a file each, and wait there for gates that a test opens.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from backroom import Retry, current_run, progress, step

MANY = Retry(attempts=9, delay_seconds=0)


@dataclass
class Place:
    """Where a body was performed, and what it could know there."""

    pid: int
    thread: str
    step_key: str | None
    tries: int
    run_id: str


class Declined(Exception):
    """An error whose class takes other arguments than it hands on."""

    def __init__(self, code: int, *, why: str) -> None:
        self.code = code
        super().__init__(f"{code}: {why}")


def mark(folder: str, name: str) -> int:
    """Leave a mark of this name; how many there are then."""
    place = Path(folder)
    (place / f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()
    return len(marks(folder, name))


def marks(folder: str, name: str) -> list[int]:
    """The processes that left a mark, in order."""
    found = sorted(Path(folder).glob(f"{name}.*"), key=lambda path: int(path.suffix[1:]))
    return [int(path.suffixes[-2][1:]) for path in found]


def gate(folder: str, name: str) -> None:
    while not (Path(folder) / name).exists():
        time.sleep(0.005)


def open_gate(folder: str, name: str) -> None:
    (Path(folder) / name).touch()


@step(process=True)
def where() -> Place:
    run = current_run()
    return Place(os.getpid(), threading.current_thread().name, run.step_key, run.tries, run.id)


@step(process=True)
async def where_async() -> Place:
    await asyncio.sleep(0)
    run = current_run()
    return Place(os.getpid(), threading.current_thread().name, run.step_key, run.tries, run.id)


@step
def here() -> str | None:
    return current_run().step_key


@step(process=True, retry=MANY)
def hold(folder: str, name: str) -> int:
    mark(folder, name)
    gate(folder, f"{name} may go")
    return os.getpid()


@step(process=True, retry=Retry(attempts=2, delay_seconds=0), timeout=0.2)
def too_slow_once(folder: str) -> int:
    if mark(folder, "slow") == 1:
        gate(folder, "never")
    return os.getpid()


@step(process=True)
def halfway(folder: str) -> None:
    progress(0.5, status="half of it")
    gate(folder, "seen")
    progress(1.0, status="all of it")


@step(process=True)
def fail(code: int) -> None:
    raise Declined(code, why="no money")


@step(process=True)
def leave() -> None:
    raise SystemExit(4)


def die(folder: str, how: str) -> int:
    """Die in one of the ways in which a process dies."""
    mark(folder, how)
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "abort":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + 64 * 1024 * 1024
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            return len(bytearray(1024 * 1024 * 1024))
    raise AssertionError(f"survived {how}")


@step(process=True)
def die_once(folder: str, how: str) -> int:
    return die(folder, how)


@step(process=True, retry=MANY)
def die_always(folder: str, how: str) -> int:
    return die(folder, how)


@step(process=True, retry=Retry(attempts=3, delay_seconds=0))
def die_at_first(folder: str) -> int:
    return die(folder, "exit") if mark(folder, "first") == 1 else os.getpid()


@step(process=True)
def unreadable() -> object:
    return threading.Lock()


@step(process=True)
def take(thing: object) -> None: ...


@step(executor="other")
def elsewhere() -> Place:
    run = current_run()
    progress(0.25, status="there")
    return Place(os.getpid(), threading.current_thread().name, run.step_key, run.tries, run.id)


@step(executor="other", retry=MANY)
def hold_elsewhere(folder: str, name: str) -> int:
    mark(folder, name)
    gate(folder, f"{name} may go")
    return os.getpid()


@step(executor="other", retry=MANY)
def die_elsewhere(folder: str) -> int:
    return die(folder, "exit")


@step(executor="other", retry=Retry(attempts=2, delay_seconds=0), timeout=0.3)
def too_slow_elsewhere(folder: str) -> int:
    if mark(folder, "slow") == 1:
        with contextlib.suppress(Exception):
            gate(folder, "late")
        mark(folder, "late")
    return len(marks(folder, "late"))


@step(process=True)
async def hold_async(folder: str, name: str) -> int:
    return hold.spec.function(folder, name)  # type: ignore[no-any-return]


def undone(folder: str, outcome: int | None) -> None:
    mark(folder, "undone")


@step(process=True, undo=undone)
def undoable(folder: str) -> int:
    return os.getpid()
