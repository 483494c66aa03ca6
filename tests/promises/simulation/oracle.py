"""What must hold in a cluster, whatever goes wrong in it: after each commit, and in the end.

It looks at two things. At the answers of committed transactions, which tell who holds which run,
what has been kept and what was accepted; and at the rows themselves, read by SQL of its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

from backroom.records.queues import QueueRow
from backroom.records.runs import Claimed, Claims
from backroom.records.states import State
from backroom.store.verbs import (
    Again,
    Attention,
    Fenced,
    HandBack,
    Park,
    Revive,
    SaveStep,
    Settle,
    Verb,
)
from tests.promises.simulation.flows import PER_PARTITION, RATE_SECONDS

__all__ = ["Oracle", "Violation"]


class Violation(AssertionError):
    """A promise was broken."""


class Oracle:
    """The witness of one life of a cluster."""

    def __init__(self, rows: sqlite3.Connection) -> None:
        self._rows = rows
        self.accepted: set[str] = set()  # runs whose start was answered
        self.events: set[str] = set()  # words whose emit was answered, as "run word"
        self.narrow_limits = {1}  # those that may have been in force
        self.pruned = False
        self.latest = 0  # the latest time that the database's clock has shown
        self.holders: dict[str, int] = {}  # by run: the number of the newest attempt
        self._over: set[tuple[str, int]] = set()  # attempts that have ended their runs' turn
        self._kept: set[tuple[str, str]] = set()  # run and address of finished steps
        self._paced: list[int] = []  # when runs of that queue were first claimed
        self.deaths: Counter[str] = Counter()

    # --- what is answered

    def committed(self, verbs: Sequence[Verb], answers: Sequence[object]) -> None:
        for verb, answer in zip(verbs, answers, strict=True):
            if isinstance(answer, BaseException):
                continue
            if isinstance(verb, Fenced):
                self._written(verb)
            elif isinstance(verb, Revive):
                self._kept -= {(verb.run_id, address) for address in verb.drops}
        for answer in answers:  # a claim comes last in a transaction
            if isinstance(answer, Claims):
                for run in answer.runs:
                    self._claimed(run, answer.now)

    def _claimed(self, run: Claimed, now: int) -> None:
        before = self.holders.get(run.id, 0)
        if run.attempt <= before:
            raise Violation(
                f"{run.flow} was claimed as attempt {run.attempt} after attempt {before}"
            )
        self.holders[run.id] = run.attempt
        missing = self._kept_of(run.id) - {step.address for step in run.steps}
        if missing and run.flow != "walk":  # a walk forgets the steps of chunks that are done
            raise Violation(f"{run.flow}, attempt {run.attempt}, wasn't given {sorted(missing)}")
        if run.flow == "paced" and run.attempt == 1:
            if self._paced and now - self._paced[-1] < RATE_SECONDS * 1_000_000 - 1_000:
                gap = (now - self._paced[-1]) / 1_000_000
                raise Violation(f"two runs of the queue paced were taken up {gap:.3f} s apart")
            self._paced.append(now)

    def _kept_of(self, run_id: str) -> set[str]:
        return {address for run, address in self._kept if run == run_id}

    def _written(self, verb: Fenced) -> None:
        attempt = (verb.run_id, verb.attempt)
        newest = self.holders.get(verb.run_id, 0)
        what = type(verb).__name__
        if verb.attempt != newest:
            raise Violation(f"{what} of attempt {verb.attempt} was taken; {newest} holds the run")
        if attempt in self._over and not isinstance(verb, Settle | Park | Again | HandBack):
            raise Violation(f"{what} of attempt {verb.attempt} was taken after its end")
        if isinstance(verb, Settle | Park | Again | HandBack | Attention):
            self._over.add(attempt)
        if isinstance(verb, SaveStep) and (verb.step.kind, verb.step.state) == ("step", "done"):
            self._kept.add((verb.run_id, verb.step.address))

    def holds(self, run_id: str, attempt: int) -> bool:
        """Whether this attempt is the newest of its run and hasn't ended."""
        return self.holders.get(run_id) == attempt and (run_id, attempt) not in self._over

    def begins(self, flow: str, run_id: str, attempt: int, address: str) -> None:
        """A step's body is called. An attempt that has lost its run may do so, until it finds out;
        the one that holds it may not, if the step is finished."""
        if self.holds(run_id, attempt) and (run_id, address) in self._kept:
            raise Violation(f"{address} of {flow} is finished, and attempt {attempt} does it again")

    def entered(self, section: Sequence[tuple[str, int]]) -> None:
        """Somebody has entered the section that a lock guards."""
        inside = [run for run, attempt in section if self.holds(run, attempt)]
        if len(set(inside)) > 1:
            raise Violation(f"{len(set(inside))} runs are inside the same lock")

    # --- what stands in the tables

    def look(self, queues: Sequence[QueueRow], now: int) -> None:
        self.latest = max(self.latest, now)
        self._nothing_is_lost()
        self._limits_hold()
        self._who_is_called_wakes()
        self._what_is_read_is_kept()
        self._queues_are_counted(queues, now)

    def all(self, statement: str, *values: object) -> list[Any]:
        return self._rows.execute(statement, values).fetchall()

    def one(self, statement: str, *values: object) -> Any:
        return self._rows.execute(statement, values).fetchone()[0]

    def _none(self, what: str, statement: str, *values: object) -> None:
        if found := self.all(statement, *values):
            raise Violation(f"{what}: {found[:3]}")

    def _nothing_is_lost(self) -> None:
        stands = {
            run: (live, ended)
            for run, live, ended in self.all(
                "SELECT r.id, l.id IS NOT NULL, e.run_id IS NOT NULL FROM backroom_run AS r "
                "LEFT JOIN backroom_live AS l ON l.id = r.id "
                "LEFT JOIN backroom_result AS e ON e.run_id = r.id"
            )
        }
        for run, (live, ended) in stands.items():
            if live + ended != 1:
                raise Violation(f"the run {run} is {'both' if live else 'neither'} alive and ended")
        lost = self.accepted - stands.keys()
        if lost and not self.pruned:
            raise Violation(f"accepted, and lost: {sorted(lost)}")
        if not self.pruned:
            known = {
                f"{run} {json.loads(word)}"
                for run, word in self.all(
                    "SELECT run_id, payload FROM backroom_event WHERE name = 'word'"
                )
            }
            if missing := self.events - known:
                raise Violation(f"events accepted, and lost: {sorted(missing)}")
        for table in ("step", "wait", "event", "attempt", "result"):
            self._none(
                f"rows of {table} without a run",
                f"SELECT run_id FROM backroom_{table} "
                "WHERE run_id NOT IN (SELECT id FROM backroom_run)",
            )
        self._none(
            "who has ended still waits",
            "SELECT run_id FROM backroom_wait WHERE run_id NOT IN (SELECT id FROM backroom_live)",
        )

    def _limits_hold(self) -> None:
        for queue, partition, running in self.all(
            "SELECT queue, partition, count(*) FROM backroom_live WHERE state = 'running' "
            "GROUP BY queue, partition"
        ):
            limit = {"narrow": max(self.narrow_limits), "shared": PER_PARTITION}.get(queue)
            if limit is not None and running > limit:
                raise Violation(
                    f"{running} runs of the queue {queue} ({partition}) are running; {limit} may"
                )
        self._none(
            "two hold one lock",
            "SELECT name FROM backroom_lock WHERE held_at IS NOT NULL "
            "GROUP BY name HAVING count(*) > 1",
        )
        self._none(
            "a lock has a line and no holder",
            "SELECT name FROM backroom_lock GROUP BY name HAVING count(held_at) = 0",
        )

    def _who_is_called_wakes(self) -> None:
        self._none(
            "an event lies there, and who waits for it sleeps",
            "SELECT l.id, l.flow FROM backroom_live AS l "
            "JOIN backroom_wait AS w ON w.run_id = l.id AND w.kind = 'event' "
            "JOIN backroom_event AS e ON e.run_id = l.id AND e.name = w.name "
            "WHERE l.state = 'waiting' AND e.consumed_at IS NULL AND l.available_at > ?",
            self.latest,
        )
        self._none(
            "a child has ended, and who waits for it sleeps",
            "SELECT l.id, l.flow FROM backroom_live AS l "
            "JOIN backroom_wait AS w ON w.run_id = l.id AND w.kind = 'child' "
            "JOIN backroom_result AS e ON e.run_id = w.name "
            "WHERE l.state = 'waiting' AND l.available_at > ?",
            self.latest,
        )
        self._none(
            "a cancel was asked for, and the run sleeps",
            "SELECT l.id, l.flow FROM backroom_live AS l WHERE l.state = 'waiting' "
            "AND l.cancel_reason IS NOT NULL AND l.available_at > ? AND l.id NOT IN "
            "(SELECT run_id FROM backroom_step WHERE kind = 'rollback')",
            self.latest,
        )
        self._none(
            "a lock is there, and who waits for it sleeps",
            "SELECT l.id, l.flow FROM backroom_live AS l "
            "JOIN backroom_wait AS w ON w.run_id = l.id AND w.kind = 'lock' "
            "JOIN backroom_lock AS k ON k.run_id = l.id AND k.address = w.address "
            "WHERE l.state = 'waiting' AND k.held_at IS NOT NULL AND l.available_at > ?",
            self.latest,
        )

    def _what_is_read_is_kept(self) -> None:
        self._none(
            "an event is read, and nothing is kept of it",
            "SELECT e.run_id, e.payload FROM backroom_event AS e WHERE e.consumed_at IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM backroom_step AS s "
            "WHERE s.run_id = e.run_id AND s.address = e.consumed_by)",
        )

    def _queues_are_counted(self, queues: Sequence[QueueRow], now: int) -> None:
        counted: dict[str, Counter[str]] = {}
        for queue, state, at in self.all("SELECT queue, state, available_at FROM backroom_live"):
            tally = counted.setdefault(queue, Counter())
            if state in ("running", "needs_attention"):
                tally[state] += 1
            elif at <= now:
                tally["due"] += 1
            else:
                tally["parked" if state == "waiting" else "later"] += 1
        for row in queues:
            tally = counted.pop(row.rules.name, Counter())
            told = {
                "running": row.running, "needs_attention": row.aside, "due": row.due,
                "parked": row.parked, "later": row.later,
            }  # fmt: skip
            if told != {name: tally[name] for name in told}:
                raise Violation(f"queues() tells {told} of {row.rules.name}; there are {tally}")
        if counted:
            raise Violation(f"queues() doesn't tell of {sorted(counted)}")

    # --- the end

    def ended(self) -> dict[str, tuple[str, State, str | None]]:
        """How every run has ended: flow, state, result."""
        return {
            run: (flow, State(state), result)
            for run, flow, state, result in self.all(
                "SELECT r.id, r.flow, e.state, e.result FROM backroom_run AS r "
                "JOIN backroom_result AS e ON e.run_id = r.id"
            )
        }

    def nothing_is_left(self) -> None:
        for table in ("live", "wait", "lock", "worker"):
            if left := self.one(f"SELECT count(*) FROM backroom_{table}"):
                raise Violation(f"{left} rows of {table} are left when all is over")
