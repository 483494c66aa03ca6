"""The pages hang together: links lead somewhere, and the guide names tests that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from backroom.cli.program import program
from tests.docs.pages import PAGES, ROOT, anchors, blocks, links, name_of

# The mission's rows. Their ids never change.
ROWS = [
    *("T1", "T2", "T3", "T4", "T5"),
    *("E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "E10", "E11"),
    *("S1", "S2", "S3", "S4"),
    *("R1", "R2", "R3", "R4"),
    *("C1", "C2", "C3"),
    *("Z1", "Z2", "Z3", "Z4"),
    *("P1", "P2", "P3", "P4", "P5", "P6", "P7", "M1", "Z5", "G1"),
    *("F1", "F2", "F3", "F4", "F5", "F6", "D1", "D2", "D3", "D4", "D5", "D6", "A1"),
]
STANDS = {"works", "partly", "not yet"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_page_begins_with_one_heading(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)) == 1


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    open_pages = [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for link in links(page.read_text()):
            path = link.partition("#")[0]
            if path and not re.match(r"https?://", link):
                open_pages.append((page.parent / path).resolve())
    assert [name_of(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_on_a_page_exists(page: Path) -> None:
    shown = (block.text for block in blocks(page.read_text()) if block.kind == "sh")
    lines = [line for text in shown for line in text.splitlines()]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["backroom"]:
            context = click.Context(program, info_name="backroom")
            command = program.get_command(context, words[1])
            assert command, f"{name_of(page)}: {line}"
            command.make_context(words[1], words[2:], parent=context)
        elif words[:1] == ["make"] and len(words) > 1:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line


def guide() -> list[list[str]]:
    text = (ROOT / "docs/guide.md").read_text()
    lines = re.findall(r"^\| ([A-Z]\d+) \|(.*)\|$", text, re.MULTILINE)
    return [[row, *(cell.strip() for cell in cells.split(" | "))] for row, cells in lines]


def test_the_guide_has_every_row_once() -> None:
    assert [row for row, *_ in guide()] == ROWS


def test_the_guide_says_where_each_row_stands() -> None:
    for row, _what, stands, page, test in guide():
        assert stands in STANDS, row
        if stands == "not yet":
            assert (page, test) == ("", ""), f"{row} isn't there yet"
        else:
            assert links(page), f"{row} has no page"
            assert test, f"{row} has no test"


@pytest.mark.parametrize("name", ["docs/guide.md", "docs/promises.md"])
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    for path, test in named_tests((ROOT / name).read_text()):
        file = ROOT / path
        assert file.is_file(), f"{name} names {path}"
        if test:
            found = re.search(rf"^(async )?def {test}\(", file.read_text(), re.MULTILINE)
            assert found, f"{name} names {path}::{test}"


def named_tests(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
