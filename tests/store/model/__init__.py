"""A store of plain dictionaries: what the two databases promise, without a database.

It is written from the docstrings of `store/verbs.py` and knows neither SQL nor concurrency, so it
can be read. `tests/store/test_differential.py` holds it against both databases.

    tables.py    the rows, by table and key
    ends.py      how runs end, and whom that wakes
    doors.py     what anybody may ask
    attempts.py  what an attempt keeps, and what it ends with
    claims.py    who is next
    queues.py    what is declared
    sweeps.py    workers and their leases, and what is swept away
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backroom.store.verbs import (
    Again,
    AsDeclared,
    Attention,
    Cancel,
    Claim,
    CloseBreaker,
    Declare,
    Emit,
    Erase,
    Expire,
    HandBack,
    Lock,
    Park,
    Pause,
    Probe,
    Progress,
    Prune,
    Reconcile,
    Register,
    Renew,
    Reschedule,
    Rescue,
    Resume,
    Retire,
    Revive,
    SaveStep,
    SaveWaits,
    Settle,
    Start,
    Verb,
)
from tests.store.model import attempts, claims, doors, queues, sweeps
from tests.store.model.attempts import fenced
from tests.store.model.tables import Row, Tables

__all__ = ["Model", "Row"]

ORDER: dict[type[Verb], Callable[[Tables, Any], object]] = {
    Register: sweeps.register,
    Renew: sweeps.renew,
    Declare: queues.declare,
    AsDeclared: queues.as_declared,
    Pause: queues.pause,
    Resume: queues.resume,
    Start: doors.start,
    Emit: doors.emit,
    Cancel: doors.cancel,
    Revive: doors.revive,
    Reschedule: doors.reschedule,
    CloseBreaker: attempts.close_breaker,
    Retire: sweeps.retire,
    Rescue: sweeps.rescue,
    Reconcile: sweeps.reconcile,
    Progress: fenced(attempts.progress),
    SaveStep: fenced(attempts.save_step),
    Lock: fenced(attempts.lock),
    Probe: fenced(attempts.probe),
    SaveWaits: fenced(attempts.save_waits),
    Settle: fenced(attempts.settle),
    Park: fenced(attempts.park),
    Again: fenced(attempts.again),
    HandBack: fenced(attempts.hand_back),
    Attention: fenced(attempts.set_aside),
    Expire: sweeps.expire,
    Prune: sweeps.prune,
    Erase: sweeps.erase,
    Claim: claims.claim,
}
"""The order within a batch, and who does it."""


class Model:
    """One store. Its clock stands still until it is set."""

    def __init__(self, now: int) -> None:
        self.tables = Tables(now)

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        """One answer each, in the order given."""
        answers: list[object] = [None] * len(verbs)
        for kind, perform in ORDER.items():
            for place, verb in enumerate(verbs):
                if type(verb) is kind:
                    answers[place] = perform(self.tables, verb)
        return answers

    def rows(self) -> dict[str, list[Row]]:
        """Every row, by table, in the order of their keys."""
        return self.tables.all()
