"""The `backroom` program in this process, on the database of the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from backroom import Backroom
from backroom.cli.program import program
from tests.cli import shop


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Terminal:
    def __init__(self, database: str) -> None:
        self.database = database

    def __call__(self, *arguments: str, stdin: str | None = None) -> Said:
        """Run a command. What it raises beyond an exit is raised here: no error may get out."""
        done = CliRunner().invoke(
            program,
            arguments,
            input=stdin,
            prog_name="backroom",
            catch_exceptions=False,
            env={"BACKROOM_DATABASE": self.database},
        )
        return Said(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def backroom(database: str) -> Terminal:
    return Terminal(database)


@pytest.fixture
def client(database: str) -> Iterator[Backroom]:
    """The application, with its tables made, on the test's database."""
    shop.app.close()
    shop.app.override(database=database, migrate="auto")
    shop.app.office.store.check_schema()
    yield shop.app
    shop.app.close()
