"""Tools for tests of flows: a worker in this process, a clock to move, waiting without sleeping.

    from backroom.testing import at_work, eventually

    with at_work(app) as bench:
        run = remind.start(order)
        eventually(lambda: run.status().wait().state == "waiting")
        bench.move_clock(days=2)
        assert run.result().wait(timeout=10) == "reminded"

Nothing here is a fake: the runs are performed by a real worker on the application's own database.
Only time is moved, in the database, for everybody who uses it.
"""

from __future__ import annotations

from backroom.testing.waiting import eventually
from backroom.testing.workbench import Workbench, at_work

__all__ = ["Workbench", "at_work", "eventually"]
