"""`backroom worker` as a real process, and waiting for conditions instead of sleeping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tests.engine.supervised import FOLDER

T = TypeVar("T")

ROOT = Path(__file__).parents[2]

PATIENCE_SECONDS = 60.0  # nothing waits that long but a test that fails, or a busy machine


def eventually(look: Callable[[], T], seconds: float = PATIENCE_SECONDS, what: str = "") -> T:
    """What `look` answers once that is true; fails when it doesn't become true in time."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or look}"
        time.sleep(0.01)
    return answer


class Program:
    """A running `backroom ...`, with what it has printed and the marks of its flows."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, folder: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._output = output
        self._folder = folder

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def children(self) -> list[int]:
        """The processes it has started and that are still there."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    def ready(self, workers: int = 1) -> Program:
        eventually(
            lambda: (
                self.output().count("is ready for queues") >= workers
                or self.process.poll() is not None
            ),
            what="ready",
        )
        assert self.process.poll() is None, self.output()
        return self

    def signal(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        return self.process.wait(seconds)


class Marks:
    """What the flows have done, counted across all processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, what: str) -> list[int]:
        """The processes that left this mark, in order."""
        path = self.folder / "marks"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(pid) for name, pid in map(str.split, lines) if name == what]

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()


@contextmanager
def program(
    *arguments: str,
    database: str,
    folder: Path,
    app: str = "tests.engine.supervised:app",
    env: dict[str, str] | None = None,
) -> Iterator[Program]:
    """Start `python -m backroom ...`; whatever of it is left at the end is killed."""
    output = folder / f"output-{time.monotonic_ns()}"
    environment = os.environ | {
        "BACKROOM_DATABASE": database,
        "BACKROOM_APP": app,
        FOLDER: str(folder),
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
    }
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "backroom", *arguments],
            env=environment | (env or {}), stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    running = Program(process, output, folder)
    try:
        yield running
    finally:
        left = running.children()
        process.kill()
        process.wait()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        print(running.output())


def exists(pid: int) -> bool:
    """Whether a process is there and not just a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
