"""`python -m benchmarks.peers`: measure the peers beside backroom, and print the tables."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from pathlib import Path

import psycopg

from benchmarks.machine import calibrate, described
from benchmarks.peers import report
from benchmarks.peers.catalogue import PEERS, REDIS, Peer
from benchmarks.peers.contender import Stage
from benchmarks.peers.environments import Unavailable, environment, redis_program, release
from benchmarks.peers.measuring import measured
from benchmarks.peers.works import FULL, QUICK, TOGETHER, WORKS
from tests.postgres import Server, postgres_server

ALL = [*WORKS, *TOGETHER]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and its processes with it
    given = arguments()
    size = QUICK if given.quick else FULL
    if given.patience:
        size = dataclasses.replace(size, crash_seconds=given.patience)
    rounds = given.rounds or (1 if given.quick else 3)
    peers, missing = installed(given.peers.split(",") if given.peers else [])
    about = described()
    about["peers"] = ", ".join(dict.fromkeys(release(peer) for peer in peers))
    for title, reason in missing.items():
        about[f"left out, {title}"] = reason
    if given.install:
        return
    before = calibrate()
    with postgres_server("newest", durable=True) as server, Stage(server) as stage:
        about["PostgreSQL"] = settings_of(server)
        about["rounds"] = f"{rounds}; medians over them, ours measured before and after each"
        results = measured(stage, peers, given.only or ALL, size, rounds)
    markdown = report.as_markdown(results, peers, about, before, calibrate())
    print(markdown)
    if given.json:
        text = json.dumps(report.as_json(results, about), indent=2)
        given.json.write_text(text + "\n", encoding="utf-8")
    if given.save:
        print(f"saved to {report.save(markdown, report.as_svg(results))}", file=sys.stderr)


def installed(names: list[str]) -> tuple[list[Peer], dict[str, str]]:
    """The peers that are wanted and could be installed, and why the others couldn't."""
    wanted = [peer for peer in PEERS if not names or peer.adapter in names]
    missing: dict[str, str] = {}
    for peer in wanted:
        try:
            environment(peer)
            if peer.place == REDIS:
                redis_program()
        except Unavailable as reason:
            missing[peer.title] = str(reason)
    return [peer for peer in wanted if peer.title not in missing], missing


def settings_of(server: Server) -> str:
    with psycopg.connect(server.dsn) as connection:
        version = connection.info.parameter_status("server_version")
        words = []
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            row = connection.execute(f"SHOW {name}".encode()).fetchone()
            words.append(f"{name}={row and row[0]}")
    return f"{version} ({', '.join(words)})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Measure backroom beside its peers."
    )
    parser.add_argument(
        "--only", action="append", choices=ALL, metavar="WORK",
        help=f"measure this alone (repeatable): {', '.join(ALL)}",
    )  # fmt: skip
    names = ",".join(dict.fromkeys(peer.adapter for peer in PEERS))
    parser.add_argument("--peers", metavar="A,B", help=f"these alone: {names}")
    parser.add_argument("--rounds", type=int, help="how often (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--install", action="store_true", help="make the environments, and stop")
    parser.add_argument(
        "--patience", type=float, metavar="SECONDS",
        help="how long a dead worker's jobs are waited for (150; quick: 15)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--save", action="store_true", help="put them into docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
