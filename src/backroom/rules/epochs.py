"""Which number the first attempt has once a backup was put in place.

An older state of the database comes back, but not the workers of before: they may still hold runs,
under attempt numbers that the restored database is about to give out again. So its attempts begin
above all numbers that can have been given out: at the seconds since 2026, since nobody claims a run
more than once a second for long.

    before    attempt 1, 2, 3 ──── backup ── 4, 5, 6 …       writes of these are refused
    restored                          └── 28,345,678, 28,345,679 …
"""

from __future__ import annotations

__all__ = ["first_attempt"]

SINCE_US = 1_767_225_600_000_000  # 2026-01-01


def first_attempt(now_us: int, before: int) -> int:
    """For a restore at this time; `before`: the number that the restored database had."""
    return max(before + 1, (now_us - SINCE_US) // 1_000_000)
