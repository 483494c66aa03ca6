"""`python -m benchmarks`: measure, and print the table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report
from benchmarks.machine import calibrate, described
from benchmarks.places import Place, postgres_place, sqlite_place
from benchmarks.report import Report, Row
from benchmarks.works import FULL, QUICK, WORKS, Figure, Size

PLACES = {"sqlite": sqlite_place, "postgres": postgres_place}


def main() -> None:
    given = arguments()
    size = QUICK if given.quick else FULL
    rounds = given.rounds or (2 if given.quick else 5)
    about = described()
    before = calibrate()
    rows: list[Row] = []
    with ExitStack() as stack:
        for name in given.database or PLACES:
            place = stack.enter_context(PLACES[name]())
            about[place.name] = f"{place.version} ({place.durability})"
            figures = measured(place, given.only or list(WORKS), size, rounds)
            rows += report.rows_of(place.name, figures)
    done = Report(about, rounds, before, calibrate(), rows)
    print(report.as_markdown(done))
    if given.json:
        text = json.dumps(report.as_json(done), indent=2)
        given.json.write_text(text + "\n", encoding="utf-8")
    if given.save:
        print(f"saved to {report.save(done)}", file=sys.stderr)


def measured(place: Place, works: Sequence[str], size: Size, rounds: int) -> list[list[Figure]]:
    """All works, round by round, so that a drift of the machine meets all of them alike."""
    found: list[list[Figure]] = []
    for number in range(1, rounds + 1):
        figures: list[Figure] = []
        for work in works:
            say(f"{place.name}, round {number} of {rounds}: {work} ...")
            figures += WORKS[work](place, size)
        found.append(figures)
    say("")
    return found


def say(text: str) -> None:
    """What is going on, on a terminal's last line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure backroom beside the raw database."
    )
    parser.add_argument(
        "--only", action="append", choices=WORKS, metavar="WORK",
        help=f"measure this alone (repeatable): {', '.join(WORKS)}",
    )  # fmt: skip
    parser.add_argument(
        "--database", action="append", choices=PLACES, help="on this alone (repeatable)"
    )
    parser.add_argument("--rounds", type=int, help="how often (5; quick: 2)")
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--save", action="store_true", help="put the table into docs/performance.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
