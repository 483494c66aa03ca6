"""How often: the generic cell rate algorithm, a token bucket that keeps one number.

The number is the theoretical arrival time: when the bucket will be full again. Each claim moves it
one interval on, and it may lie at most `burst` intervals ahead of now. So in any stretch of time of
length w there are at most w / interval + burst claims, and the bucket is never refilled by anybody.
The statements of PostgreSQL do the same in SQL.
"""

from __future__ import annotations

__all__ = ["default_burst", "interval_us", "next_token_at", "tokens"]


def interval_us(rate: int, per_us: int) -> int:
    """Microseconds between two claims at this rate, rounded up, so that it is never exceeded."""
    return -(-per_us // rate)


def default_burst(rate: int, per_us: int) -> int:
    """What a tenth of a second may bring, at least one: a worker can't look for each one alone."""
    return max(1, rate * 100_000 // per_us)


def tokens(now: int, full_at: int, interval: int, burst: int) -> int:
    """How many may be claimed now."""
    return max(0, (burst * interval - max(0, full_at - now)) // interval)


def next_token_at(full_at: int, interval: int, burst: int) -> int:
    """When at least one may be claimed."""
    return full_at - (burst - 1) * interval
