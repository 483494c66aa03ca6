"""`backroom worker` and `backroom serve`: the supervisor and its children.

This process imports none of the user's code: what is wrong with that code can't touch it.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import click

from backroom.app.stores import make_store
from backroom.cli import logs
from backroom.engine.leash import Message
from backroom.engine.supervisor import Job, StartFailed, Supervisor
from backroom.records.errors import BackroomError
from backroom.store.protocol import Store

__all__ = ["serve_command", "worker_command"]

F = TypeVar("F", bound=Callable[..., Any])

WORKER_OPTIONS = (
    click.option(
        "-n", "--processes", type=click.IntRange(1, 256), default=1, show_default=True,
        help="Worker processes.",
    ),
    click.option("--database", metavar="ADDRESS", help="A SQLite file or postgresql:// address."),
    click.option("--queues", metavar="A,B", help="Queues to serve; default: all its flows use."),
    click.option(
        "--concurrency", type=click.IntRange(1, 10_000), metavar="N",
        help="Runs performed at once in one process.  [100]",
    ),
    click.option(
        "--lease", type=click.FloatRange(0.05, 3600), metavar="SECONDS",
        help="After this long without a sign a worker's runs go to others.  [6]",
    ),
    click.option(
        "--grace", type=click.FloatRange(0, 3600), metavar="SECONDS",
        help="How long runs may go on when the worker is stopped.  [20]",
    ),
    click.option("--log-format", type=click.Choice(["text", "json"]), help="How log lines look."),
    click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
        show_default=True, help="Which log lines are written.",
    ),
)  # fmt: skip


def worker_options(function: F) -> F:
    for option in reversed(WORKER_OPTIONS):
        function = option(function)
    return function


@click.command("worker", short_help="Perform runs of an application.")
@click.argument("app", required=False, metavar="[APP]")
@worker_options
def worker_command(app: str | None, processes: int, **given: Any) -> None:
    """Perform runs of APP, a module:name such as shop.jobs:app.

    SIGTERM or Ctrl-C: runs finish, or are handed back after the grace. Again: at once. SIGHUP:
    restart the processes one after another.
    """
    plan = worker_plan(app, given)
    jobs = [Job("worker", child("worker"), plan) for _ in range(processes)]
    supervise(jobs, plan, given, on_ready=lambda: None)


@click.command("serve", short_help="Perform runs and serve a web application.")
@click.argument("app", required=False, metavar="[APP]")
@click.option("--asgi", required=True, metavar="MODULE:NAME", help="The ASGI application.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
    help="Port to listen on; 0: any free one.",
)  # fmt: skip
@click.option("--access-log", is_flag=True, help="Log every request.")
@worker_options
def serve_command(
    app: str | None, asgi: str, host: str, port: int, access_log: bool, processes: int, **given: Any
) -> None:
    """Perform runs of APP and serve an ASGI application beside it, under one roof.

    Listens on this machine only, unless --host says otherwise.
    """
    need_uvicorn()
    listening = listen(host, port)
    with listening:
        web = {
            "asgi": asgi,
            "socket": listening.fileno(),
            "grace": given["grace"] if given["grace"] is not None else 20.0,
            "log_format": given["log_format"] or "text",
            "log_level": given["log_level"].upper(),
            "access_log": access_log,
            "app": app or "",
            "settings": {"database": given["database"]},
        }
        plan = worker_plan(app, given)
        jobs = [Job("worker", child("worker"), plan) for _ in range(processes)]
        jobs.append(
            Job("web server", child("web"), web, leased=False, inherits=(listening.fileno(),))
        )
        address = url(listening)
        supervise(jobs, plan, given, on_ready=lambda: click.echo(f"Serving {asgi} on {address}"))


def worker_plan(app: str | None, given: dict[str, Any]) -> Message:
    queues = given["queues"]
    return {
        "app": app or "",
        "suspects": False,
        "log_level": given["log_level"].upper(),
        "settings": {
            "database": given["database"],
            "queues": None
            if queues is None
            else [q.strip() for q in queues.split(",") if q.strip()],
            "concurrency": given["concurrency"],
            "lease": given["lease"],
            "grace": given["grace"],
            "log_format": given["log_format"],
        },
    }


def child(role: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "backroom.cli.child", role)


def supervise(
    jobs: list[Job], plan: Message, given: dict[str, Any], on_ready: Callable[[], None]
) -> None:
    alone = Job("worker for suspects", child("worker"), plan | {"suspects": True})
    suspects = [alone for job in jobs if job.leased]

    def met(settings: Message) -> None:
        logs.configure(settings["log_format"], given["log_level"].upper())

    try:
        supervisor = Supervisor(jobs, store_of, suspects=suspects, on_hello=met, on_ready=on_ready)
        code = supervisor.run()
    except StartFailed as error:
        raise BackroomError(str(error)) from None
    sys.exit(code)


def store_of(settings: Message) -> Store:
    return make_store(cast("Any", SimpleNamespace(**settings)))


def need_uvicorn() -> None:
    from importlib.util import find_spec

    if find_spec("uvicorn") is None:
        raise BackroomError(
            "`backroom serve` needs uvicorn. Install it: pip install 'backroom[serve]'."
        )


def listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server((host, port), family=found[0][0], backlog=2048)
    except OSError as error:
        raise BackroomError(
            f"Can't listen on {host} port {port}: {error.strerror}. Choose another with --host and "
            "--port, or stop what listens there."
        ) from None


def url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
