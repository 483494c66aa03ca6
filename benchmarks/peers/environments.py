"""An environment for each peer, in `.cache/peers`, and a Redis server.

Nothing is installed into our own environment. `constraints.txt` says which releases.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.catalogue import Peer
from tests.postgres import free_port

__all__ = ["Unavailable", "environment", "redis_command", "redis_program", "redis_server",
           "release"]  # fmt: skip

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / ".cache" / "peers"
CONSTRAINTS = Path(__file__).parent / "constraints.txt"


class Unavailable(Exception):
    """Why a peer can't be measured here."""


def environment(peer: Peer) -> Path:
    """The Python of this peer's environment, which is made if it isn't there yet."""
    if not peer.packages:
        return Path(sys.executable)
    home = HOME / peer.adapter
    python = home / "bin" / "python"
    stamp = home / "installed"
    wanted = "\n".join([*peer.packages, CONSTRAINTS.read_text(encoding="utf-8")])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing {', '.join(peer.packages)} ...", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    run([str(interpreter(peer.python)), "-m", "venv", str(home)])
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([str(python), *words, "--constraint", str(CONSTRAINTS), *peer.packages])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def release(peer: Peer) -> str:
    """What is installed, such as `pgqueuer 1.6.0`."""
    pins = dict(
        line.split("==")
        for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    package = peer.packages[0].partition("[")[0]
    return f"{peer.name} {pins[package]}"


def interpreter(least: tuple[int, int]) -> Path:
    """A Python that is new enough: ours, one on the PATH, or one of pyenv."""
    if sys.version_info >= least:
        return Path(sys.executable)
    names = [f"python3.{minor}" for minor in range(15, least[1] - 1, -1)]
    found = [Path(path) for name in names if (path := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found += sorted(pyenv.glob("versions/3.*/bin/python"), reverse=True)
    question = f"import sys, venv; sys.exit(sys.version_info < {least!r})"
    for candidate in found:  # one on the PATH may be a shim that can't run
        if subprocess.run([candidate, "-c", question], capture_output=True).returncode == 0:
            return candidate
    raise Unavailable(f"it needs Python {least[0]}.{least[1]}, and there is none here")


def run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = re.sub(r"\s+", " ", done.stderr.strip()[-300:])
        raise Unavailable(f"{Path(command[0]).name} {' '.join(command[1:4])} failed: {words}")


def redis_program() -> str:
    """The Redis server: the one on the PATH, or Debian's, installed if we may."""
    found = shutil.which("redis-server")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        print("installing redis-server ...", file=sys.stderr)
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "redis-server"]):
            subprocess.run(["apt-get", "--quiet", *words], capture_output=True)
        found = shutil.which("redis-server")
    if found is None:
        raise Unavailable("there is no redis-server here; install it (Debian: redis-server)")
    return found


@contextmanager
def redis_server() -> Iterator[int]:
    """A server with Redis' own settings, but for its files, which lie in a temporary folder."""
    program = redis_program()
    port = free_port()
    with TemporaryDirectory(prefix="backroom-bench-redis-") as folder:
        words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    redis_command(port, "PING")
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise Unavailable("the Redis server does not answer") from None
                    time.sleep(0.02)
            yield port
        finally:
            process.terminate()
            process.wait()


def redis_command(port: int, *words: str, database: int = 0) -> str:
    """One command in one of its databases; the first line of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        answers = connection.makefile()
        for command in (("SELECT", str(database)), words):
            parts = [f"*{len(command)}"]
            for word in command:
                parts += [f"${len(word)}", word]
            connection.sendall(("\r\n".join(parts) + "\r\n").encode())
            answer = answers.readline().strip()
        return answer
