"""`gather`: branches of a flow that go on side by side, each with addresses of its own.

All branches end before it returns: when one fails its siblings still finish, and then the error of
the lowest branch is raised, so that a replay raises the same one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, overload

from backroom.flows.context import RunContext, Unwind
from backroom.flows.failures import beside
from backroom.flows.pending import Pending
from backroom.flows.scope import FlowScope, current, flow_scope, here
from backroom.records.errors import NotInFlow, Refused
from backroom.rules.addressing import branch_path

__all__ = ["gather"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
T = TypeVar("T")
Branch = Awaitable[T] | Callable[[], T]


class Gathering(Pending[Any]):
    """The branches, not yet begun."""

    def __init__(self, scope: FlowScope, branches: Sequence[Branch[Any]]) -> None:
        self._context = scope.context
        self._scope = scope
        self._branches = branches
        address = scope.address("gather")
        self._paths = [branch_path(address, n) for n in range(len(branches))]

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._in_tasks().__await__()

    def wait(self, timeout: float | None = None) -> Any:
        if timeout is not None:
            raise Refused("gather has no time-out of its own; give the steps in it time-outs.")
        self._context.must_not_block_loop("gather().wait()")
        return self._in_threads()

    async def _in_tasks(self) -> tuple[Any, ...]:
        context = self._context
        if not self._branches:
            return ()
        if self._scope.owner is here():
            return await self._all_tasks(context)
        # The author awaits it in a task of his own: one leaf more, beside the body.
        context.fork(2)
        try:
            return await self._all_tasks(context)
        finally:
            context.branch_ended(1)

    async def _all_tasks(self, context: RunContext) -> tuple[Any, ...]:
        loop = asyncio.get_running_loop()
        count = _Countdown(context, len(self._branches))
        tasks = []
        for branch, path in zip(self._branches, self._paths, strict=True):
            scope = FlowScope(context, path, owner=None)
            inside = copy_context()
            inside.run(current.set, scope)
            scope.owner = task = loop.create_task(_branch(branch, count), context=inside)
            tasks.append(task)
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            while pending := [task for task in tasks if not task.done()]:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait(pending)
            raise
        finally:
            count.close()
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # seen: no complaint about it later
        context.check()
        errors = [error for task in tasks if (error := _error_of(task)) is not None]
        if errors:
            beside(errors[0], errors[1:])
        return tuple(task.result() for task in tasks)

    def _in_threads(self) -> tuple[Any, ...]:
        context = self._context
        if not self._branches:
            return ()
        if not all(callable(branch) for branch in self._branches):
            for branch in self._branches:
                if asyncio.iscoroutine(branch):
                    branch.close()  # refused, so there is no complaint that nobody awaited it
            raise Refused(
                "In a `def` flow gather takes functions without arguments: "
                "gather(lambda: pack(order))."
            )
        world = context.desk.world
        count = _Countdown(context, len(self._branches))
        outcomes: list[Any] = [None] * len(self._branches)

        def body(n: int, branch: Callable[[], Any], scope: FlowScope) -> None:
            current.set(scope)
            scope.owner = threading.current_thread()
            try:
                outcomes[n] = (branch(), None)
            except BaseException as error:
                outcomes[n] = (None, error)
            finally:
                count.one_less()

        threads = []
        for n, (branch, path) in enumerate(zip(self._branches, self._paths, strict=True)):
            scope = FlowScope(context, path, owner=None)
            inside: Callable[[], None] = partial(copy_context().run, body, n, branch, scope)  # type: ignore[arg-type]
            threads.append(world.thread(inside, "backroom-branch"))
        for thread in threads:
            world.join(thread)
        context.check()
        errors = [error for _, error in outcomes if not isinstance(error, Unwind | None)]
        if errors:
            beside(errors[0], errors[1:])
            raise errors[0]
        return tuple(value for value, _error in outcomes)


class _Countdown:
    """Tells the context of each branch that ends, and whether it was the last."""

    def __init__(self, context: RunContext, branches: int) -> None:
        self._context = context
        self._left = branches
        self._lock = threading.Lock()
        context.fork(branches)

    def one_less(self) -> None:
        with self._lock:
            self._left -= 1
            left = self._left
        self._context.branch_ended(left)

    def close(self) -> None:
        """All tasks are done. Those that were cancelled before they began haven't counted."""
        with self._lock:
            left, self._left = self._left, 0
        if left:
            self._context.fork(2 - left)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _branch(branch: Branch[Any], count: _Countdown) -> Any:
    try:
        if callable(branch):
            return await asyncio.to_thread(branch)
        return await branch
    except SystemExit as error:  # out of a task it would end the worker
        raise RuntimeError(f"A branch called sys.exit({error.code!r}).") from error
    finally:
        current.set(None)  # it knows its task, which knows this context: a circle otherwise
        count.one_less()


@overload
def gather(a: Branch[A], /) -> Pending[tuple[A]]: ...
@overload
def gather(a: Branch[A], b: Branch[B], /) -> Pending[tuple[A, B]]: ...
@overload
def gather(a: Branch[A], b: Branch[B], c: Branch[C], /) -> Pending[tuple[A, B, C]]: ...
@overload
def gather(
    a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], /
) -> Pending[tuple[A, B, C, D]]: ...
@overload
def gather(
    a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], e: Branch[E], /
) -> Pending[tuple[A, B, C, D, E]]: ...
@overload
def gather(*branches: Branch[T]) -> Pending[tuple[T, ...]]: ...
def gather(*branches: Any) -> Pending[Any]:
    """Run branches of a flow side by side and return all their results, in order.

    A branch is a step's call, a wait, a child's call or a coroutine of your own; in a `def` flow
    (`gather(...).wait()`) a function without arguments. Each branch keeps its results under a path
    of its own, so branches can't get each other's.
    """
    scope = flow_scope()
    if scope is None:
        raise NotInFlow("gather()")
    for branch in branches:
        if hasattr(branch, "begun"):
            branch.begun = True
    return Gathering(scope, branches)
