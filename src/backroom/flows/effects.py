"""What the replay protocol asks its driver to do, and the two drivers.

`flows/replay.py` tells how a step or a wait goes, as generators that yield effects. Each effect can
be done in two colours: `run` awaits, `run_in_thread` blocks. So there is one protocol and no twin
of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from backroom.engine.futures import resolve
from backroom.engine.world import World
from backroom.flows.context import Blocked, RunContext
from backroom.flows.errands import exited
from backroom.flows.scope import FlowScope, StepScope, current, here
from backroom.records.errors import LeaseLost, StoreError, TimedOut
from backroom.records.runs import StepRow
from backroom.store.limit import Limit
from backroom.store.protocol import Reader
from backroom.store.verbs import SaveStep, Verb

__all__ = [
    "Ask",
    "Block",
    "Effect",
    "InTransaction",
    "Invoke",
    "Protocol_",
    "Save",
    "drive",
    "drive_in_thread",
    "in_own_thread",
]

T = TypeVar("T")


class Effect(Protocol):
    async def run(self, context: RunContext) -> Any: ...

    def run_in_thread(self, context: RunContext) -> Any: ...


Protocol_ = Generator[Effect, Any, T]


async def drive(context: RunContext, protocol: Protocol_[T], effect: Effect | None = None) -> T:
    """Perform a protocol's effects in this task, from `effect` on if it has been begun already."""
    scope = current.get()
    # Where the author awaits a call in a task of his own there is one leaf more, beside the body.
    foreign = isinstance(scope, FlowScope) and scope.owner is not here()
    if foreign:
        context.fork(2)
    try:
        if effect is None:
            effect = next(protocol)
        while True:
            try:
                answer = await effect.run(context)
            except BaseException as error:
                effect = protocol.throw(error)
            else:
                effect = protocol.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        if foreign:
            context.branch_ended(1)


def drive_in_thread(context: RunContext, protocol: Protocol_[T]) -> T:
    """Perform a protocol's effects in this thread."""
    try:
        effect = next(protocol)
        while True:
            try:
                answer = effect.run_in_thread(context)
            except BaseException as error:
                effect = protocol.throw(error)
            else:
                effect = protocol.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def in_own_thread(world: World, body: Callable[[], Any], name: str) -> Any:
    """Run a blocking function in a daemon thread. A pool would make flows that wait for each other
    wait for its threads; and a thread that never returns must not keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    inside = copy_context()

    def run() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = inside.run(body)
        except StopIteration as stop:  # a future can't carry it
            error = RuntimeError(f"the flow raised {stop!r}")
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(resolve, future, value, error)
        except RuntimeError:  # the loop is closed: the worker has stopped without us
            return

    world.thread(run, f"backroom-{name}")
    return await future


class Save:
    """Commit a verb of this attempt and wait for the commit.

    If that fails it is not the author's business: the flow is unwound instead of seeing an error
    that its own `except` might take for one of the step's.
    """

    __slots__ = ("verb",)

    def __init__(self, verb: Verb) -> None:
        self.verb = verb

    async def run(self, context: RunContext) -> Any:
        try:
            return await context.desk.submit(self.verb)
        except (LeaseLost, StoreError) as error:
            context.not_kept(error)

    def run_in_thread(self, context: RunContext) -> Any:
        try:
            return context.desk.call(self.verb)
        except (LeaseLost, StoreError) as error:
            context.not_kept(error)


class Ask:
    """Look at the database. Its failures are not the author's business, as in `Save`."""

    __slots__ = ("_look",)

    def __init__(self, look: Callable[[Reader], Any]) -> None:
        self._look = look

    async def run(self, context: RunContext) -> Any:
        try:
            return await asyncio.wrap_future(context.desk.read(self._look))
        except StoreError as error:
            context.not_kept(error)

    def run_in_thread(self, context: RunContext) -> Any:
        try:
            return context.desk.read(self._look).result()
        except StoreError as error:
            context.not_kept(error)


class Block:
    """Enter a wait; done when the run's news say that it may be over. Unwinds when the run
    parks."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Blocked]) -> None:
        self._make = make

    async def run(self, context: RunContext) -> None:
        blocked = self._make()
        context.enter(blocked)
        try:
            await blocked.sleep()
        except BaseException:
            context.withdraw(blocked)
            raise
        context.leave()

    def run_in_thread(self, context: RunContext) -> None:
        blocked = self._make()
        context.enter(blocked)
        blocked.sleep_in_thread(context.desk.world)
        context.leave()


class Invoke:
    """Call the author's function of a step."""

    __slots__ = ("address", "args", "function", "kwargs", "name", "timeout", "tries")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        name: str,
        address: str,
        tries: int,
        timeout: float | None,
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.name = name
        self.address = address
        self.tries = tries
        self.timeout = timeout  # seconds

    async def run(self, context: RunContext) -> Any:
        function = context.desk.world.body(context.run.id, self.address, self.function)
        token = current.set(StepScope(context, self.address, self.tries))
        try:
            if self.timeout is None:
                return await function(*self.args, **self.kwargs)
            try:
                async with asyncio.timeout(self.timeout) as limit:
                    return await function(*self.args, **self.kwargs)
            except TimeoutError as error:
                if limit.expired():
                    raise self.timed_out() from error
                raise
        except SystemExit as error:
            raise self.exited(error) from error
        finally:
            current.reset(token)

    def run_in_thread(self, context: RunContext) -> Any:
        function = context.desk.world.body(context.run.id, self.address, self.function)
        token = current.set(StepScope(context, self.address, self.tries))
        try:
            if self.timeout is None:
                return function(*self.args, **self.kwargs)
            return self.within_limit(
                context, lambda: function(*self.args, **self.kwargs), lambda: True
            )
        except SystemExit as error:
            raise self.exited(error) from error
        finally:
            current.reset(token)

    def within_limit(
        self, context: RunContext, work: Callable[[], Any], expire: Callable[[], bool]
    ) -> Any:
        """The flow sees the time-out at once. The thread can't be stopped, so the next try waits
        for it. `expire`: gives the work up; False when that comes too late."""
        world = context.desk.world
        running = context.overdue.pop(self.address, None)
        if running is not None:
            world.join(running)
        outcome: list[Any] = []
        inside = copy_context()

        def body() -> None:
            try:
                outcome.append((True, inside.run(work)))
            except BaseException as error:
                outcome.append((False, error))

        thread = world.thread(body, f"backroom-{self.name}")
        world.join(thread, self.timeout)
        if not outcome:
            if expire():
                context.overdue[self.address] = thread
                raise self.timed_out()
            world.join(thread)
        good, value = outcome[0]
        if good:
            return value
        raise value

    def timed_out(self) -> TimedOut:
        return TimedOut(f"Step {self.name} took longer than its time-out of {self.timeout:g} s.")

    def exited(self, error: SystemExit) -> RuntimeError:
        return exited(self.name, error)


class InTransaction:
    """Call the author's function of a transaction step: its SQL and its checkpoint are committed
    together, on a connection that is its own. Only in threads, since such a step is a `def`.

    `keep`: the checkpoint that a value makes.
    """

    __slots__ = ("_call", "_keep")

    def __init__(self, call: Invoke, keep: Callable[[Any], StepRow]) -> None:
        self._call = call
        self._keep = keep

    async def run(self, context: RunContext) -> Any:
        raise AssertionError("a transaction step is a `def` step")

    def run_in_thread(self, context: RunContext) -> Any:
        call = self._call
        if call.timeout is None:
            return self._perform(context, None)
        limit = Limit()
        return call.within_limit(context, lambda: self._perform(context, limit), limit.expire)

    def _perform(self, context: RunContext, limit: Limit | None) -> Any:
        call = self._call
        done: list[tuple[Any, StepRow]] = []
        own: list[BaseException] = []
        function = context.desk.world.body(context.run.id, call.address, call.function)

        def body(connection: Any) -> SaveStep:
            # A new scope at every call: what a repeated body makes has the same ids.
            token = current.set(StepScope(context, call.address, call.tries))
            try:
                value = function(connection, *call.args, **call.kwargs)
                row = self._keep(value)
            except SystemExit as error:
                raise call.exited(error) from error
            except BaseException as error:
                own.append(error)
                raise
            finally:
                current.reset(token)
            done.append((value, row))
            return context.verb(row)

        try:
            context.desk.transact(body, limit)
        except (LeaseLost, StoreError) as error:
            if error in own:
                raise
            context.not_kept(error)
        value, row = done[-1]
        context.was_kept(row)
        return value
