"""Locks that a run holds across steps and waits: `async with lock("account:7"):`.

The lock is a row in the database, so it is held while the run is parked, handed on or performed
again after a crash; nobody's memory counts. A replay asks again and is told that it has the lock
already. Only that it was given back is a checkpoint.

    lock()   given back before? ──yes──▶ go in, nothing is held (all that is inside is kept)
               │no
               ▼
             Lock ──▶ held ──▶ go in ──▶ out: SaveStep(releases)    the next one in line wakes
               ├──▶ in line ──▶ wait (parked, if nothing else goes on); ask again
               └──▶ circle ──▶ Deadlock, kept: a replay raises it again

A block that is left since the run parks, is handed back or loses its lease gives nothing back: it
will be entered again. A run that ends, however it does, gives all back (the store sees to that).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from types import TracebackType

from backroom.flows.context import Blocked, RunContext
from backroom.flows.effects import Block, Protocol_, Save, drive, drive_in_thread
from backroom.flows.failures import as_json, kept_at, passed
from backroom.flows.replay import kept_row
from backroom.flows.scope import flow_scope
from backroom.flows.steps import check_key
from backroom.records import limits
from backroom.records.errors import Deadlock, NotInFlow, Refused
from backroom.records.runs import StepRow, WaitRow
from backroom.store.verbs import Lock, Locked

__all__ = ["Locking", "lock"]


def lock(*names: str) -> Locking:
    """Exclude other runs: `async with lock("account:7"):`, or `with` in a `def` flow.

    At most one run at a time holds a lock; the others wait in the order in which they asked,
    parked. It is held across steps, waits and restarts, until the block is left or the run has
    ended in any way. Several names are taken together: whatever their order, that can't end in a
    deadlock.
    """
    scope = flow_scope()
    if scope is None:
        raise NotInFlow("lock()")
    if not 1 <= len(names) <= limits.LOCKS:
        raise Refused(f"lock() takes 1 to {limits.LOCKS} names; this call has {len(names)}.")
    for name in names:
        check_key(name)
    return Locking(scope.context, scope.address("lock"), tuple(sorted(set(names))), scope.path)


class Locking:
    """A `with` block that holds locks; of either colour."""

    def __init__(
        self, context: RunContext, address: str, names: tuple[str, ...], path: str
    ) -> None:
        self._context = context
        self._address = address
        self._names = names
        self._path = path
        self._holds = False

    async def __aenter__(self) -> None:
        self._holds = await drive(self._context, self._take())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            passed(error, self._address)
        if self._gives_back():
            await drive(self._context, self._give_back(error))

    def __enter__(self) -> None:
        self._context.must_not_block_loop("lock()")
        self._holds = drive_in_thread(self._context, self._take())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            passed(error, self._address)
        if self._gives_back():
            drive_in_thread(self._context, self._give_back(error))

    def _gives_back(self) -> bool:
        """Not if the flow is only being unwound: it will come by again, or its end gives back."""
        return self._holds and self._context.ending is None

    def _take(self) -> Protocol_[bool]:
        """Wait until we hold them; False: they were given back before, this is a replay."""
        context = self._context
        row = kept_row(context, self._address, "lock")
        kept = json.loads((row and row.result) or "{}")
        if kept and kept["names"] != list(self._names):
            context.mismatch(
                self._address, "another lock was taken there than the code now asks for"
            )
        if row is not None and row.state != "trying":
            if row.error is not None:
                raise kept_at(Deadlock(self._label(), tuple(kept["circle"])), self._address)
            return False
        run = context.run
        while True:
            answer: Locked = yield Save(
                Lock(run.id, run.attempt, self._address, self._names, self._path)
            )
            if answer.held:
                return True
            if answer.circle:
                error = kept_at(Deadlock(self._label(), answer.circle), self._address)
                yield Save(context.saving(self._row("failed", answer.circle, as_json(error))))
                raise error
            wait = WaitRow(self._address, "lock", self._label())
            wait = context.waits.get(self._address, wait)
            ready = partial(context.has_lock, self._address)
            yield Block(partial(Blocked, (wait,), ready))

    def _give_back(self, error: BaseException | None) -> Protocol_[None]:
        """Left by an error it counts as failed: the flow's retry, or a person's, takes it again."""
        self._holds = False
        state = "done" if error is None else "failed"
        yield Save(self._context.saving(self._row(state), releases=True))

    def _row(self, state: str, circle: Sequence[str] = (), error: str | None = None) -> StepRow:
        """The names stand in the result, which can be erased."""
        now = self._context.clock()
        kept = json.dumps({"names": self._names, "circle": circle}, ensure_ascii=False)
        return StepRow(
            self._address, "lock", "lock", state, kept, error, started_at=now, finished_at=now
        )

    def _label(self) -> str:
        return ", ".join(self._names)
