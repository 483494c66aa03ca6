"""An application at work in this process, with its clock in the test's hands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from backroom.app.backroom import Backroom
from backroom.engine.office import Office
from backroom.engine.worker import Worker
from backroom.store.sqlite.store import SqliteStore

__all__ = ["Workbench", "at_work"]

# A lease that outlasts every move of the clock: else a move would take the worker's runs away.
LEASE_SECONDS = 100 * 366 * 86_400.0


class Workbench:
    """What a test holds while its application is at work."""

    def __init__(self, app: Backroom, worker: Worker) -> None:
        self.app = app
        self.worker = worker

    def move_clock(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Move the database's clock forward, for every process that uses it, and have the worker
        look for what has come due."""
        by = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        self.app.office.store.move_clock(by // timedelta(microseconds=1))
        self.app.office.ring()
        self.worker.clock_moved()


@contextmanager
def at_work(app: Backroom, *, private: bool = False, **changes: Any) -> Iterator[Workbench]:
    """A worker of `app` in a thread for as long as the block lasts; `changes` as in `app.worker`.

    Declare the flows before: a worker claims those that it knew when it was made. `private`: on an
    empty SQLite database that is made for the block and removed after it, whatever the settings
    say; within, all calls of the application go there.
    """
    with ExitStack() as stack:
        if private:
            stack.enter_context(_private(app))
        worker = stack.enter_context(
            app.working(**{"lease": LEASE_SECONDS, "poll": 0.05} | changes)
        )
        yield Workbench(app, worker)


@contextmanager
def _private(app: Backroom) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="backroom-") as folder:
        store = SqliteStore(Path(folder) / "private.db")
        store.migrate()
        app.declare(store)
        office = Office(store)
        try:
            with app.seated(office):
                yield
        finally:
            office.close()
