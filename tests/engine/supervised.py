"""The application of the supervisor's tests, as its workers import it.

It leaves marks in a file, a line each, so that the tests can count what really happened; and it
waits at gates, files that a test makes when it has seen enough.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path

from backroom import Backroom, current_run, step

FOLDER = "BACKROOM_TEST_MARKS"


def folder() -> Path:
    return Path(os.environ[FOLDER])


def mark(what: str) -> None:
    descriptor = os.open(folder() / "marks", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{what} {os.getpid()}\n".encode())
    os.close(descriptor)


def marks(what: str) -> int:
    path = folder() / "marks"
    return path.read_text().count(f"{what} ") if path.exists() else 0


def pass_gate(name: str) -> None:
    while not (folder() / name).exists():
        time.sleep(0.01)


@step
def first() -> int:
    mark("first")
    return os.getpid()


@step
def second(gate: str) -> int:
    mark("second")
    pass_gate(gate)
    return os.getpid()


@step(process=True)
def compute(gate: str) -> int:
    mark("compute")
    pass_gate(gate)
    return os.getpid()


def kill_for_memory() -> None:
    """As the system does with whoever takes too much of it: without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def declare(app: Backroom) -> Backroom:
    @app.flow
    def two_steps(gate: str) -> list[int]:
        return [first(), second(gate)]

    @app.flow
    def computed(gate: str) -> list[int]:
        return [first(), compute(gate)]

    @app.flow
    async def hog(seconds: float) -> int:
        """Holds the interpreter's lock: PyDLL, unlike CDLL, doesn't let go of it."""
        mark("hog")
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
        return current_run().attempt

    @app.flow
    async def in_pool(gate: str) -> int:
        return await asyncio.to_thread(second, gate)

    @app.flow
    def die(how: str) -> None:
        """A segmentation fault is what `crash` does."""
        if how == "exit":
            os._exit(7)
        kill_for_memory()

    @app.flow
    async def bystander() -> int:
        """Is there whenever the worker dies, until it is alone."""
        mark("bystander")
        while current_run().attempt < 3:  # noqa: ASYNC110  it waits to be killed
            await asyncio.sleep(0.01)
        return os.getpid()

    @app.flow
    async def crash(bystanders: int) -> None:
        """Takes all of them down with it, twice, and itself alone."""
        attempt = current_run().attempt
        others = bystanders * attempt
        while attempt < 3 and marks("bystander") < others:  # noqa: ASYNC110  left by others
            await asyncio.sleep(0.01)
        mark("crash")
        ctypes.string_at(0)

    @app.flow
    async def quick() -> int:
        return os.getpid()

    return app


app = declare(Backroom())
no_app = 3
