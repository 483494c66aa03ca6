"""What code inside a run can know and say about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from backroom.flows.failures import cut
from backroom.flows.scope import FlowScope, StepScope, current
from backroom.flows.transactions import database_connection
from backroom.records import limits
from backroom.records.errors import NotInFlow, Refused
from backroom.store.verbs import Progress

__all__ = ["CurrentRun", "current_run", "progress"]


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """The run that the calling code belongs to.

    id        the run's
    flow      its flow's name
    version   the version of its flow's code
    attempt   the number of this attempt, from 1; every claim counts, also after a wait
    key       the key it was started with
    step_key  inside a step: the same on every try and after every crash, different for every
              call of every run, and a new one after a person has rewound the run to before it.
              Hand it to the other side as its idempotency key. Else None
    tries     inside a step: which try this is, from 1; else 0
    failure   inside a flow's alternative: why the run has failed, in short; else None
    """

    id: str
    flow: str
    version: int
    attempt: int
    key: str | None
    step_key: str | None
    tries: int
    failure: str | None = None

    @contextmanager
    def writing(self, on: Any) -> Iterator[None]:
        """Say that what is written on a connection or session, in its open transaction, is this
        run's: for triggers on tables, which don't start a flow for what its own runs write.

        Transaction steps say so by themselves. Leave the block before the commit.
        """
        scope = current.get()
        if scope is None or scope.context.run.id != self.id:
            raise NotInFlow("current_run().writing()")
        connection = database_connection(on)
        scope.context.desk.mark(connection, self.id)
        try:
            yield
        finally:
            scope.context.desk.mark(connection, "")


def current_run() -> CurrentRun:
    """The run this code belongs to; NotInFlow outside of one."""
    scope = current.get()
    if scope is None:
        raise NotInFlow("current_run()")
    run = scope.context.run
    step_key = None
    tries = 0
    if isinstance(scope, StepScope):
        place = scope.context.stamped(scope.address)
        step_key = blake2b(f"{run.id}/{place}".encode(), digest_size=16).hexdigest()
        tries = scope.tries
    flow, _, version = run.flow.partition("@")
    return CurrentRun(
        run.id, flow, int(version or 1), run.attempt, run.key, step_key, tries,
        scope.context.failure,
    )  # fmt: skip


def progress(fraction: float | None = None, *, status: str | None = None) -> None:
    """Say how far the run is (0 to 1) and what it is doing; shown wherever its status is.

    Returns at once; the latest word wins. What a flow said before it is not said again when it is
    replayed. Outside of a flow it does nothing, so that steps can be called from tests and scripts.
    """
    scope = current.get()
    if scope is None:
        return
    if fraction is not None and not 0 <= fraction <= 1:
        raise Refused(f"progress({fraction!r}) can't be. Use a number from 0 to 1.")
    if isinstance(scope, FlowScope) and scope.context.is_replaying:
        return
    run = scope.context.run
    text = None if status is None else cut(status, limits.STATUS_CHARS)
    scope.context.desk.post(Progress(run.id, run.attempt, fraction, text))
