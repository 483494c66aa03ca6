"""Claims from a CSV file: one run per row, keyed by the claim's number.

    number,claimant,amount,currency,date,submitted,category,description,receipt

Loading is repeatable: a number that is there already is left alone, so a load that was interrupted
is simply done again. A row that is no claim is refused with its line and the reason, and the rest
is loaded; refused lines are kept and shown on a page. What is well formed but against the policy is
none of the loader's business: the flow rejects it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from examples.expenses.app import app
from examples.expenses.claims import Claim, Unreadable, read_claim
from examples.expenses.database import is_sqlite, writing
from examples.expenses.flow import review
from examples.expenses.submitting import new_row
from examples.expenses.tables import ClaimRow, RefusedRow

__all__ = ["COLUMNS", "Loaded", "NoClaims", "RefusedLine", "load"]

COLUMNS = (
    "number", "claimant", "amount", "currency", "date", "submitted", "category", "description",
    "receipt",
)  # fmt: skip
ROWS = 20_000  # in one file
TOGETHER = 100  # claims and runs in one transaction
EXCERPT_CHARS = 160


class NoClaims(Exception):
    """The file as a whole is none that could be loaded."""


@dataclass(frozen=True)
class RefusedLine:
    line: int
    reason: str
    excerpt: str


@dataclass(frozen=True)
class Loaded:
    source: str
    started: int  # claims stored, each with its run
    known: int  # claims that were there already
    refused: tuple[RefusedLine, ...]


def load(content: bytes, source: str) -> Loaded:
    """Load what can be loaded; NoClaims if the file isn't a table of claims at all."""
    claims, refused = read(content)
    started = known = 0
    for at in range(0, len(claims), TOGETHER):
        new, clashes = _store_again_if_raced(claims[at : at + TOGETHER], source)
        started += new
        known += len(claims[at : at + TOGETHER]) - new - len(clashes)
        refused += clashes
    refused.sort(key=lambda each: each.line)
    _keep_refused(refused, source)
    return Loaded(source, started, known, tuple(refused))


def read(content: bytes) -> tuple[list[tuple[int, Claim]], list[RefusedLine]]:
    """The claims of a file by line, and the lines that are none."""
    claims: list[tuple[int, Claim]] = []
    refused: list[RefusedLine] = []
    seen: dict[str, int] = {}
    for line, cells in _rows(content):
        try:
            if isinstance(cells, str):
                raise Unreadable({"row": cells})
            claim = _claim(cells)
            if claim.number in seen:
                raise Unreadable({"number": f"{claim.number} stands on line {seen[claim.number]}"})
        except Unreadable as error:
            text = cells if isinstance(cells, str) else ",".join(cells)
            refused.append(RefusedLine(line, str(error), _excerpt(text)))
            continue
        seen[claim.number] = line
        claims.append((line, claim))
    return claims, refused


def _rows(content: bytes) -> Iterator[tuple[int, list[str] | str]]:
    """Each row with the line it begins on; a string says why a row can't be taken apart."""
    # What isn't UTF-8 survives as surrogates, so that one bad row doesn't cost the whole file.
    text = content.decode("utf-8-sig", errors="surrogateescape")
    head = text.split("\n", 1)[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
    except csv.Error:
        header = []
    if header != list(COLUMNS):
        raise NoClaims(
            "The first line has to name the columns, in this order: " + ", ".join(COLUMNS) + "."
        )
    count = 0
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"can't be taken apart: {error}"
            continue
        if not any(cell.strip() for cell in cells):
            continue
        count += 1
        if count > ROWS:
            raise NoClaims(f"The file has more than {ROWS:,} rows. Split it.")
        yield line, cells


def _claim(cells: Sequence[str]) -> Claim:
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        raise Unreadable({"row": "is not in UTF-8"})
    if len(cells) != len(COLUMNS):
        raise Unreadable({"row": f"has {len(cells)} columns instead of {len(COLUMNS)}"})
    text = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,29}", text["number"]):
        raise Unreadable({"number": "is missing" if not text["number"] else "is no claim number"})
    try:
        submitted_on = date.fromisoformat(text["submitted"])
    except ValueError:
        raise Unreadable({"submitted": "is not a day such as 2025-03-31"}) from None
    return read_claim(
        text,
        submitted_on=submitted_on,
        claimant=text["claimant"].removesuffix("@example.com"),
        number=text["number"],
    )


def _store_again_if_raced(
    numbered: Sequence[tuple[int, Claim]], source: str
) -> tuple[int, list[RefusedLine]]:
    """Two loads of one file may both miss the other's rows; the loser looks again."""
    try:
        with writing() as session:
            return _store(session, numbered, source)
    except IntegrityError:
        with writing() as session:
            return _store(session, numbered, source)


def _store(
    session: Session, numbered: Sequence[tuple[int, Claim]], source: str
) -> tuple[int, list[RefusedLine]]:
    """Claims and their runs in the session's transaction: how many are new, and whose number is
    another claim's."""
    numbers = [claim.number for _, claim in numbered]
    there = {
        row.number: row.as_claim()
        for row in session.scalars(select(ClaimRow).where(ClaimRow.number.in_(numbers)))
    }
    clashes = [
        RefusedLine(line, f"number: {claim.number} is another claim's already", claim.description)
        for line, claim in numbered
        if there.get(claim.number, claim) != claim
    ]
    new = [claim for _, claim in numbered if claim.number not in there]
    rows = [new_row(claim, source=source) for claim in new]
    session.add_all(rows)
    session.flush()
    runs = app.start_many([review.prepare(claim) for claim in new], on=session)
    for row, run in zip(rows, runs, strict=True):
        row.run_id = run.id
    return len(new), clashes


def _keep_refused(refused: Sequence[RefusedLine], source: str) -> None:
    if not refused:
        return
    values = [
        {
            "source": source, "line": each.line, "reason": each.reason, "excerpt": each.excerpt,
            "digest": hashlib.blake2b(
                f"{each.reason}\n{each.excerpt}".encode(), digest_size=16
            ).hexdigest(),
        }
        for each in refused
    ]  # fmt: skip
    insert = (sqlite if is_sqlite() else postgresql).insert(RefusedRow)
    with writing() as session:
        session.execute(insert.on_conflict_do_nothing(), values)


def _excerpt(text: str) -> str:
    """What a page can show of a line: printable, and not long."""
    shown = text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return shown if len(shown) <= EXCERPT_CHARS else shown[: EXCERPT_CHARS - 1] + "…"
