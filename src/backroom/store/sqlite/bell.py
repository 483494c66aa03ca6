"""Doorbells on one machine: an empty datagram to a loopback port.

A ring carries nothing and proves nothing; a worker that misses one looks a little later. The
worker's port stands in its row, so any process that can open the file can ring.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence

__all__ = ["Ringer", "SqliteBell"]

HOST = "127.0.0.1"
REFRESH_SECONDS = 0.5  # between two looks for the bells of workers that have come
NONE_SECONDS = 0.02  # the same while there is none: a worker that has just come is worth a ring


class SqliteBell:
    """The worker's end: a loopback port of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.setblocking(False)
        self.address = f"{HOST}:{self._socket.getsockname()[1]}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        while True:
            try:
                self._socket.recv(1)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # Windows tells a socket that receives of ports that are gone

    def close(self) -> None:
        self._socket.close()


class Ringer:
    """The other end, shared by all threads of a process: knows the bells and rings them all.

    `look` reads the addresses from the database; it is asked at most every half second, and more
    often while it knows of no worker, since each ring is lost then. Threads that ring while another
    rings leave a note and go: one more round serves them all.
    """

    def __init__(self, look: Callable[[], Sequence[str]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._again = False
        self._bells: tuple[tuple[str, int], ...] = ()
        self._looked_at = -REFRESH_SECONDS
        self._socket: socket.socket | None = None

    def ring(self) -> None:
        self._again = True
        while self._again and self._lock.acquire(blocking=False):
            try:
                self._again = False
                self._ring_all()
            finally:
                self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _ring_all(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= (REFRESH_SECONDS if self._bells else NONE_SECONDS):
            self._looked_at = now
            self._bells = tuple(filter(None, map(parsed, self._look())))
        if self._bells and self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        for bell in self._bells:
            try:
                if self._socket is not None:
                    self._socket.sendto(b"", bell)
            except OSError:
                # Full or refused: the worker has rings enough, or is gone. Look anew next time.
                self._looked_at = -REFRESH_SECONDS


def parsed(address: str) -> tuple[str, int] | None:
    """A loopback address; anything else in the database is nothing to send to."""
    host, _, port = address.rpartition(":")
    return (
        (host, int(port)) if host == HOST and port.isdecimal() and 0 < int(port) < 65536 else None
    )
