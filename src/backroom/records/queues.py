"""Queues as values: the rules that an application declares, and how a queue stands.

`partition` is the part of a queue that a run belongs to, a customer's say; runs of a queue that
isn't parted have none.
"""

from __future__ import annotations

from backroom.records.values import value

__all__ = ["Pruned", "QueueRow", "QueueRules", "Standing"]


@value
class QueueRules:
    """What is declared about a queue. None: no such limit.

    rate, per_us, burst   at most `rate` claims in `per_us`, `burst` of them at once
    """

    name: str
    concurrency: int | None = None
    concurrency_per_partition: int | None = None
    rate: int | None = None
    per_us: int | None = None
    burst: int | None = None
    max_waiting: int | None = None


@value
class QueueRow:
    """A queue as it stands in the database; one without rules has a row here while it has runs."""

    rules: QueueRules
    paused_at: int | None = None
    paused_by: str | None = None
    due: int = 0  # could be claimed now
    later: int = 0  # scheduled, not due yet
    parked: int = 0  # suspended, until a time or an event
    running: int = 0
    aside: int = 0  # set aside for a person to decide
    oldest_due_at: int | None = None  # since when the oldest of the due ones could be claimed
    next_token_at: int | None = None  # when the rate lets the next one through, if not now
    set_by: str | None = None  # the operator whose rules are in force instead of the code's


@value
class Pruned:
    """The answer to one batch of pruning: how many runs, and where the next batch begins."""

    count: int
    kept: int  # old enough, and needed by a run that is still alive
    after: str | None  # None: that was all


@value
class Standing:
    """Where a run that hasn't ended stands in its queue."""

    queue: QueueRow
    partition: str | None
    expires_at: int | None
    claimed_at: int | None  # when its last attempt began
    attempt: int
    failures: int
    ahead: int  # due runs of its queue (and partition) that come before it, counted up to a limit
    holders: tuple[str, ...]  # running runs that its queue counts, some of them
    partition_running: int  # how many of them are of its partition
    partition_holders: tuple[str, ...]
