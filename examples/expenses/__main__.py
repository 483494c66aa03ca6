"""`python -m examples.expenses` is the demo, `... load claims.csv` loads claims from a file.

The demo is one command of backroom's: `backroom serve` with the flows and the pages. All that is
done here is to choose free ports and to print the address.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.expenses", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    serve = commands.add_parser("serve", help="run the pages and a worker (the default)")
    for each in (parser, serve):
        each.add_argument("--host", default="127.0.0.1")
        each.add_argument("--port", type=int, default=8000, help="the next free one is taken")
        each.add_argument("-n", "--processes", type=int, default=2, help="worker processes")
    loader = commands.add_parser("load", help="load claims from a CSV file")
    loader.add_argument("file", type=Path)
    given = parser.parse_args(words)
    if given.command == "load":
        return _load(given.file)
    _serve(given.host, given.port, given.processes)


def _load(path: Path) -> int:
    from examples.expenses.app import app
    from examples.expenses.loading import NoClaims, load

    try:
        report = load(path.read_bytes(), path.name)
    except (OSError, NoClaims) as error:
        print(f"{path} was not loaded. {error}", file=sys.stderr)
        return 2
    finally:
        app.close()
    for each in report.refused:
        print(f"{report.source}:{each.line}: {each.reason}")
    print(
        f"{report.started} claims loaded, {report.known} there already, "
        f"{len(report.refused)} lines refused."
    )
    return 0


def _serve(host: str, port: int, processes: int) -> NoReturn:
    port = _free(host, port)
    # For all processes that are started from here; what is set already stays.
    os.environ.setdefault("EXPENSES_CATCH_ALL_PORT", str(_free("127.0.0.1", 8025)))
    os.environ.setdefault("EXPENSES_SITE", f"http://{host}:{port}")

    print(f"\n  Expenses comes up at http://{host}:{port}  (Ctrl-C ends it)\n", flush=True)
    serve = (
        "-m", "backroom", "serve", "examples.expenses.flow:app",
        "--asgi", "examples.expenses.web:site", "--host", host, "--port", str(port),
        "--processes", str(processes),
    )  # fmt: skip
    os.execv(sys.executable, (sys.executable, *serve))  # noqa: S606  no shell: it becomes backroom


def _free(host: str, port: int) -> int:
    """This port, or the next that nobody has."""
    for each in range(port, port + 100):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((host, each))
            except OSError:
                continue
            return each
    raise SystemExit(f"No port from {port} to {port + 99} is free on {host}. Say one with --port.")


if __name__ == "__main__":
    sys.exit(main())
