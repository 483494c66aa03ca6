"""A step's body on its way to another process, and what becomes of it there.

What travels is a name, not code: the other process imports the module and finds the step in it. The
arguments and the result go by the executor's own pickling; they come from our own process and go
back to it, never through the database (docs/decisions/0014).

    worker                                   process of an executor
    Errand(module, name, arguments) ──────▶  perform: import, find, call
    value, or Failure ◀────────────────────  (progress goes another way, flows/reports.py)

An error is carried as a value. Executors carry exceptions in ways of their own, and some break when
one can't be pickled.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from backroom.flows.failures import cut
from backroom.flows.reports import Line, reporting
from backroom.flows.scope import StepScope, current
from backroom.records.errors import Refused, kind_of
from backroom.records.runs import Claimed

if TYPE_CHECKING:
    from backroom.flows.context import RunContext

__all__ = ["Errand", "Failure", "check_importable", "exited", "perform", "place_of"]


@dataclass
class Errand:
    """One call of a step's body. `run` is the run's, without what only a replay needs."""

    module: str
    place: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Claimed
    address: str
    tries: int
    line: Line

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Early, so that a time-out that begins with the call doesn't count the imports. What goes
        # wrong is said by `perform`: an executor may break when an argument can't be read.
        with suppress(BaseException):
            import_module(self.module)


def errand(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    name: str,
    run: Claimed,
    address: str,
    tries: int,
    line: Line,
) -> Errand:
    module, place = place_of(function)
    bare = replace(run, input="{}", steps=(), waits=(), mail=(), ended=())
    return Errand(module, place, name, args, kwargs, bare, address, tries, line)


@dataclass
class Failure:
    """What the body raised. `pickled`: the error itself, where it can be carried."""

    kind: str
    message: str
    trace: str
    pickled: bytes | None

    def error(self) -> Exception:
        """The error again; its cause tells where in the other process it was raised."""
        error: object = None
        if self.pickled is not None:
            with suppress(Exception):
                error = pickle.loads(self.pickled)  # noqa: S301  from our own executor
        if not isinstance(error, Exception):
            error = RuntimeError(f"{self.kind}: {self.message}")
        error.__cause__ = Elsewhere(self.trace)
        return error


class Elsewhere(Exception):
    """Not raised: stands in a traceback for the part that happened in another process."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        super().__init__(f"in another process:\n\n{trace}")


# --- in the other process


def perform(errand: Errand) -> Any:
    """Call the body as if it were called in its flow; what it returns, or a `Failure`."""
    try:
        function = find(errand.module, errand.place)
        with reporting(errand.line) as reports:
            context = cast("RunContext", Away(errand.run, reports))
            token = current.set(_AwayScope(context, errand.address, errand.tries))
            try:
                value = function(*errand.args, **errand.kwargs)
                return asyncio.run(value) if inspect.iscoroutine(value) else value
            finally:
                current.reset(token)
    except SystemExit as error:
        return failure(exited(errand.name, error))
    except MemoryError as error:
        _leave()
        return failure(error)
    except BaseException as error:
        return failure(error)


@dataclass
class Away:
    """What a body in another process has of its run's context: `current_run` and `progress` look
    at these two only."""

    run: Claimed
    desk: Any
    failure: str | None = None

    def stamped(self, address: str) -> str:
        """The errand's address has its stamp already."""
        return address


class _AwayScope(StepScope):
    """The inside of a step in another process, which may know another database, or none."""

    __slots__ = ()

    def fresh_id(self, what: str) -> str:
        raise Refused(
            "A step that is performed in another process can't start runs or send events: it has "
            "no line to the worker's database. Return what is needed, and do it in the flow."
        )


def _leave() -> None:
    """What this process still holds, or has fragmented, isn't left to the calls after this one."""
    processes = sys.modules.get("backroom.engine.processes")
    if processes is not None:
        processes.leave_after_this()


def exited(name: str, error: SystemExit) -> RuntimeError:
    """Left as it is it would end the worker, and with it all the other runs it performs."""
    return RuntimeError(f"Step {name} called sys.exit({error.code!r}).")


def failure(error: BaseException) -> Failure:
    trace = "".join(traceback.format_exception(error))
    try:
        message = str(error)
    except Exception:  # an author's __str__ may do anything
        message = ""
    return Failure(kind_of(type(error)), cut(message), cut(trace), carried(error))


def carried(error: BaseException) -> bytes | None:
    """The error as bytes that can be read again. Many classes take other arguments than those they
    hand on to Exception, and so can't be made anew by calling them."""
    for made in (error, _Parts(error)):
        with suppress(Exception):
            data = pickle.dumps(made)
            if isinstance(pickle.loads(data), type(error)):  # noqa: S301  made here
                return data
    return None


class _Parts:
    """Pickled: an error to be put together without its `__init__`."""

    def __init__(self, error: BaseException) -> None:
        self._parts = (type(error), error.args, vars(error))

    def __reduce__(self) -> tuple[Any, ...]:
        return put_together, self._parts


def put_together(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(state)
    return error


# --- names


def place_of(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def check_importable(function: Callable[..., Any], name: str) -> None:
    """At decoration: what has no name of its own in a module can't be found by another process."""
    qualname = getattr(function, "__qualname__", "<lambda>")
    if "<" in qualname:
        raise TypeError(
            f"Step {name} is performed in another process, which has to import it, and {qualname} "
            "can't be imported. Define it with `def` at the top level of a module."
        )


def check_found(function: Callable[..., Any], name: str) -> None:
    """At the first call: the name must lead to this very function."""
    module, place = place_of(function)
    main = sys.modules.get("__main__")
    if module == "__main__" and not (
        getattr(main, "__file__", None) or getattr(main, "__spec__", None)
    ):
        raise Refused(
            f"Step {name} was defined in a session that no other process can import. Put it into a "
            "module."
        )
    try:
        found: object = find(module, place)
    except Exception as error:
        found = error
    if found is not function:
        raise Refused(
            f"Step {name} is performed in another process, where {module}.{place} is not it: "
            f"{found!r}. Leave the step under the name that it is defined with."
        )


def find(module: str, place: str) -> Callable[..., Any]:
    """The function of that name; of a step its body."""
    found: Any = import_module(module)
    for name in place.split("."):
        found = getattr(found, name)
    spec = getattr(found, "spec", None)
    return cast("Callable[..., Any]", getattr(spec, "function", found))
