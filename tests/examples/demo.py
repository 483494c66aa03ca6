"""`python -m examples.expenses` as a person starts it: all its processes, on a port of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.examples.conftest import free_port

__all__ = ["demo"]

ROOT = Path(__file__).parents[2]


@contextmanager
def demo(database: str, log: Path) -> Iterator[str]:
    """The address of the running demo; at the end it is told to stop, and has to."""
    port = free_port()
    environment = os.environ | {
        "BACKROOM_DATABASE": database, "EXPENSES_CATCH_ALL_PORT": str(free_port()),
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.expenses", "--port", str(port), "-n", "1"],
            cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _until_it_answers(address, process, log)
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 40
    while True:
        assert process.poll() is None, f"the demo ended by itself:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the demo didn't answer:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"{address}/claims", timeout=5):  # noqa: S310  our own
                return
        except OSError:
            time.sleep(0.1)
