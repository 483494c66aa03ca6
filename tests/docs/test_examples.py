"""Every example of the documentation runs, on both databases, and prints what the page says."""

from __future__ import annotations

import ast
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from backroom import Backroom
from tests.docs.pages import PAGES, Block, blocks, name_of

RUNNING = [p for p in PAGES if any(b.kind in ("python", "sql") for b in blocks(p.read_text()))]

# The pages whose examples wake each other: events, children, starts beside a worker.
WAKING = [page for page in RUNNING if page.stem in ("README", "waiting", "parallel-work")]


@pytest.fixture
def page_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """What the page's code is: a program of its own, started by itself."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    yield module
    for value in vars(module).values():
        if isinstance(value, Backroom):
            value.close()


@pytest.fixture
def place(
    page_module: ModuleType, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty folder to run in and an empty database, which the page's `Backroom()` will find."""
    if database.startswith("postgresql"):
        monkeypatch.setenv("BACKROOM_DATABASE", database)
    else:
        monkeypatch.delenv("BACKROOM_DATABASE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # modules that the page shows
    return database


@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_the_examples_of_a_page_run(
    page: Path, page_module: ModuleType, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page(page, page_module, place, capsys)


@pytest.mark.parametrize("page", WAKING, ids=name_of)
def test_the_examples_run_with_every_doorbell_cut_off(
    page: Path,
    page_module: ModuleType,
    place: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKROOM_DOORBELLS", "false")
    run_page(page, page_module, place, capsys)


def run_page(
    page: Path, module: ModuleType, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for block in blocks(page.read_text()):
        where = f"{name_of(page)}:{block.line}"
        match block.kind:
            case "python" | "run":
                lines = "\n" * (block.line - 1) + block.text  # tracebacks name the page's lines
                code = compile(lines, str(page), "exec", dont_inherit=True)
                exec(code, vars(module))  # noqa: S102  it is our own
            case "file":
                Path(f"{block.module}.py").write_text(block.text)
                sys.modules.pop(block.module, None)
            case "fragment":
                ast.parse(block.text)
            case "text":
                printed = capsys.readouterr().out
                assert masked(printed) == masked(block.text), f"{where} says otherwise"
            case "sql":
                assert rows(database, block), f"{where} finds nothing"


ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def masked(output: str) -> str:
    """Ids and times differ from run to run."""
    return TIME.sub("<time>", ID.sub("<id>", output)).strip()


def rows(database: str, block: Block) -> list[tuple[object, ...]]:
    """The pages spell names as SQLite has them; on PostgreSQL the prefix is a schema."""
    if not database.startswith("postgresql"):
        connection = sqlite3.connect("backroom.db")
        try:
            return connection.execute(block.text).fetchall()
        finally:
            connection.close()
    import psycopg

    query = re.sub(r"\bbackroom_(runs|steps)\b", r"backroom.\1", block.text)
    with psycopg.connect(database) as opened:
        return opened.execute(query.encode()).fetchall()
