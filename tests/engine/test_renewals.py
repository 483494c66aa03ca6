"""Renewing leases: what a database that fails and a stopped process do to it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, cast

import pytest

from backroom.engine.renewals import Renewals, is_stopped
from backroom.records.errors import StoreUnavailable
from backroom.store.verbs import Renew, Retire, Verb
from tests.engine.processes import eventually


class Database:
    """A store whose sessions note what they are asked, and fail when told to."""

    def __init__(self) -> None:
        self.failing = False
        self.missing: frozenset[str] = frozenset()
        self.asked: list[Verb] = []
        self.rung = 0

    def session(self) -> Database:
        return self

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        self.asked += verbs
        if self.failing:
            raise StoreUnavailable("The line is cut. Mend it.")
        return [
            frozenset(verb.worker_ids) - self.missing if isinstance(verb, Renew) else ("run",)
            for verb in verbs
        ]

    def ring(self) -> None:
        self.rung += 1

    def close(self) -> None: ...

    def renewals(self) -> list[Renew]:
        return [verb for verb in self.asked if isinstance(verb, Renew) and verb.worker_ids]


Answers = SimpleQueue[tuple[float, frozenset[str], frozenset[str]]]


def renewing(database: Database, answers: Answers) -> Renewals:
    return Renewals(cast("Any", database), 0.05, lambda *answer: answers.put(answer))


def test_one_statement_renews_all_and_who_is_missing_is_told() -> None:
    database, answers = Database(), Answers()
    renewals = renewing(database, answers)
    renewals.add("a", os.getpid())
    renewals.add("b", os.getpid())
    both = frozenset({"a", "b"})
    while answers.get(timeout=10)[1:] != (both, both):
        pass  # the first may have come between the two calls
    database.missing = frozenset({"b"})
    while answers.get(timeout=10)[2] != {"a"}:
        pass
    renewals.close()
    assert database.renewals()[-1].lease_us == 50_000


def test_a_database_that_fails_is_asked_again_and_complained_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "backroom.supervisor")
    database, answers = Database(), Answers()
    database.failing = True
    renewals = renewing(database, answers)
    renewals.add("a", os.getpid())
    eventually(lambda: len(database.renewals()) > 3, what="tries")
    database.failing = False
    assert answers.get(timeout=10)[2] == {"a"}
    answers.get(timeout=10)
    renewals.close()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "Can't renew the workers' leases, trying again: The line is cut. Mend it.",
        "The workers' leases are renewed again.",
    ]


def test_a_death_is_told_to_the_database_until_it_listens() -> None:
    database = Database()
    database.failing = True
    renewals = renewing(database, Answers())
    renewals.add("a", os.getpid())
    renewals.retire("a", lost=True)
    eventually(lambda: len(retired(database)) > 1, what="tries")
    database.failing = False
    eventually(lambda: len(retired(database)) > 2, what="the last one")
    renewals.close()
    assert database.rung == 1, "others may take its runs"
    assert set(retired(database)) == {Retire("a", lost=True)}
    assert not any("a" in verb.worker_ids for verb in database.renewals()[3:])


def retired(database: Database) -> list[Retire]:
    return [verb for verb in database.asked if isinstance(verb, Retire)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_stopped_process_is_not_renewed() -> None:
    database, answers = Database(), Answers()
    renewals = renewing(database, answers)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        renewals.add("a", process.pid)
        assert answers.get(timeout=10)[2] == {"a"}
        os.kill(process.pid, signal.SIGSTOP)
        eventually(lambda: is_stopped(process.pid), what="stopped")
        renewals.add("b", os.getpid())
        while answers.get(timeout=10)[1] != {"b"}:
            pass  # what was asked before
        assert answers.get(timeout=10)[1] == {"b"}
        os.kill(process.pid, signal.SIGCONT)
        while answers.get(timeout=10)[1] != {"a", "b"}:
            pass
        process.kill()
    renewals.close()
