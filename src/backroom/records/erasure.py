"""Erasing what is kept of a person: what stands in its place, and what is answered.

A run that has ended keeps its row, its flow, its states and its times. Everything that came from
outside goes: input, result, errors, steps' results, events, status, key, partition and subject.
"""

from __future__ import annotations

from backroom.records.values import value

__all__ = ["ERASED", "ERASED_ERROR", "AuditRow", "Erased"]

ERASED = '{"$":"erased"}'
"""The marker in place of an erased payload."""

ERASED_ERROR = '{"kind":"Erased","message":"Erased on request."}'


@value
class Erased:
    """The answer to an erasure. `refused`: run ids with the reason each."""

    runs: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@value
class AuditRow:
    """A deed that leaves no other trace. `what` is JSON text and holds nothing that was erased."""

    id: str
    at: int
    act: str
    by: str
    what: str
