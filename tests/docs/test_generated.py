"""What the documentation shows of the code is what the code is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from backroom.app.settings import Settings
from backroom.records import errors, limits
from tests.docs.generated import LIMITS, PARTS, names_in, regenerated
from tests.docs.pages import PAGES, ROOT, name_of

MADE = [page for page in PAGES if names_in(page.read_text())]


@pytest.mark.parametrize("page", MADE, ids=name_of)
def test_a_page_shows_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert regenerated(text) == text, "Run `python -m tests.docs.generated`."


def test_every_part_is_shown_somewhere() -> None:
    assert {name for page in MADE for name in names_in(page.read_text())} == PARTS.keys()


def test_every_limit_is_explained() -> None:
    assert sorted(LIMITS) == sorted(limits.__all__)


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_tree_names_every_error() -> None:
    tree = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted([*tree, "BackroomError"]) == sorted(errors.__all__)


def test_every_error_is_explained() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    missing = [name for name in errors.__all__ if f"| `{name}` |" not in page]
    assert missing == []


def test_every_public_name_has_a_line_in_the_reference() -> None:
    import backroom

    page = (ROOT / "docs/reference/api.md").read_text()
    missing = [name for name in backroom.__all__ if f"`{name}" not in page]
    assert missing == []


def test_options_are_named_in_the_reference() -> None:
    """Each parameter of the decorators and of `using` stands in the reference, and no other."""
    from backroom import Backroom, step
    from backroom.flows.flow import AsyncFlow
    from backroom.flows.steps import AsyncStep

    page = (ROOT / "docs/reference/api.md").read_text()
    for heading, function in (
        ("@app.flow", Backroom.flow),
        ("flow.using", AsyncFlow.using),
        ("@step", step),
        ("step.using", AsyncStep.using),
    ):
        section = page.split(f"## `{heading}(...)`\n")[1].split("\n## ")[0]
        told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        taken = [n for n in inspect.signature(function).parameters if n not in ("self", "function")]
        assert sorted(told) == sorted(taken), heading


def test_the_code_map_has_a_line_for_every_file() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = {path.parent for path in (ROOT / "src/backroom").rglob("*.py")}
    for room in sorted(rooms - {ROOT / "src/backroom", ROOT / "src/backroom/store"}):
        name = str(room.relative_to(ROOT / "src/backroom"))
        heading = re.search(rf"^(### )?`{name}`:", text, re.MULTILINE)
        assert heading, f"ARCHITECTURE.md lacks the room {name}"
        lines = text[heading.end() :].lstrip("\n").split("\n\n")
        told = re.findall(r"^- `(\w+\.py)`:", "\n".join(lines[:3]), re.MULTILINE)
        files = {path.name for path in room.glob("*.py") if path.name != "__init__.py"}
        missing = sorted(files - set(told))
        assert not missing, f"ARCHITECTURE.md lacks a line in {name} for {', '.join(missing)}"


def test_the_code_map_names_no_file_that_is_gone() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    there = {path.name for path in (ROOT / "src/backroom").rglob("*.py")}
    assert set(re.findall(r"^- `(\w+\.py)`:", text, re.MULTILINE)) <= there


def test_the_views_columns_are_those_of_the_database(database: str) -> None:
    from backroom import Backroom

    app = Backroom(database)
    text = (ROOT / "docs/guides/watching.md").read_text()
    try:
        assert app.office.store.schema_version()
    finally:
        app.close()
    for view in ("runs", "steps"):
        section = text.split(f"### `{view}`\n")[1].split("\n### ")[0].split("\n## ")[0]
        told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert told == columns(database, view)


def columns(database: str, view: str) -> list[str]:
    if database.startswith("postgresql"):
        import psycopg

        with psycopg.connect(database) as opened:
            found = opened.execute(f"SELECT * FROM backroom.{view} LIMIT 0".encode())
            return [column.name for column in found.description or ()]
    import sqlite3

    connection = sqlite3.connect(database)
    try:
        cursor = connection.execute(f"SELECT * FROM backroom_{view} LIMIT 0")
        return [column[0] for column in cursor.description]
    finally:
        connection.close()
