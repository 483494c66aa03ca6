"""`python -m benchmarks.growth`: measure how cost grows, and print tables."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.__main__ import PLACES, say
from benchmarks.growth import report
from benchmarks.growth.curves import CURVES, FULL, QUICK, Point
from benchmarks.machine import calibrate, described


def main() -> None:
    given = arguments()
    size = QUICK if given.quick else FULL
    if given.huge:
        size = dataclasses.replace(size, backlogs=(*size.backlogs, 10_000_000))
    about = described()
    before = calibrate()
    found: dict[str, list[Point]] = {}
    with ExitStack() as stack:
        for name in given.database or PLACES:
            place = stack.enter_context(PLACES[name]())
            about[place.name] = f"{place.version} ({place.durability})"
            points = found.setdefault(place.name, [])
            for number in range(1, given.rounds + 1):
                for curve in given.only or CURVES:
                    say(f"{place.name}, round {number} of {given.rounds}: {curve} ...")
                    points += CURVES[curve](place, size)
    say("")
    about["rounds"] = str(given.rounds)
    markdown = report.as_markdown(found, about, before, calibrate())
    print(markdown)
    if given.json:
        text = json.dumps(
            {name: [dataclasses.asdict(each) for each in points] for name, points in found.items()},
            indent=2,
        )
        given.json.write_text(text + "\n", encoding="utf-8")
    if given.save:
        print(f"saved to {report.save(markdown, report.as_svg(found))}", file=sys.stderr)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description="Measure how backroom's cost grows."
    )
    parser.add_argument(
        "--only", action="append", choices=CURVES, metavar="CURVE",
        help=f"measure this alone (repeatable): {', '.join(CURVES)}",
    )  # fmt: skip
    parser.add_argument(
        "--database", action="append", choices=PLACES, help="on this alone (repeatable)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often (1)")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--huge", action="store_true", help="claims with ten million runs as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--save", action="store_true", help="put them into docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
