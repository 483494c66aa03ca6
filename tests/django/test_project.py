"""A project as a whole: its tables, its worker, its command, its own tests."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import TestCase, TransactionTestCase

from backroom import Backroom, errors
from backroom.django import application
from backroom.django.application import address_of
from backroom.django.interface import TaskResultDoesNotExist, TaskResultStatus
from backroom.testing import eventually
from tests.django.project import tasks
from tests.flows.house import LONG

ROOT = Path(__file__).parents[2]


def manage(*words: str) -> list[str]:
    return [sys.executable, "-m", "django", *words]


def surroundings(database: str) -> dict[str, str]:
    given = {
        "PROJECT_DATABASE": database,
        "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
    }
    return {**os.environ, **given, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def managed(database: str, *words: str) -> str:
    """What `manage.py` prints for these words."""
    done = subprocess.run(
        manage(*words), cwd=ROOT, env=surroundings(database), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.blank
def test_migrate_makes_our_tables_beside_djangos(database: str) -> None:
    managed(database, "migrate", "--verbosity", "0")
    app = Backroom(database, migrate="never")
    assert app.office.read(lambda reader: reader.runs()).result(LONG) == []
    app.close()


def test_the_command_works_off_tasks_and_flows_of_every_queue(project: str, app: Backroom) -> None:
    from tests.django.project import flows

    sent, packed = tasks.send.enqueue("you"), flows.app.start("pack", order=7)
    with subprocess.Popen(
        manage("backroom", "worker", "-n", "1"), cwd=ROOT, env=surroundings(project)
    ) as worker:
        try:

            def done() -> bool:
                sent.refresh()
                return sent.is_finished and packed.status().wait().is_final

            eventually(done, within=LONG)
        finally:
            worker.terminate()
    assert worker.returncode == 0
    assert (sent.return_value, packed.result().wait()) == ("sent to you", "order 7 is packed")
    flows.app.close()
    shown = managed(project, "backroom", "list")
    assert "django.task" in shown
    assert "pack" in shown


def test_the_command_is_there_for_call_command_too(
    project: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKROOM_APP", "tests.django.project.flows:app")
    tasks.add.enqueue(1)
    application().close()
    call_command("backroom", "list")
    assert "django.task" in capsys.readouterr().out


def test_all_who_ask_for_a_database_get_the_same_application(app: Backroom) -> None:
    assert application() is app
    assert application("default") is app
    assert tasks.add.get_backend().backroom is app  # type: ignore[attr-defined]


# --- the project's own tests

SEEN: dict[str, Any] = {}


class InATransaction(TestCase):
    """Each of Django's ordinary tests is a transaction that is rolled back."""

    __test__ = False  # pytest would collect it as well, on whatever database is configured

    def test_a_task_is_enqueued_and_seen_through_djangos_connection(self) -> None:
        result = tasks.add.enqueue(1)
        runs = "backroom_runs" if connection.vendor == "sqlite" else "backroom.runs"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT flow, state FROM {runs}")
            assert cursor.fetchall() == [("django.task", "ready")]
        with pytest.raises(TaskResultDoesNotExist):
            result.refresh()
        SEEN["rolled back"] = result.id

    def test_on_commit_is_captured_like_any_other(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks:
            tasks.add.using(backend="later").enqueue(1)
        assert len(callbacks) == 1


class WithCommits(TransactionTestCase):
    """Where a task is to be performed in a test, the test has to commit."""

    __test__ = False

    def test_a_task_is_performed(self) -> None:
        result = tasks.add.enqueue(20, 22)
        with application().working():
            application().run(result.id).result().wait(LONG)
        result.refresh()
        assert result.status == TaskResultStatus.SUCCESSFUL
        assert result.return_value == 42
        SEEN["performed"] = result.id


def test_djangos_test_cases_treat_runs_as_the_projects_own_rows(app: Backroom) -> None:
    SEEN.clear()
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(case)
        for case in (InATransaction, WithCommits)
    )
    said = io.StringIO()
    outcome = unittest.TextTestRunner(said).run(suite)
    assert (outcome.testsRun, outcome.wasSuccessful()) == (3, True), said.getvalue()
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(SEEN["rolled back"])
    assert tasks.add.get_result(SEEN["performed"]).return_value == 42


# --- addresses


def spelled(**settings: Any) -> str:
    blank = {"USER": "", "PASSWORD": "", "HOST": "", "PORT": "", "OPTIONS": {}}
    engine = f"django.db.backends.{settings.pop('engine', 'postgresql')}"
    return address_of({**blank, "ENGINE": engine, **settings})


def test_a_database_of_djangos_has_an_address() -> None:
    assert spelled(NAME="shop") == "postgresql:///shop"
    assert (
        spelled(NAME="my shop", USER="a@b", PASSWORD="p/w:d", HOST="db", PORT=5433)
        == "postgresql://a%40b:p%2Fw%3Ad@db:5433/my%20shop"
    )
    assert (
        spelled(
            NAME="shop", HOST="/run/pg", PORT="5433", OPTIONS={"sslmode": "require", "pool": True}
        )
        == "postgresql:///shop?sslmode=require&host=%2Frun%2Fpg&port=5433"
    )
    assert spelled(engine="sqlite3", NAME=Path("shop.db")) == "shop.db"


def test_libpq_reads_such_an_address_as_it_was_meant() -> None:
    from psycopg.conninfo import conninfo_to_dict

    address = spelled(NAME="my shop", USER="a@b", PASSWORD="p/w:d", HOST="/run/pg", PORT="5433")
    assert conninfo_to_dict(address) == {
        "user": "a@b", "password": "p/w:d", "dbname": "my shop", "host": "/run/pg", "port": "5433",
    }  # fmt: skip


@pytest.mark.parametrize("name", [":memory:", "", "file:memorydb_default?mode=memory&cache=shared"])
def test_a_database_in_memory_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(errors.Refused, match="TEST"):
        spelled(engine="sqlite3", NAME=name)


def test_other_databases_are_refused_with_the_remedy() -> None:
    with pytest.raises(errors.Refused, match="OPTIONS"):
        spelled(engine="mysql", NAME="shop")
