"""The line between a supervisor and one of its children.

A pair of connected sockets; each message is one line of JSON.

    supervisor ── plan {...}            what to do, once, at the beginning
               ── renewed 1234.5        your lease was prolonged, asked for at this monotonic time
               ── stop true             finish or hand back, then exit
               ◀─ hello {...}           the database and the settings that are in force
               ◀─ ready true            entered and working
               ◀─ suspects 3            so many runs wait that nobody may perform beside others
               ◀─ failed "..."          can't begin, and why

The line is also the sign of life. When either process ends, however it ends, the system closes its
socket and the other reads the end at once. Secrets (a database's address) travel here rather
than among a process's arguments, where any user of the machine can read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["ChildEnd", "SupervisorEnd", "die_with_parent"]

Message = dict[str, Any]


class _End:
    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""

    def fileno(self) -> int:
        return self._line.fileno()

    def read(self) -> tuple[list[Message], bool]:
        """The messages that have come, and whether the other end is gone. Never blocks."""
        gone = False
        try:
            while True:
                piece = self._line.recv(65_536)
                if not piece:
                    gone = True
                    break
                self._rest += piece
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            gone = True
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines], gone

    def close(self) -> None:
        self._line.close()


class SupervisorEnd(_End):
    """Never blocks: a child that reads nothing (it is stopped, or starved) misses messages."""

    def __init__(self, line: socket.socket) -> None:
        super().__init__(line)
        line.setblocking(False)
        self._full = False

    def tell(self, **message: Any) -> None:
        if self._full:
            return
        data = json.dumps(message).encode() + b"\n"
        try:
            self._full = self._line.send(data) < len(data)
        except BlockingIOError:
            self._full = True
        except OSError:
            pass  # gone: reading tells


class ChildEnd(_End):
    """The child's end, made from the descriptor that it was started with."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        super().__init__(socket.socket(fileno=descriptor))

    def plan(self) -> Message:
        """Wait for the plan. Raises EOFError when the supervisor is gone already."""
        while b"\n" not in self._rest:
            piece = self._line.recv(65_536)
            if not piece:
                raise EOFError("the supervisor is gone")
            self._rest += piece
        first, _, self._rest = self._rest.partition(b"\n")
        plan: Message = json.loads(first)["plan"]
        return plan

    def tell(self, **message: Any) -> None:
        with contextlib.suppress(OSError):
            self._line.setblocking(True)
            self._line.sendall(json.dumps(message).encode() + b"\n")

    def listen(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Message], None],
        on_gone: Callable[[], None],
    ) -> None:
        def readable() -> None:
            self._line.setblocking(False)
            messages, gone = self.read()
            for message in messages:
                on_message(message)
            if gone:
                loop.remove_reader(self._line)
                on_gone()

        loop.add_reader(self._line, readable)


PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, with_signal: signal.Signals) -> None:
    """Get a signal when the parent ends, where the system can do that (Linux).

    The line says the same, but not to a process that never looks at it.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        signal.raise_signal(with_signal)
