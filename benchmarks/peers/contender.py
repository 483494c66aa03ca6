"""One peer at work: an empty database, its processes, and what its jobs have noted.

    with stage.contest(peer) as contest:
        contest.ask("fill", kind="noop", count=10_000)
        workers = contest.start_workers(peer.tuned, processes=2)
        contest.go(workers)

All processes are in sessions of their own and are killed at the end of the block: how a peer stops
isn't measured.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from benchmarks.peers.catalogue import POSTGRES, REDIS, Peer, Settings
from benchmarks.peers.diary import Diary, make_diary
from benchmarks.peers.environments import ROOT, Unavailable, environment, redis_command
from benchmarks.peers.environments import redis_server as started_redis
from tests.postgres import Server, drop_database, fresh_database

__all__ = ["Contest", "Process", "Stage"]

PATIENCE_SECONDS = 60.0
REDIS_DATABASES = 16


class Process:
    """A process of a peer."""

    def __init__(self, command: list[str], environ: dict[str, str], complaints: Path) -> None:
        self._complaints = complaints
        with complaints.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                env=environ,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._heard: Queue[dict[str, Any] | None] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def session(self) -> int:
        return self._process.pid

    def say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def hear(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        try:
            message = self._heard.get(timeout=seconds)
        except Empty:
            raise Unavailable(f"no answer within {seconds:.0f} s; {self.last_words()}") from None
        if message is None:
            raise Unavailable(f"its process ended: {self.last_words()}")
        return message

    def ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """-9, to it and to all that it started."""
        with suppress(ProcessLookupError):  # gone by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def last_words(self) -> str:
        lines = self._complaints.read_text(encoding="utf-8", errors="replace").split("\n")
        told = [line.strip() for line in lines if line.strip()]
        return told[-1][:200] if told else "it said nothing"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for text in output:
                if text.startswith("@"):
                    self._heard.put(json.loads(text[1:]))
        self._heard.put(None)


class Contest:
    """One measurement of one peer: nothing of an earlier one is there."""

    def __init__(self, peer: Peer, python: Path, address: str, folder: Path) -> None:
        self.peer = peer
        self.diary: Diary = make_diary(folder)
        self._python = python
        self._folder = folder
        self._address = address
        self._processes: list[Process] = []
        self._looking: psycopg.Connection | sqlite3.Connection | None = None
        # Ours finds our sources, the others only the benchmarks.
        sources = [str(ROOT), *([str(ROOT / "src")] if not peer.packages else [])]
        self._environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sources),
            "BENCH_ADDRESS": address,
            "BENCH_FOLDER": str(folder),
        }
        self._environ.pop("BACKROOM_DATABASE", None)

    def ask(self, role: str, **given: Any) -> dict[str, Any]:
        """Let a process of its own do something, and wait for it."""
        process = self._start(role, given)
        answer = process.hear()
        process.kill()
        return answer

    def start_workers(self, settings: Settings, *, processes: int | None = 1) -> list[Process]:
        """Workers that are ready to begin. processes=None: what the peer does unless told."""
        given = dict(settings)
        if self.peer.own_processes and processes is not None:
            given["processes"] = processes
        number = 1 if self.peer.own_processes or processes is None else processes
        workers = [self._start("work", given) for _ in range(number)]
        for worker in workers:
            worker.hear()
        return workers

    def go(self, workers: list[Process]) -> None:
        for worker in workers:
            worker.say("go")

    def is_drained(self, jobs: int) -> bool:
        """Whether all jobs are done, so far as the peer's database can tell."""
        if self.diary.begun() < jobs:
            return False
        query = self.peer.drained
        if query is None:
            return True
        if self._looking is None:
            if self.peer.place == POSTGRES:
                self._looking = psycopg.connect(self._address, autocommit=True)
            else:
                self._looking = sqlite3.connect(
                    self._address, isolation_level=None, check_same_thread=False, timeout=30
                )
        if isinstance(self._looking, sqlite3.Connection):
            return self._looking.execute(query).fetchone() is None
        return self._looking.execute(query.encode()).fetchone() is None

    def until(self, what: str, condition: Any, *, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait for it; the moment, on `time.monotonic`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                words = self._processes[-1].last_words() if self._processes else ""
                raise Unavailable(f"{what} took more than {seconds:.0f} s; {words}")
            for process in self._processes:
                if process.ended():
                    raise Unavailable(f"a worker ended: {process.last_words()}")
            time.sleep(0.002)
        return time.monotonic()

    def forget(self, process: Process) -> None:
        """It was killed on purpose."""
        self._processes.remove(process)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        if self._looking is not None:
            self._looking.close()
        self.diary.close()

    def _start(self, role: str, given: dict[str, Any]) -> Process:
        words = ["-m", "benchmarks.peers.line", self.peer.adapter, role, json.dumps(given)]
        complaints = self._folder / "complaints"
        process = Process([str(self._python), *words], self._environ, complaints)
        if role == "work":
            self._processes.append(process)
        return process


@dataclass
class Stage:
    """The servers that all contests share."""

    postgres: Server

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._redis: int | None = None
        self._numbers = count()
        self._lock = threading.Lock()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def contest(self, peer: Peer) -> Iterator[Contest]:
        python = environment(peer)
        with (
            TemporaryDirectory(prefix="backroom-bench-", ignore_cleanup_errors=True) as name,
            self._database(peer, Path(name)) as address,
        ):
            contest = Contest(peer, python, address, Path(name))
            try:
                contest.ask("prepare")
                yield contest
            finally:
                contest.close()

    @contextmanager
    def _database(self, peer: Peer, folder: Path) -> Iterator[str]:
        if peer.place == POSTGRES:
            dsn = fresh_database(self.postgres)
            try:
                yield dsn
            finally:
                drop_database(self.postgres, dsn)
        elif peer.place == REDIS:
            with self._lock:
                if self._redis is None:
                    self._redis = self._stack.enter_context(started_redis())
                number = next(self._numbers) % REDIS_DATABASES
            redis_command(self._redis, "FLUSHDB", database=number)
            yield f"redis://127.0.0.1:{self._redis}/{number}"
        else:
            yield str(folder / "database.db")
