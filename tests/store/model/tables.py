"""The rows, with the names of the columns in the databases."""

from __future__ import annotations

from typing import Any

from backroom.records.runs import FOREVER

__all__ = ["ALIVE", "Row", "Tables"]

Row = dict[str, Any]

ALIVE = ("ready", "scheduled", "waiting")
"""States from which a run can be claimed."""


class Tables:
    def __init__(self, now: int) -> None:
        self.now = now
        self.run: dict[str, Row] = {}
        self.live: dict[str, Row] = {}
        self.result: dict[str, Row] = {}
        self.progress: dict[str, Row] = {}
        self.event: dict[str, Row] = {}
        self.worker: dict[str, Row] = {}
        self.queue: dict[str, Row] = {}
        self.breaker: dict[str, Row] = {}
        self.audit: dict[str, Row] = {}
        self.step: dict[tuple[str, str], Row] = {}
        self.wait: dict[tuple[str, str], Row] = {}
        self.attempt: dict[tuple[str, int], Row] = {}
        self.key: dict[tuple[str, str], Row] = {}
        self.lock: dict[int, Row] = {}  # by turn

    def all(self) -> dict[str, list[Row]]:
        tables = {name: rows for name, rows in vars(self).items() if name != "now"}
        return {name: [rows[key] for key in sorted(rows)] for name, rows in tables.items()}

    # --- what several verbs look for

    def steps_of(self, run_id: str) -> list[Row]:
        return [row for (of, _), row in sorted(self.step.items()) if of == run_id]

    def waits_of(self, run_id: str) -> list[Row]:
        return [row for (of, _), row in sorted(self.wait.items()) if of == run_id]

    def waiting_for(self, name: str, *kinds: str) -> list[Row]:
        """The waits of these kinds for this name."""
        return [w for w in self.wait.values() if w["name"] == name and w["kind"] in kinds]

    def mail_of(self, run_id: str) -> list[Row]:
        """The unread events of a run, oldest first."""
        unread = [
            e for e in self.event.values() if e["run_id"] == run_id and e["consumed_at"] is None
        ]
        return sorted(unread, key=lambda e: (e["created_at"], e["id"]))

    def state_of(self, run_id: str) -> str | None:
        row = self.live.get(run_id) or self.result.get(run_id)
        return row["state"] if row else None

    def any_live(self, window: str) -> bool:
        first, _, last = window.partition("/")
        return any(first <= run_id <= last for run_id in self.live)

    # --- what several verbs do

    def wake(self, run_id: str) -> None:
        """Let a parked run be due at once."""
        row = self.live.get(run_id)
        if row and row["state"] == "waiting":
            row.update(state="ready", available_at=min(row["available_at"], self.now))

    def let_go(self, row: Row, state: str, at: int = FOREVER, **changes: Any) -> None:
        """An attempt gives its run back."""
        row.update(state=state, available_at=at, worker=None, **changes)

    def note_attempt(self, row: Row, outcome: str, error: str | None) -> None:
        made = {
            "run_id": row["id"],
            "attempt": row["attempt"],
            "worker": row["worker"],
            "started_at": row["claimed_at"],
            "ended_at": self.now,
            "outcome": outcome,
            "error": error,
        }
        self.attempt.setdefault((row["id"], row["attempt"]), made)
