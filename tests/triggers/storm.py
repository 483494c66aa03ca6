"""Many writers raise counters: some roll back, some keep their transaction open for long.

A row's counter says how many of its changes were committed, and each change says from what to what
it went, so what was missed, came twice or came out of turn can be told from the end alone:

    committed   1 2 3 4        seen in turn   0→1  1→2  2→3  3→4
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

__all__ = ["Storm", "faults", "prepare"]

Seen = dict[int, list[tuple[int, int]]]
"""By row, in the order in which they came: from what to what its counter went."""


def connect(database: str) -> Any:
    if database.startswith("postgresql"):
        return psycopg.connect(database, autocommit=True)
    connection = sqlite3.connect(database, isolation_level=None, timeout=120)
    connection.execute("PRAGMA synchronous = OFF")  # nobody cuts the power
    return connection


def prepare(database: str, statements: Iterable[str], rows: int) -> None:
    with closing(connect(database)) as connection:
        serial = "integer PRIMARY KEY"
        if database.startswith("postgresql"):
            serial = "bigserial PRIMARY KEY"
        for statement in statements:
            connection.execute(statement.format(serial=serial))
        for row in range(rows):
            connection.execute(f"INSERT INTO item VALUES ({row}, 0)")


@dataclass
class Storm:
    """`changes` writes of each of `writers`, over `rows` rows. `slow`: the share of transactions
    that stay open for `slow_seconds`."""

    database: str
    writers: int
    changes: int
    rows: int
    rolled_back: float = 0.05
    slow: float = 0.01
    slow_seconds: float = 0.0
    seed: int = 1

    def blow(self) -> None:
        """All of it; returns when everybody has done."""
        threads = [threading.Thread(target=self.write, args=(n,)) for n in range(self.writers)]
        self.failed: list[BaseException] = []
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failed:
            raise self.failed[0]

    def write(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        begin = "BEGIN" if self.database.startswith("postgresql") else "BEGIN IMMEDIATE"
        try:
            with closing(connect(self.database)) as connection:
                for _ in range(self.changes):
                    row, luck = chance.randrange(self.rows), chance.random()
                    connection.execute(begin)
                    connection.execute(f"UPDATE item SET n = n + 1 WHERE id = {row}")
                    if luck < self.slow and self.slow_seconds:
                        time.sleep(self.slow_seconds)
                    gone = self.slow <= luck < self.slow + self.rolled_back
                    connection.execute("ROLLBACK" if gone else "COMMIT")
        except BaseException as error:
            self.failed.append(error)


def committed(database: str) -> dict[int, int]:
    with closing(connect(database)) as connection:
        return dict(connection.execute("SELECT id, n FROM item").fetchall())


def faults(counters: dict[int, int], seen: Seen) -> dict[str, int]:
    """How many changes were missed, and how many came that should not have, or out of turn."""
    found = {"missed": 0, "phantom": 0, "out of turn": 0}
    for row, n in counters.items():
        wanted, came = [(k, k + 1) for k in range(n)], seen.get(row, [])
        found["missed"] += len(set(wanted) - set(came))
        found["phantom"] += len(came) - len(set(came) & set(wanted))
        found["out of turn"] += came != sorted(came)
    return found
