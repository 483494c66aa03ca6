"""How the bodies of jobs, in any process and thread, tell the measuring process what happened.

Two ways, both of which survive `kill -9`:

- counts of bodies that began and that ended, in a file that all processes map into their memory:
  some hundred nanoseconds each;
- lines in a file that is open for appending, a system call each, for the works that need times.

Standard library only: this runs in the environments of the peers.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from pathlib import Path

__all__ = ["Diary", "make_diary"]

SLOTS = 4096  # a process counts in the slot of its id
COUNT = struct.Struct("<qq")  # begun, ended


def make_diary(folder: Path) -> Diary:
    (folder / "counts").write_bytes(bytes(SLOTS * COUNT.size))
    (folder / "lines").write_bytes(b"")
    return Diary(folder)


class Diary:
    def __init__(self, folder: Path) -> None:
        self._lines = os.open(folder / "lines", os.O_RDWR | os.O_APPEND)
        with (folder / "counts").open("r+b") as file:
            self._counts = mmap.mmap(file.fileno(), SLOTS * COUNT.size)
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._after_fork)

    def begin(self) -> None:
        self._count(1, 0)

    def end(self) -> None:
        self._count(0, 1)

    def note(self, line: str) -> None:
        os.write(self._lines, line.encode() + b"\n")

    def begun(self) -> int:
        return sum(begun for begun, _ in COUNT.iter_unpack(self._counts))

    def ended(self) -> int:
        return sum(ended for _, ended in COUNT.iter_unpack(self._counts))

    def lines(self) -> list[list[str]]:
        """Everything noted so far, split into words."""
        size = os.fstat(self._lines).st_size
        return [line.split() for line in os.pread(self._lines, size, 0).decode().splitlines()]

    def close(self) -> None:
        self._counts.close()
        os.close(self._lines)

    def _count(self, begun: int, ended: int) -> None:
        with self._lock:
            at = os.getpid() % SLOTS * COUNT.size
            before = COUNT.unpack_from(self._counts, at)
            COUNT.pack_into(self._counts, at, before[0] + begun, before[1] + ended)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
