"""The parent's end of the line to a measured worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from queue import Empty, Queue
from types import TracebackType
from typing import Any

from benchmarks.worker import REPORT_EVERY

__all__ = ["WorkerProcess", "until_drained"]

PATIENCE_SECONDS = 120.0


class WorkerProcess:
    """`with WorkerProcess(database) as worker`: ready when the block begins, gone when it ends."""

    def __init__(
        self,
        database: str,
        *,
        concurrency: int = 100,
        count_statements: bool = False,
        limits: bool = False,
    ) -> None:
        self.begun = 0
        words = ["--concurrency", str(concurrency)]
        if count_statements:
            words.append("--count-statements")
        if limits:
            words.append("--limits")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *words],
            env={**os.environ, "BACKROOM_DATABASE": database},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard: Queue[dict[str, Any]] = Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> WorkerProcess:
        self._hear("ready")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()  # the child stops at the end of its input
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def go(self) -> None:
        self._say("go")

    def usage(self) -> dict[str, Any]:
        self._say("usage")
        return self._hear("cpu_seconds")

    def stop(self) -> dict[str, Any]:
        """Let it finish; what its flows have noted."""
        self._say("stop")
        return self._hear("delays_ns")

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _hear(self, key: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                message = self._heard.get(timeout=deadline - time.monotonic())
            except (Empty, ValueError):
                raise TimeoutError(f"The worker process said no {key!r}.") from None
            if not message:
                raise RuntimeError("The worker process has ended; its last words are above.")
            if key in message:
                return message

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "begun" in message:
                self.begun = message["begun"]
            else:
                self._heard.put(message)
        self._heard.put({})


def until_drained(workers: list[WorkerProcess], runs: int, place: Any) -> float:
    """Wait until no run is left; the moment, on `time.monotonic`.

    The database is asked only towards the end, since asking takes time from what is measured.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        begun = sum(worker.begun for worker in workers)
        if begun > runs - REPORT_EVERY * len(workers) and place.is_drained():
            return time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"Only {begun} of {runs} runs began within {PATIENCE_SECONDS} s.")
        time.sleep(0.002)
