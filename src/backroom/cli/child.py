"""A child of the supervisor: a worker, or the web server of `backroom serve`.

    python -m backroom.cli.child worker|web DESCRIPTOR      (started by engine/supervisor.py only)

What to do comes over the line (engine/leash.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

from backroom.app.backroom import Backroom
from backroom.cli import logs
from backroom.cli.loading import NotLoadable, load_app, load_object
from backroom.engine.leash import ChildEnd, Message, die_with_parent
from backroom.engine.worker import Worker
from backroom.records.errors import BackroomError

__all__ = ["main"]

log = logging.getLogger("backroom.worker")

# How long a thread may keep the interpreter while others wait for it. Ours have little to do and
# should do it at once: they commit, claim and hear doorbells while the author's code computes.
SWITCH_SECONDS = 0.0005
UNHEARD_SECONDS = 0.5  # how long a stopping web server waits for the request of a new connection
UNHEARD_LOOKS = 25
STUCK_SECONDS = 0.5  # how long an exiting process waits for threads that should be done


def main(role: str, descriptor: str) -> int:
    line = ChildEnd(int(descriptor))
    try:
        plan = line.plan()
    except EOFError:
        return 0
    try:
        return work(line, plan) if role == "worker" else serve(line, plan)
    except BackroomError as error:
        line.tell(failed=str(error))
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def work(line: ChildEnd, plan: Message) -> int:
    sys.setswitchinterval(SWITCH_SECONDS)
    # Another signal than those that tell to stop: it must not count as the second of them.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    die_with_parent(plan["parent"], signal.SIGHUP)
    app = application(plan)
    settings = hello(line, app)
    logs.configure(settings.log_format, plan["log_level"])
    if not app.flows:
        raise NotLoadable(
            "The application has no flows, so its worker would have nothing to do. Import the "
            "modules that define them where the Backroom is made."
        )
    changes: dict[str, Any] = {"worker_id": plan["worker_id"], "renew": False}
    if plan["suspects"]:
        changes |= {"only_suspects": True, "concurrency": 1}
    worker = app.worker(**changes)
    worker.on_ready = lambda: line.tell(ready=True)
    worker.on_suspects = lambda count: line.tell(suspects=count)
    asyncio.run(attend(worker, line))
    app.close()
    return 0


async def attend(worker: Worker, line: ChildEnd) -> None:
    """Run the worker; pass on what the supervisor and the system say."""
    loop = asyncio.get_running_loop()
    signals = 0

    def signalled() -> None:
        nonlocal signals
        signals += 1
        worker.stop(now=signals > 1)

    def told(message: Message) -> None:
        match message:
            case {"renewed": asked}:
                worker.renewed(asked)
            case {"stop": _}:
                worker.stop()

    def orphaned() -> None:
        log.error("The supervisor is gone; stopping.")
        worker.orphaned()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, signalled)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the line says the same
    line.listen(loop, told, orphaned)
    await worker.run()


def application(plan: Message) -> Backroom:
    """The application that the plan or the settings name, with what the command line says."""
    app = load_app(plan["app"] or default_app())
    app.override(**plan["settings"])
    return app


def default_app() -> str:
    from backroom.app.settings import load

    target = load().app
    if not target:
        raise NotLoadable(
            "Which application? Name it as module:name, in BACKROOM_APP or as `app` under "
            "[tool.backroom] in pyproject.toml."
        )
    return target


def hello(line: ChildEnd, app: Backroom) -> Any:
    settings = app.settings
    store = {
        name: getattr(settings, name)
        for name in ("database", "schema_name", "prepare", "direct_database", "busy_seconds")
    }
    line.tell(
        hello={
            "store": store, "lease": settings.lease, "grace": settings.grace,
            "log_format": settings.log_format,
        }
    )  # fmt: skip
    return settings


def serve(line: ChildEnd, plan: Message) -> int:
    """The user's ASGI application, on the socket that the supervisor has bound."""
    import uvicorn

    die_with_parent(plan["parent"], signal.SIGTERM)
    # Once uvicorn has stopped for a signal it raises that signal again.
    signal.signal(signal.SIGTERM, lambda signum, frame: None)
    if plan["settings"]["database"] is not None:
        application(plan)
    web = load_object(plan["asgi"])
    line.tell(hello={"store": {}, "lease": 0, "grace": plan["grace"], "log_format": ""})
    logs.configure(plan["log_format"], plan["log_level"])

    if plan["log_level"] == "INFO":
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                line.tell(ready=True)
                loop = asyncio.get_running_loop()
                line.listen(loop, lambda message: None, self.orphaned)

        def orphaned(self) -> None:
            self.should_exit = True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Let those speak whom this process has accepted; new ones go to its successor."""
            for listener in self.servers:
                listener.close()
            for _ in range(UNHEARD_LOOKS):
                await asyncio.sleep(UNHEARD_SECONDS / UNHEARD_LOOKS)
                if not any(map(unheard, self.server_state.connections)):
                    break
            await super().shutdown(sockets)

    config = uvicorn.Config(
        web, log_config=None, access_log=plan["access_log"],
        timeout_graceful_shutdown=int(plan["grace"]) or 1,
    )  # fmt: skip
    server = Server(config)
    listening = socket.socket(fileno=plan["socket"])
    asyncio.run(server.serve(sockets=[listening]))
    return 0 if server.started else 3


def unheard(connection: Any) -> bool:
    """Whether no request has come on it yet. Uvicorn closes such a connection when it stops."""
    return getattr(connection, "cycle", connection) is None


def finish(code: int) -> None:
    """Exit, also when a thread of the author's code never returns."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join(STUCK_SECONDS)
            if thread.is_alive():
                log.warning("leaving %s behind, which doesn't return", thread.name)
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    finish(main(*sys.argv[1:]))
