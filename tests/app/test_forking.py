"""Servers that fork after the application was loaded, and even used: `gunicorn --preload`."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backroom import Backroom
from backroom.testing import eventually
from tests.flows.house import LONG, result

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=LONG)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LONG)
        self.sock.connect(self.path)


def ask(path: Path, order: str) -> dict[str, Any]:
    connection = OverSocket(path)
    try:
        connection.request("GET", f"/{order}")
        answer = connection.getresponse()
        assert answer.status == 200
        told: dict[str, Any] = json.loads(answer.read())
        return told
    finally:
        connection.close()


@contextmanager
def gunicorn(database: str, folder: Path, *options: str) -> Iterator[Path]:
    """Two forked processes of the site; the path of their socket."""
    path = folder / "site"
    words = ["--preload", "--workers", "2", "--bind", f"unix:{path}", *options]
    program = [sys.executable, "-m", "gunicorn", *words, "tests.app.forking_site:site"]
    process = subprocess.Popen(
        program,
        cwd=ROOT,
        env={**os.environ, "BACKROOM_DATABASE": database},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    assert process.stdout is not None
    reading = threading.Thread(target=said.extend, args=(process.stdout,))
    reading.start()
    try:
        eventually(lambda: path.exists() or process.poll() is not None, within=LONG)
        assert process.poll() is None, "".join(said)
        yield path
    finally:
        process.terminate()
        code = process.wait(LONG)
        reading.join()
        process.stdout.close()
    assert code == 0, "".join(said)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a socket has room for some hundred bytes."""
    with tempfile.TemporaryDirectory(prefix="backroom-") as folder:
        yield Path(folder)


def test_children_of_a_preloaded_site_start_runs_and_read(
    database: str, short_folder: Path
) -> None:
    with gunicorn(database, short_folder) as path:
        told: list[dict[str, Any]] = []

        def both_have_answered() -> bool:
            with ThreadPoolExecutor(4) as threads:
                told.extend(threads.map(lambda n: ask(path, f"order-{n}"), range(8)))
            return len({each["pid"] for each in told}) == 2

        eventually(both_have_answered, within=LONG)
    assert {(each["forked"], each["state"], each["first"]) for each in told} == {
        (True, "ready", "ready")
    }
    app = Backroom(database)
    rows = app.office.read(lambda reader: reader.runs(limit=10_000)).result(LONG)
    app.close()
    assert {row.id for row in rows} >= {each["run"] for each in told}
    assert len(rows) == len(told) + 1


def in_child(work: Callable[[], object]) -> int:
    """Fork, do this in the child, and answer its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_parent_and_children_go_on_after_a_fork_in_full_use(database: str) -> None:
    """Handles, readers and awaited results of before the fork serve both sides."""
    app = Backroom(database, poll=0.02)

    @app.flow
    async def double(number: int) -> int:
        return 2 * number

    with app.working():
        before = double.start(1)
        assert result(before) == 2

        def child() -> None:
            assert result(before) == 2
            assert result(double.start(2)) == 4  # performed by the parent's worker
            app.close()

        assert [in_child(child) for _ in range(3)] == [0, 0, 0]
        assert result(double.start(3)) == 6
    app.close()


def test_a_child_may_work_itself(database: str) -> None:
    app = Backroom(database, poll=0.02)

    @app.flow
    def double(number: int) -> int:
        return 2 * number

    run = double.start(1)

    def child() -> None:
        with app.working():
            assert result(run) == 2

    assert in_child(child) == 0
    assert result(run) == 2
    app.close()
