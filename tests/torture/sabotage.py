"""Protections taken away one by one: each torture test is run once without what it tests.

`BACKROOM_TEST_SABOTAGE` names the ones that are off, for processes of their own:

    fence    verbs of an attempt that has lost its run get the number of the one that holds it
    memory   a claim comes without the checkpoints of earlier attempts
    receipt  a start is confirmed before it is committed
    names    a start that is tried again after a lost answer gets a new id
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from backroom import Backroom
from backroom.app.stores import make_store
from backroom.engine.office import Office
from backroom.engine.world import World
from backroom.records.errors import OutcomeUnknown
from backroom.records.runs import Claims
from backroom.store.protocol import Session, Store
from backroom.store.verbs import Fenced, Start, Verb

__all__ = ["SABOTAGE", "Sabotaged", "off", "unfenced"]

SABOTAGE = "BACKROOM_TEST_SABOTAGE"


def off(protection: str) -> bool:
    return os.environ.get(SABOTAGE, "") == protection


def unfenced(store: Store, verb: Verb) -> Verb:
    """With the number of the attempt that holds the run now."""
    if not isinstance(verb, Fenced):
        return verb
    reader = store.reader()
    run = reader.run(verb.run_id)
    reader.close()
    return verb if run is None else replace(verb, attempt=run.attempt)


class Sabotaged(Backroom):
    """An application whose line to the database has a protection less, if we are told so."""

    def _open(self) -> Office:
        office = super()._open()
        if not os.environ.get(SABOTAGE):
            return office
        office.close()
        store = cast("Store", _Store(make_store(self.settings)))
        return Office(store, self._world, doorbells=self.settings.doorbells)


class _Store:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def session(self) -> Session:
        return _Session(self._store)


class _Session:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._session = store.session()
        self._unanswered = False

    def close(self) -> None:
        self._session.close()

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        if off("fence"):
            verbs = [unfenced(self._store, verb) for verb in verbs]
        if off("names") and self._unanswered:
            verbs = [renamed(verb) for verb in verbs]
        try:
            answers = self._session.apply(verbs)
        except OutcomeUnknown:
            self._unanswered = True
            raise
        self._unanswered = False
        if off("memory"):
            answers = [forgetful(answer) for answer in answers]
        return answers


def renamed(verb: Verb) -> Verb:
    if not isinstance(verb, Start):
        return verb
    return replace(verb, run=replace(verb.run, id=World().new_id()))


def forgetful(answer: object) -> object:
    if not isinstance(answer, Claims):
        return answer
    return replace(answer, runs=tuple(replace(run, steps=()) for run in answer.runs))
