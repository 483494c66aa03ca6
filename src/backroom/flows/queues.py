"""What an author declares about a queue, checked and turned into rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from backroom.flows.steps import check_name
from backroom.records import limits
from backroom.records.errors import InvalidTime, Refused
from backroom.records.queues import QueueRules
from backroom.rules.rates import default_burst

__all__ = ["KEEP", "changed", "check_concurrency", "rules_of"]

KEEP: Any = object()
"""In place of a rule: leave it as it is."""


def rules_of(
    name: str,
    *,
    concurrency: int | None = None,
    concurrency_per_partition: int | None = None,
    rate: int | None = None,
    per: float | timedelta | None = None,
    burst: int | None = None,
    max_waiting: int | None = None,
) -> QueueRules:
    """The rules of a queue; Refused if they can't be."""
    check_name(name, "queue")
    check_concurrency(concurrency, "concurrency")
    check_concurrency(concurrency_per_partition, "concurrency_per_partition")
    check_whole(max_waiting, "max_waiting", limits.QUEUE_WAITING)
    if (rate is None) != (per is None):
        raise Refused(f"The rate of the queue {name} needs both: rate=100, per=60 is 100 in 60 s.")
    if rate is None or per is None:
        if burst is not None:
            raise Refused(
                f"A burst belongs to a rate: give the queue {name} rate= and per= as well."
            )
        return QueueRules(name, concurrency, concurrency_per_partition, max_waiting=max_waiting)
    check_whole(rate, "rate", limits.QUEUE_RATE)
    check_whole(burst, "burst", limits.QUEUE_RATE)
    seconds = per.total_seconds() if isinstance(per, timedelta) else per
    if not 0.001 <= seconds <= limits.DELAY_US / 1_000_000:
        raise InvalidTime(f"per={per!r} can't be. Use seconds, from 0.001 to ten years.")
    per_us = round(seconds * 1_000_000)
    return QueueRules(
        name,
        concurrency,
        concurrency_per_partition,
        rate,
        per_us,
        default_burst(rate, per_us) if burst is None else burst,
        max_waiting,
    )


def changed(rules: QueueRules, changes: dict[str, Any]) -> QueueRules:
    """The rules with some of them changed, by the names of `rules_of`. A new rate has a burst of
    its own unless one is given."""
    now: dict[str, Any] = {
        "concurrency": rules.concurrency,
        "concurrency_per_partition": rules.concurrency_per_partition,
        "rate": rules.rate,
        "per": None if rules.per_us is None else rules.per_us / 1_000_000,
        "burst": rules.burst,
        "max_waiting": rules.max_waiting,
    }
    if changes.keys() & {"rate", "per"}:
        now["burst"] = None
    if "rate" in changes and changes["rate"] is None:
        now["per"] = None
    return rules_of(rules.name, **now | changes)


def check_concurrency(number: int | None, what: str) -> int | None:
    return check_whole(number, what, limits.QUEUE_CONCURRENCY)


def check_whole(number: int | None, what: str, most: int) -> int | None:
    if number is not None and (type(number) is not int or not 1 <= number <= most):
        raise Refused(f"{what}={number!r} can't be. Use a whole number from 1 to {most:,}.")
    return number
