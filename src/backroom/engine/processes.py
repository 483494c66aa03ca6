"""Processes that perform one call at a time, and that can be killed one by one.

A `concurrent.futures.Executor` like `ProcessPoolExecutor`, with the two things that it lacks: a
call that runs can be cancelled, which kills its process and nobody else's; and when a process dies
it is known which call it was performing, and how it died.

    submit ─▶ queue ─▶ [ place's thread: take one ─▶ its own process ─▶ answer ]
                                                  ▲
                                       cancel() ──┘ kills it; the next call gets a new one

A place is a thread with one process, started when there is a call for it and replaced when it has
died, has grown old (`calls`), or has run out of memory; one that had nothing to do for a while is
let go. Processes are spawned, never forked: a fork would carry the locks and connections of all
other threads along.

    parent ── pickled (function, args, kwargs) ──▶ child
           ◀── ready ─ begun ─ answer ───────────

The child goes with its parent, however that ends. It doesn't listen to signals that tell a whole
service to stop: its parent decides what becomes of the call.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from backroom.engine.leash import die_with_parent
from backroom.engine.supervisor import ending
from backroom.records.errors import ProcessDied

__all__ = ["Call", "Processes", "leave_after_this"]

P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = 60.0  # a process that had nothing to do for so long is let go
LOOK_SECONDS = 1.0  # between two looks at a process whose pipes somebody else holds open
GOODBYE_SECONDS = 2.0  # what a process that has nothing to do gets to end by itself


class Call(Future[Any]):
    """A call; `cancel()` works while it is being performed, too."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.begun = False
        self._on_begin: Callable[[], None] | None = None
        self._guard = threading.Lock()
        self._process: BaseProcess | None = None
        self.unwanted = False

    def cancel(self) -> bool:
        """Take the call back: from the queue, or by killing the process that performs it. Its
        `result()` raises CancelledError then."""
        if super().cancel():
            return True
        with self._guard:
            if self.done():
                return False
            self.unwanted = True
            if self._process is not None:
                self._process.kill()
        return True

    def when_begun(self, callback: Callable[[], None]) -> None:
        """Call back once the function is about to be called, from the thread of its place; at once
        if that was before."""
        with self._guard:
            self._on_begin = callback
            begun = self.begun
        if begun:
            callback()

    def begin(self) -> None:
        with self._guard:
            self.begun = True
            callback = self._on_begin
        if callback is not None:
            callback()

    def performed_by(self, process: BaseProcess | None) -> None:
        with self._guard:
            self._process = process
            if process is not None and self.unwanted:
                process.kill()


class Processes(Executor):
    """At most `count` processes, each replaced after so many `calls` (0: never)."""

    def __init__(self, count: int, *, calls: int = 0) -> None:
        self._count = count
        self._calls = calls
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._current: set[Call] = set()
        self._closed = False
        # Else the interpreter would wait for them at its end, and they for it.
        atexit.register(shut_down, weakref.ref(self))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Perform a call in one of the processes. Raises what pickle does when it can't carry it.

        ProcessDied, as the error of the call, when its process died.
        """
        call = Call(pickle.dumps((fn, args, kwargs)))
        with self._lock:
            if self._closed:
                raise RuntimeError("These processes have been shut down.")
            self._queue.put(call)
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._count:
                thread = threading.Thread(target=self._work, name="backroom-processes", daemon=True)
                self._threads.append(thread)
                thread.start()
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. `cancel_futures`: what is waiting or running is cancelled."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            running = list(self._current)
        if cancel_futures:
            with contextlib.suppress(Empty):
                while True:
                    waiting = self._queue.get_nowait()
                    if waiting is not None:
                        waiting.cancel()
            for call in running:
                call.cancel()
        for _ in threads:
            self._queue.put(None)
        if wait:
            for thread in threads:
                thread.join()

    # --- a place

    def _work(self) -> None:
        place = Place()
        try:
            while (call := self._next(place)) is not None:
                with self._lock:
                    self._current.add(call)
                try:
                    if call.set_running_or_notify_cancel():
                        place.perform(call)
                except Exception as error:
                    call.set_exception(error)
                finally:
                    with self._lock:
                        self._current.discard(call)
                if self._calls and place.performed >= self._calls:
                    place.dismiss()
                with self._lock:
                    if self._queue.empty():
                        self._idle.release()
        finally:
            place.dismiss()

    def _next(self, place: Place) -> Call | None:
        try:
            return self._queue.get(timeout=IDLE_SECONDS)
        except Empty:
            place.dismiss()
            return self._queue.get()


def shut_down(alive: weakref.ref[Processes]) -> None:
    pool = alive()
    if pool is not None:
        pool.shutdown(cancel_futures=True)


class Place:
    """One process at a time, tended by one thread."""

    def __init__(self) -> None:
        self.performed = 0  # calls of the present process
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    def perform(self, call: Call) -> None:
        """Perform a call to its end; it is resolved then, whatever happens."""
        while True:
            used = self.performed > 0
            try:
                self._fill()
                call.performed_by(self._process)
                if self.performed == 0:
                    self._hear()  # ready
                self._send(call.data)
                good, answer, leaves = self._answer(call)
            except (EOFError, OSError) as error:
                call.performed_by(None)
                died = self._bury(error)
                if used and not call.begun and not call.unwanted:
                    continue  # it had died before, while it had nothing to do
                good, answer = False, died
            else:
                call.performed_by(None)
                self.performed += 1
                if call.unwanted:
                    assert self._process is not None
                    self._process.kill()  # perhaps it has been already: it can't be used again
                    self._bury()
                elif leaves:
                    self.dismiss()
            break
        if call.unwanted:
            call.set_exception(CancelledError())
        elif good:
            call.set_result(answer)
        else:
            call.set_exception(answer)

    def _fill(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self._forget()
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        with theirs:
            process = spawn.Process(target=attend, args=(theirs, os.getpid()), name="backroom-step")
            try:
                process.start()
            except BaseException:
                ours.close()
                raise
        self._process, self._line, self.performed = process, ours, 0

    def _send(self, data: bytes) -> None:
        assert self._line is not None
        self._line.send_bytes(data)

    def _hear(self) -> tuple[str, bytes]:
        """The next word of the process; EOFError when it is dead."""
        assert self._process is not None
        assert self._line is not None
        while not wait([self._line, self._process.sentinel], LOOK_SECONDS):
            # A grandchild may hold the pipes of a process that is dead.
            if self._process.exitcode is not None:
                raise EOFError
        if not self._line.poll():
            raise EOFError
        word: tuple[str, bytes] = self._line.recv()
        return word

    def _answer(self, call: Call) -> tuple[bool, Any, bool]:
        while True:
            word, data = self._hear()
            if word == "begun":
                call.begin()
                continue
            try:
                good, answer = pickle.loads(data)  # noqa: S301  from our own child
            except Exception as error:
                good, answer = False, RuntimeError(f"The result can't be read: {error!r}")
            return good, answer, word == "last"

    def _bury(self, error: Exception | None = None) -> ProcessDied:
        """The process is dead, or can't be talked to any more, which comes to the same."""
        code = None
        if self._process is not None:
            self._process.join(LOOK_SECONDS)
            if self._process.exitcode is None:
                self._process.kill()
                self._process.join()
            code = self._process.exitcode
        self._forget()
        if code is None:
            return ProcessDied(f"could not be started ({error})")
        return ProcessDied(how_it_died(code), code)

    def dismiss(self) -> None:
        """Let the process go: it ends when its line does."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.join(GOODBYE_SECONDS)
            if self._process.exitcode is None:
                self._process.kill()
                self._process.join()
        self._forget()

    def _forget(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with contextlib.suppress(ValueError):  # it is still running, against all odds
                self._process.close()
        self._process = self._line = None
        self.performed = 0


def how_it_died(code: int) -> str:
    if code == -signal.SIGKILL:
        return f"{ending(code)}, as the system does when memory runs out"
    return ending(code)


# --- the child's side


_leaving = False


def leave_after_this() -> None:
    """For code in the child: answer this call, then make room for a fresh process."""
    global _leaving
    _leaving = True


def attend(line: Connection, parent: int) -> None:
    """What a child does until its line ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler and not SIG_IGN, which programs that the body starts would inherit.
        signal.signal(signum, lambda number, frame: None)
    die_with_parent(parent, signal.SIGKILL)
    threading.Thread(target=follow_parent, daemon=True).start()
    line.send(("ready", b""))
    while True:
        try:
            data = line.recv_bytes()
        except (EOFError, OSError):
            return
        answer = perform(data, lambda: line.send(("begun", b"")))
        if _leaving:
            line.send(("last", answer))
            return
        line.send(("answer", answer))


def perform(data: bytes, begun: Callable[[], None]) -> bytes:
    """One call; its pickled outcome."""
    try:
        function, args, kwargs = pickle.loads(data)  # noqa: S301  from our own parent
        begun()
        return pickle.dumps((True, function(*args, **kwargs)))
    except BaseException as error:
        try:
            return pickle.dumps((False, error))
        except Exception:
            return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def follow_parent() -> None:
    """End when the parent has, also where the system doesn't see to that."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
