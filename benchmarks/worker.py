"""The measured worker: a process of its own, told what to do line by line.

parent says          child says, one JSON object a line
                     {"ready": true}            imports done, database open, nothing claimed yet
go                   {"begun": 100} ...         every hundred bodies that began
usage                {"cpu_seconds": …, "resident_mb": …, "statements": …}
stop                 {"delays_ns": […], "spans_ns": […]}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from backroom.engine.worker import Worker
from benchmarks.application import Application, application

REPORT_EVERY = 100  # bodies


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--count-statements", action="store_true")
    parser.add_argument("--limits", action="store_true")
    given = parser.parse_args()
    counter = StatementCounter() if given.count_statements else None
    measured = application(os.environ["BACKROOM_DATABASE"], limits=given.limits)
    measured.diary.on_begin = report_begun
    measured.app.office  # noqa: B018  opens the database
    say({"ready": True})
    if sys.stdin.readline().strip() != "go":
        return
    asyncio.run(work(measured, given.concurrency, counter))
    measured.app.close()
    say({"delays_ns": measured.diary.delays_ns, "spans_ns": measured.diary.spans_ns})


async def work(measured: Application, concurrency: int, counter: StatementCounter | None) -> None:
    worker = measured.app.worker(concurrency=concurrency)
    threading.Thread(target=obey, args=(worker, counter), daemon=True).start()
    await worker.run()


def obey(worker: Worker, counter: StatementCounter | None) -> None:
    """The parent's orders, until it says stop or is gone."""
    for line in sys.stdin:
        match line.strip():
            case "usage":
                say(
                    {
                        "cpu_seconds": time.process_time(),
                        "resident_mb": resident_mb(),
                        "statements": counter.seen if counter else None,
                    }
                )
            case "stop":
                break
    worker.stop()


def report_begun(begun: int) -> None:
    if begun % REPORT_EVERY == 0:
        say({"begun": begun})


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def resident_mb() -> float:
    """What the process occupies now; where the system doesn't tell, the most it ever did."""
    status = Path("/proc/self/status")
    if status.exists():
        words = status.read_text().split()
        return int(words[words.index("VmRSS:") + 1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


class StatementCounter:
    """Counts what this process asks of the database. It slows every statement down a little, so
    only the idle worker is watched like this."""

    def __init__(self) -> None:
        self.seen = 0
        if os.environ["BACKROOM_DATABASE"].startswith("postgresql"):
            self._watch_postgres()
        else:
            self._watch_sqlite()

    def _count(self, *_statement: object) -> None:
        self.seen += 1

    def _watch_sqlite(self) -> None:
        import sqlite3

        connect = sqlite3.connect

        def counted(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            connection.set_trace_callback(self._count)
            return connection

        sqlite3.connect = counted  # type: ignore[assignment]

    def _watch_postgres(self) -> None:
        import psycopg

        execute = psycopg.Cursor.execute

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._count()
            return execute(*args, **kwargs)

        psycopg.Cursor.execute = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
