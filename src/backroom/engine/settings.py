"""What a worker is told when it is made."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

__all__ = ["WorkerSettings"]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works. Times in seconds.

    queues        which queues it serves; empty: those its flows use
    concurrency   runs performed at once in this process
    lease         after this long without a renewal its runs are given to others
    poll          longest time between two looks for work while idle
    pulse         time between two looks whether SQLite's file has changed, while idle
    grace         how long a stopping worker lets its runs go on before it hands them back
    keep          how long after its end a run is removed; 0: never
    """

    queues: tuple[str, ...] = ()
    concurrency: int = 100
    lease: float = 6.0
    poll: float = 0.2
    pulse: float = 0.02
    grace: float = 20.0
    keep: float = 0.0
    doorbells: bool = True
    renew: bool = True  # False: a supervisor renews the lease
    only_suspects: bool = False  # perform suspects one at a time, and stop when there are none
    worker_id: str = ""
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
