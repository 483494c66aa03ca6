"""How a body in another process reports its progress: over a socket on the loopback interface.

It is the same for every executor: the worker listens, the other process connects when the body
first says something, and each line is one report of JSON.

    process of an executor                      worker
    {"token", "fraction", "status"} ─────────▶  the call with that token ─▶ Progress
    {"token", "end": true}          ─────────▶
                                    ◀─────────  newline: all of yours has been handed on

The worker's end is `flows/listener.py`. The token is a secret of one call, and what comes without
one is ignored. An executor whose processes are on other machines doesn't reach the loopback
interface of this one: say under which name they reach it (`app.executor(..., reached_at=...)`).
Where nothing is reached reports are dropped; they carry no truth.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from backroom.store.verbs import Progress

__all__ = ["LOOPBACK", "Line", "Report", "Reports", "reporting"]

log = logging.getLogger("backroom")

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 2.0

Report = Callable[[float | None, str | None], None]


@dataclass
class Line:
    """Where a call reports to."""

    host: str
    port: int
    token: str


# --- in the other process


@contextlib.contextmanager
def reporting(line: Line) -> Iterator[Reports]:
    reports = Reports(line)
    try:
        yield reports
    finally:
        reports.end()


class Reports:
    """Stands where a step in the worker has its desk."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._socket: socket.socket | None = None
        self._failed = False
        self._lock = threading.Lock()

    def post(self, verb: Progress) -> None:
        with self._lock:
            if self._failed:
                return
            try:
                if self._socket is None:
                    self._socket = socket.create_connection(
                        (self._line.host, self._line.port), CONNECT_SECONDS
                    )
                self._send(fraction=verb.fraction, status=verb.status)
            except OSError as error:
                self._failed = True
                log.warning(
                    "Progress is not reported: %s port %d can't be reached (%s). If this process "
                    "is on another machine than its worker, say reached_at= where the executor is "
                    "declared.", self._line.host, self._line.port, error,
                )  # fmt: skip

    def end(self) -> None:
        """Wait until what was said has been handed on: it must not come after the result."""
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                with self._socket:
                    if not self._failed:
                        self._send(end=True)
                        self._socket.recv(1)

    def _send(self, **message: Any) -> None:
        assert self._socket is not None
        data = json.dumps({"token": self._line.token, **message}) + "\n"
        self._socket.sendall(data.encode())
