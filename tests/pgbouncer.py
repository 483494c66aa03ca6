"""PgBouncer in transaction mode, in front of a test server.

    with owned_folder() as folder:
        dsn = through_pgbouncer(folder, server, dsn)     # the same database, through the pooler

The program is Debian's package `pgbouncer` (or another system's). It ends with the folder's owner,
like the servers in it (`postgres_guard.py`). Few connections serve many clients, so that what
belongs to a session gets lost as it does in production.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.postgres import START_SECONDS, Server, free_port, guard
from tests.postgres_binaries import exclusive, unprivileged

__all__ = ["find_pgbouncer", "through_pgbouncer"]

CONNECTIONS = 10  # to one database; the tests' clients are more


def find_pgbouncer() -> str | None:
    """The program; /usr/sbin isn't on everybody's PATH."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which("pgbouncer", path=f"{path}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin")


def through_pgbouncer(folder: Path, server: Server, dsn: str) -> str:
    """The address of a database of this server's by way of the pooler, started at first use."""
    name = f"pgbouncer-{server.release}"
    with exclusive(folder / f"{name}.lock"):
        known = folder / f"{name}.port"
        if not known.exists():
            known.write_text(str(start(folder, name, server)))
        port = int(known.read_text())
    return urlsplit(dsn)._replace(netloc=f"backroom@127.0.0.1:{port}").geturl()


def start(folder: Path, name: str, server: Server) -> int:
    program = find_pgbouncer()
    assert program is not None
    identity = unprivileged()  # like PostgreSQL it refuses to be root
    home = folder / name
    home.mkdir(mode=0o700)
    port = free_port()
    (home / "pgbouncer.ini").write_text(settings(program, server, port))
    if identity.uid is not None and identity.gid is not None:
        for path in (home, home / "pgbouncer.ini"):
            os.chown(path, identity.uid, identity.gid)
    guard(folder, name, [*identity.prefix, program, str(home / "pgbouncer.ini")], identity)
    deadline = time.monotonic() + START_SECONDS
    last_words = folder / f"{name}.log"
    while not last_words.exists() and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return port
        time.sleep(0.02)
    said = last_words.read_text(errors="replace") if last_words.exists() else "nothing"
    raise RuntimeError(f"PgBouncer did not start. It said:\n{said}")


def settings(program: str, server: Server, port: int) -> str:
    address = urlsplit(server.dsn)
    lines = [
        "[databases]",
        f"* = host={address.hostname} port={address.port} user={address.username} "
        f"password={unquote(address.password or '')}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        f"default_pool_size = {CONNECTIONS}",
        "max_client_conn = 2000",
        "query_wait_timeout = 20",
        "autodb_idle_timeout = 5",
        "ignore_startup_parameters = extra_float_digits",
        "log_connections = 0",
        "log_disconnections = 0",
    ]
    if release(program) >= (1, 21):
        lines.append("max_prepared_statements = 200")
    return "\n".join(lines) + "\n"


def release(program: str) -> tuple[int, int]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"PgBouncer (\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
