"""The executors of an application by name, and the calls that are under way in them.

Any `concurrent.futures.Executor` will do. What the interface leaves open is settled here:

    stop          a call in our own processes (engine/processes.py) is killed, one in Dask is
                  cancelled; one that its executor can't cancel runs on, and nobody waits for it
    time-out      counted from the moment at which the body begins where the executor tells that,
                  else from its submission
    a broken one  all calls of a `ProcessPoolExecutor` fail when one process dies, and nobody knows
                  whose body it was. It is made anew, and each of these calls is performed again
                  alone: the one that breaks it once more has had a try that failed, the others
                  don't notice

     calls ──▶ at once, side by side ──▶ broken ──▶ suspects ──▶ one after another, alone
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from functools import partial
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

from backroom.engine.futures import new_future
from backroom.flows.errands import Errand, Failure, perform
from backroom.flows.reports import LOOPBACK, Line, Report
from backroom.records.errors import ProcessDied, Refused

if TYPE_CHECKING:
    from backroom.flows.listener import Listener

__all__ = ["OWN", "Crew", "Declaration", "Executors", "Ongoing", "Stopped"]

OWN = "process"
"""The name of the executor that `@step(process=True)` uses."""


class Stopped(Exception):
    """The call was stopped; why is known to whoever stopped it."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """How an executor is made, and under which name its processes reach this machine."""

    make: Callable[[], Executor]
    reached_at: str = LOOPBACK


class Executors:
    """All executors of one worker. None is made before its first call."""

    def __init__(self, declared: Mapping[str, Declaration]) -> None:
        self._declared = declared
        self._lock = threading.Lock()
        self._crews: dict[str, Crew] = {}

    def crew(self, name: str, step: str) -> Crew:
        declaration = self._declared.get(name)
        if declaration is None:
            raise Refused(
                f"Step {step} wants the executor {name!r}, which this application doesn't have. "
                f"Declare it: app.executor({name!r}, ...). Known: {', '.join(self._declared)}."
            )
        with self._lock:
            return self._crews.setdefault(name, Crew(declaration))

    def close(self) -> None:
        with self._lock:
            crews = list(self._crews.values())
            self._crews.clear()
        for crew in crews:
            crew.close()


class Ongoing:
    """One call of a body. `result` is resolved once, whatever happens: a value, the body's error,
    ProcessDied, or Stopped."""

    def __init__(self, crew: Crew, timeout: float | None, *, alone: bool) -> None:
        self.result: Future[Any] = new_future()
        self.alone = alone
        self.timed_out = False
        self.left_behind: Future[Any] | None = None  # it was stopped and runs on all the same
        self.errand: Errand | None = None
        self._crew = crew
        self._hang_up: Callable[[], None] | None = None
        self._timeout = timeout
        self._timer: threading.Timer | None = None
        self._future: Future[Any] | None = None
        self._lock = threading.Lock()

    def begin(self, errand: Callable[[Line], Errand], report: Report) -> None:
        """Hand the call to the executor."""
        listener = self._crew.listener()
        line = listener.open(report)
        self._hang_up = partial(listener.close_line, line)
        self.errand = errand(line)
        self._crew.take(self)
        if self.result.done():  # stopped before there was anything to hang up
            self._hang_up()

    def stop(self) -> None:
        """From any thread, at any time."""
        self.resolve(error=Stopped())
        future = self._future
        if future is not None and not future.cancel() and not future.done():
            self.left_behind = future

    def flies(self, future: Future[Any]) -> None:
        """The executor has taken it."""
        self._future = future
        if self.result.done():
            future.cancel()
        when_begun = getattr(future, "when_begun", None)
        if when_begun is None:
            self._begun()
        else:
            when_begun(self._begun)

    def _begun(self) -> None:
        if self._timeout is not None and self._timer is None and not self.result.done():
            self._timer = threading.Timer(self._timeout, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def _expire(self) -> None:
        self.timed_out = True
        self.stop()

    def resolve(self, value: Any = None, error: BaseException | None = None) -> None:
        with self._lock:
            if self.result.done():
                return
            if error is not None:
                self.result.set_exception(error)
            else:
                self.result.set_result(value)
        if self._timer is not None:
            self._timer.cancel()
        if self._hang_up is not None:
            self._hang_up()


class Crew:
    """One executor, with what is under way in it."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._lock = threading.RLock()
        self._executor: Executor | None = None
        self._listener: Listener | None = None
        self._waiting: deque[Ongoing] = deque()
        self._suspects: deque[Ongoing] = deque()
        self._flying: set[Ongoing] = set()
        self._alone: Ongoing | None = None
        self._breaks = False  # it has broken once, so it may again

    @property
    def is_open(self) -> bool:
        return self._executor is not None

    def open(self) -> Executor:
        """The executor; made if need be, which may take a while."""
        with self._lock:
            if self._executor is None:
                self._executor = self._declaration.make()
            return self._executor

    def listener(self) -> Listener:
        with self._lock:
            if self._listener is None:
                from backroom.flows.listener import Listener

                self._listener = Listener(self._declaration.reached_at)
            return self._listener

    def close(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
            listener, self._listener = self._listener, None
        if executor is not None:
            executor.shutdown(wait=False)
        if listener is not None:
            listener.close()

    def take(self, ongoing: Ongoing) -> None:
        with self._lock:
            suspect = ongoing.alone and self._breaks
            (self._suspects if suspect else self._waiting).append(ongoing)
        self._go_on()

    def _go_on(self) -> None:
        """Submit what may be submitted."""
        while (ongoing := self._next()) is not None:
            self._submit(ongoing)

    def _next(self) -> Ongoing | None:
        with self._lock:
            if self._alone is not None or (self._suspects and self._flying):
                return None
            if self._suspects:
                chosen = self._alone = self._suspects.popleft()
            elif self._waiting:
                chosen = self._waiting.popleft()
            else:
                return None
            self._flying.add(chosen)
            return chosen

    def _submit(self, ongoing: Ongoing) -> None:
        errand = ongoing.errand
        while errand is not None and not ongoing.result.done():
            executor: Executor | None = None
            try:
                executor = self.open()
                future = executor.submit(perform, errand)
            except BrokenExecutor:
                self._give_up(executor)
            except (PicklingError, TypeError, AttributeError) as error:
                ongoing.resolve(error=Refused(
                    f"The arguments can't be sent to another process: {error}. Pass plain values, "
                    "and make inside of the step what can't travel."
                ))  # fmt: skip
            except Exception as error:
                ongoing.resolve(error=error)
            else:
                ongoing.flies(future)
                future.add_done_callback(partial(self._done, ongoing, executor))
                return
        self._landed(ongoing)

    def _done(self, ongoing: Ongoing, executor: Executor, future: Future[Any]) -> None:
        """From a thread of the executor."""
        self._landed(ongoing)
        error = Stopped() if future.cancelled() else future.exception()
        if isinstance(error, BrokenExecutor):
            self._give_up(executor)
            if ongoing.alone:
                ongoing.resolve(error=ProcessDied(f"died ({error})"))
            elif not ongoing.result.done():
                with self._lock:
                    ongoing.alone = True
                    self._suspects.append(ongoing)
        elif error is not None:
            ongoing.resolve(error=error)
        else:
            value = future.result()
            if isinstance(value, Failure):
                ongoing.resolve(error=value.error())
            else:
                ongoing.resolve(value)
        self._go_on()

    def _landed(self, ongoing: Ongoing) -> None:
        with self._lock:
            self._flying.discard(ongoing)
            if self._alone is ongoing:
                self._alone = None

    def _give_up(self, broken: Executor | None) -> None:
        """It is broken: the next call makes a new one."""
        with self._lock:
            self._breaks = True
            if self._executor is not broken or broken is None:
                return
            self._executor = None
        broken.shutdown(wait=False)
