"""`backroom serve`: workers and a web application under one roof."""

from __future__ import annotations

import re
import signal
import socket
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engine.processes import Program, eventually, exists, program

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.timeout(120),
]

APP = "tests.engine.supervised:app"
SERVE = ("serve", "--asgi", "tests.cli.website:website", "--port", "0")


def address(served: Program) -> str:
    def look() -> str:
        assert served.process.poll() is None, served.output()
        found = re.search(r"on (http://127\.0\.0\.1:\d+)", served.output())
        return found[1] if found else ""

    return eventually(look, what="the address")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  our own server
        text: str = answer.read().decode()
    return text


def test_a_request_starts_a_run_that_the_worker_performs(database: str, tmp_path: Path) -> None:
    with program(*SERVE, database=database, folder=tmp_path, app=APP) as served:
        url = address(served)
        assert int(get(url)) in served.children()
        children = served.children()
        assert len(children) == 2
        served.signal(signal.SIGTERM)
        assert served.exit_code() == 0
        assert not any(map(exists, children))


def test_a_restart_loses_no_request(database: str, tmp_path: Path) -> None:
    with (
        program(*SERVE, database=database, folder=tmp_path, app=APP) as served,
        ThreadPoolExecutor(4) as people,
    ):
        url = address(served)
        for _ in range(2):
            old = served.children()

            def read_on(old: list[int] = old) -> None:
                while any(map(exists, old)):
                    assert get(url)

            reading = [people.submit(read_on) for _ in range(4)]
            served.signal(signal.SIGHUP)
            for reader in reading:
                reader.result()
        assert int(get(url)) in served.children()


def test_a_port_that_is_taken(database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with program(*SERVE[:-1], port, database=database, folder=tmp_path, app=APP) as served:
            assert served.exit_code() == 1
            assert (
                f"Can't listen on 127.0.0.1 port {port}: Address already in use" in served.output()
            )


def test_a_website_that_is_not_there(database: str, tmp_path: Path) -> None:
    arguments = ("serve", "--asgi", "tests.cli.website:web", "--port", "0")
    with program(*arguments, database=database, folder=tmp_path, app=APP) as served:
        assert served.exit_code() == 1
        assert "tests.cli.website has no 'web'" in served.output()
        assert "Traceback" not in served.output()
