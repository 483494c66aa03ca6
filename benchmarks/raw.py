"""The raw database: the writes that a run needs, without backroom around them.

A claim raises the attempt in the hot row; an end deletes that row and inserts the result; a step
inserts its result. One statement for a batch, one commit for a statement, one connection. There is
no fence, no priority, no preload, no key: what a program must at least write, in plain Python.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Protocol

from backroom.engine.world import World

__all__ = ["Raw", "claim_and_complete", "insert", "save", "start_to_claim", "ten_steps"]

new_id = World().new_id


class Raw(Protocol):
    """Each call is one transaction, on the disk when it returns."""

    def insert(self, ids: Sequence[str]) -> None: ...

    def claim(self, limit: int) -> list[str]: ...

    def complete(self, ids: Sequence[str]) -> None: ...

    def save(self, steps: Sequence[tuple[str, str]]) -> None:
        """Keep steps: (run id, address)."""
        ...


def insert(raw: Raw, rows: int, batch: int) -> float:
    """Rows inserted per second."""
    ids = [new_id() for _ in range(rows)]
    began = time.perf_counter()
    for start in range(0, rows, batch):
        raw.insert(ids[start : start + batch])
    return rows / (time.perf_counter() - began)


def claim_and_complete(raw: Raw, rows: int, batch: int) -> float:
    """Rows claimed and completed per second, the claim and the completion in a commit each."""
    raw.insert([new_id() for _ in range(rows)])
    began = time.perf_counter()
    while ids := raw.claim(batch):
        raw.complete(ids)
    return rows / (time.perf_counter() - began)


def save(raw: Raw, rows: int, batch: int) -> float:
    """Steps kept per second, those of `batch` runs in one commit."""
    ids = [new_id() for _ in range(batch)]
    commits = max(1, rows // batch)
    began = time.perf_counter()
    for number in range(commits):
        raw.save([(run_id, f"nothing#{number}") for run_id in ids])
    return commits * batch / (time.perf_counter() - began)


def ten_steps(raw: Raw, times: int) -> float:
    """Milliseconds from a start to the end of ten steps, each write in a commit of its own."""

    def once() -> float:
        began = time.perf_counter()
        raw.insert([new_id()])
        ids = raw.claim(1)
        for number in range(10):
            raw.save([(ids[0], f"nothing#{number}")])
        raw.complete(ids)
        return (time.perf_counter() - began) * 1000

    return statistics.median(once() for _ in range(times))


def start_to_claim(raw: Raw, times: int) -> list[float]:
    """Milliseconds for an insert and a claim, a commit each, one connection: nobody to wake."""

    def once() -> float:
        began = time.perf_counter()
        raw.insert([new_id()])
        ids = raw.claim(1)
        elapsed = (time.perf_counter() - began) * 1000
        raw.complete(ids)
        return elapsed

    return [once() for _ in range(times)]
