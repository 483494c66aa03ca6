"""Real PostgreSQL servers for tests and benchmarks, one `with` away.

    with postgres_server() as server:              # "newest"; or "oldest"
        dsn = fresh_database(server)               # some 50 ms

`python -m tests.postgres [oldest]` starts one by hand and prints its address.

The server's files lie in a temporary folder and it answers on 127.0.0.1. It ends with its owner,
by whatever death (`postgres_guard.py`). Its binaries come from `postgres_binaries.py`. Who has a
server already names it, as an address of a superuser:

    BACKROOM_TEST_POSTGRES=postgresql://user:password@host:5432/postgres
    BACKROOM_TEST_POSTGRES_OLDEST=...              # the same, for "oldest"

pytest's fixtures are in `conftest.py`. They share one server a version: the controller owns the
folder, the first worker that needs a server starts it, and the others find it by its file.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests import postgres_guard
from tests.postgres_binaries import (
    Identity,
    Version,
    exclusive,
    find_binaries,
    made_reachable,
    unprivileged,
)

START_SECONDS = 30
STOP_SECONDS = 20
TRIES_FOR_A_PORT = 5

EXISTING = {
    "newest": "BACKROOM_TEST_POSTGRES",
    "oldest": "BACKROOM_TEST_POSTGRES_OLDEST",
}

# Nothing here has to survive a power cut, but for the benchmarks, which measure just that.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

SETTINGS = {
    "autovacuum_naptime": "5s",
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and how to reach it."""

    dsn: str
    """A superuser's address of the database ``postgres``."""

    release: int
    """14, 18 ..."""

    pid: int | None
    """The postmaster; None for a server that was there before us."""


@contextmanager
def postgres_server(version: Version = "newest", *, durable: bool = False) -> Iterator[Server]:
    """A server of your own, gone after the block. `durable` syncs every commit to the disk."""
    with owned_folder() as folder:
        yield server_in(folder, version, durable=durable)


def fresh_database(server: Server, *, template: str = "template0") -> str:
    """Create an empty database, or a copy of `template` (which nobody may be using)."""
    name = f"backroom_{secrets.token_hex(6)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return in_database(server.dsn, name)


def drop_database(server: Server, dsn: str) -> None:
    """Drop a database, whoever is still connected to it."""
    name = urlsplit(dsn).path.removeprefix("/")
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name)))


@contextmanager
def owned_folder() -> Iterator[Path]:
    """A temporary folder. The servers in it run while the calling process stays in the block."""
    folder = Path(tempfile.mkdtemp(prefix="backroom-", dir=_short_temporary_folder()))
    folder.chmod(0o711)  # the account `nobody` has to pass through
    with (folder / "alive").open("w") as alive:
        fcntl.lockf(alive, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            fcntl.lockf(alive, fcntl.LOCK_UN)
            deadline = time.monotonic() + STOP_SECONDS
            while any(folder.glob("*/data")) and time.monotonic() < deadline:
                time.sleep(0.01)
            shutil.rmtree(folder, ignore_errors=True)


def server_in(folder: Path, version: Version, *, durable: bool = False) -> Server:
    """The server of `version` in an owned folder, started if it isn't running yet."""
    existing = os.environ.get(EXISTING[version])
    if existing:
        return _existing(existing)
    name = f"{version}-durable" if durable else version
    with exclusive(folder / f"{name}.lock"):
        address = folder / f"{name}.json"
        if address.exists():
            return Server(**json.loads(address.read_text()))
        server = _start(folder, name, find_binaries(version), durable=durable)
        address.write_text(json.dumps(asdict(server)))
        return server


def _start(folder: Path, name: str, binaries: Path, *, durable: bool) -> Server:
    identity = unprivileged()
    home = folder / name
    last_words = folder / f"{name}.log"
    output = ""
    for _ in range(TRIES_FOR_A_PORT):
        password = secrets.token_hex(16)
        port = free_port()
        command = _initialise(home, binaries, identity, password, port=port, durable=durable)
        guard(folder, name, command, identity)
        dsn = f"postgresql://backroom:{password}@127.0.0.1:{port}/postgres"
        deadline = time.monotonic() + START_SECONDS
        while not last_words.exists():
            try:
                release = _release(dsn)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"PostgreSQL in {home} gives no answer: {error}") from error
                time.sleep(0.02)
            else:
                pid = int((home / "data" / "postmaster.pid").read_text().split()[0])
                return Server(dsn=dsn, release=release, pid=pid)
        output = last_words.read_text(errors="replace")
        last_words.unlink()
        if "Address already in use" not in output:  # someone was faster at the free port: again
            break
    raise RuntimeError(f"PostgreSQL of {binaries} did not start. It said:\n{output}")


def _initialise(
    home: Path, binaries: Path, identity: Identity, password: str, *, port: int, durable: bool
) -> list[str]:
    """Make the server's files in `home`; the command that starts it."""
    home.mkdir(mode=0o700)
    try:
        (home / "password").write_text(password)
        if identity.uid is not None and identity.gid is not None:
            os.chown(home, identity.uid, identity.gid)
            os.chown(home / "password", identity.uid, identity.gid)
        programs = made_reachable(binaries, identity, home)
        initialised = subprocess.run(
            [
                *identity.prefix,
                programs / "initdb",
                *("--pgdata", home / "data"),
                *("--username", "backroom", "--pwfile", home / "password"),
                *("--auth-host", "scram-sha-256", "--auth-local", "trust"),
                *("--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            user=identity.uid,
            group=identity.gid,
            extra_groups=None if identity.uid is None else [],
            cwd=home,
            capture_output=True,
            text=True,
        )
        if initialised.returncode:
            raise RuntimeError(f"initdb of {binaries} failed:\n{initialised.stderr}")
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    settings = {
        **SETTINGS,
        **({} if durable else NOT_DURABLE),
        "port": str(port),
        "unix_socket_directories": str(home),
    }
    return [
        *identity.prefix,
        str(programs / "postgres"),
        *("-D", str(home / "data")),
        *(word for key, value in settings.items() for word in ("-c", f"{key}={value}")),
    ]


def guard(folder: Path, name: str, command: Sequence[str], identity: Identity) -> None:
    """Start a server whose files are in `folder/name`; it ends with the folder's owner."""
    program = [sys.executable, "-I", "-S", str(postgres_guard.__file__)]
    uid = -1 if identity.uid is None else identity.uid
    gid = -1 if identity.gid is None else identity.gid
    subprocess.run(
        [*program, str(folder), name, str(uid), str(gid), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def _existing(dsn: str) -> Server:
    if "://" not in dsn:
        raise ValueError(f"{dsn!r} is not an address. Write postgresql://user@host:port/postgres.")
    return Server(dsn=dsn, release=_release(dsn), pid=None)


def _release(dsn: str) -> int:
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        return connection.info.server_version // 10_000


def in_database(dsn: str, name: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _short_temporary_folder() -> str:
    """The path of a Unix socket has at most 107 bytes; some systems' TMPDIR leaves no room."""
    folder = tempfile.gettempdir()
    return folder if len(folder) < 60 else "/tmp"  # noqa: S108 (mkdtemp makes a private folder in it)


def main() -> None:
    version: Version = "newest"
    for word in sys.argv[1:]:
        if word not in get_args(Version):
            sys.exit("usage: python -m tests.postgres [newest|oldest]")
        version = "oldest" if word == "oldest" else "newest"
    with postgres_server(version) as server:
        print(f"PostgreSQL {server.release}, until Ctrl-C:\n\n    {fresh_database(server)}\n")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
