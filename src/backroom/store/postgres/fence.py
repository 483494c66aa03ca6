"""The fence: which attempts of a batch still hold their runs.

The first statement of a batch locks every hot row that the batch is about to write, in ascending
order of id, and reads who holds it. The statements after it compare the attempt again in their own
joins, each with a snapshot newer than the lock, so what this look saw stays true until the commit.

    session A                          session B
      lock 3, 5, 9  ──────────┐
      write, commit           │ waits      lock 5, 7    (never 7 before 5: no circle)
                              └──────────>   sees A's commit, then writes

Without the lock a plain join takes the row as it was when the statement began, and a checkpoint of
attempt 7 gets through after attempt 8 has been claimed and preloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from backroom.records.errors import LeaseLost
from backroom.records.states import State
from backroom.rules.windows import is_mapped
from backroom.store.postgres.statement import Row, Sql, Statement, id_array, valid_id
from backroom.store.verbs import (
    Again,
    Attention,
    Cancel,
    Emit,
    Fenced,
    HandBack,
    Park,
    Reschedule,
    Revive,
    Settle,
    Start,
    Verb,
)

__all__ = ["ENDS", "Fence"]

E = TypeVar("E", bound=Fenced)


ENDS: tuple[type[Fenced], ...] = (Settle, Park, Again, HandBack, Attention)
"""What ends an attempt, in the order in which a batch performs it."""


class Fence:
    """The hot rows that a batch has locked: (attempt, state) by run id."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, str]] = {}
        self.ends: dict[tuple[str, int], int] = {}

    def first_ends(self, verbs: Sequence[tuple[int, E]]) -> list[tuple[int, E]]:
        """Those that are the first of this batch to end their attempt; to be asked in order."""
        ends = self.ends
        return [
            (place, verb)
            for place, verb in verbs
            if ends.setdefault((verb.run_id, verb.attempt), place) == place
        ]

    def lock(self, sql: Sql, verbs: Iterable[Verb]) -> list[Statement]:
        concerned: set[str] = set()
        ending: set[str] = set()  # whoever waits for them will be woken
        going: set[str] = set()  # and what lives below them will be cancelled
        for verb in verbs:
            if isinstance(verb, Cancel) or (
                isinstance(verb, Settle) and verb.state is State.CANCELLED
            ):
                going.add(verb.run_id)
            elif isinstance(verb, Settle):
                ending.add(verb.run_id)
            elif isinstance(verb, Fenced | Emit | Revive | Reschedule):
                concerned.add(verb.run_id)
            if isinstance(verb, Start):
                concerned.update(verb.run.after)  # it is told to wait for them
            if isinstance(verb, Park):
                # No run that is waited for may end between our look at it and our parking.
                concerned.update(wait.name for wait in verb.waits if wait.kind == "child")
        ids = id_array(filter(valid_id, concerned))
        if ending or going:
            values = {"ids": ids, "ending": id_array(filter(valid_id, ending))}
            if not going and not any(map(is_mapped, ending)):  # almost always
                return [Statement(sql["lock_ending"], values, self.take)]
            values["going"] = id_array(filter(valid_id, going))
            return [Statement(sql["lock_families"], values, self.take)]
        return [Statement(sql["lock_runs"], {"ids": ids}, self.take)] if concerned else []

    def take(self, rows: Sequence[Row]) -> None:
        self.rows = {run_id: (attempt, state) for run_id, attempt, state in rows}

    def holds(self, verb: Fenced) -> bool:
        return self.rows.get(verb.run_id) == (verb.attempt, "running")

    def answer(self, place: int, verb: Fenced) -> LeaseLost | None:
        if self.holds(verb) and not (
            isinstance(verb, ENDS) and self.ends[verb.run_id, verb.attempt] != place
        ):
            return None
        return LeaseLost(verb.run_id, verb.attempt)
