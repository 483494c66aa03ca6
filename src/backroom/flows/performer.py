"""Performs runs of an application's flows: the `Handler` that the engine is given.

One attempt, from decoding the input to the outcome. Whatever the author's code does, the outcome is
a value; only this file and the worker's loop see it all.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from backroom.engine.handler import Desk, Performance
from backroom.flows.context import RunContext, Unwind, ending_for
from backroom.flows.effects import in_own_thread
from backroom.flows.executors import Executors
from backroom.flows.failures import as_json, behind, read
from backroom.flows.flow import FlowSpec
from backroom.flows.scope import FlowScope, current
from backroom.flows.undo import ALTERNATIVE, has_undos, keep_ending, kept_ending, roll_back
from backroom.records.errors import (
    BackroomError,
    CodeMismatch,
    InvalidInput,
    Rollback,
    StoreError,
    TimedOut,
)
from backroom.records.outcome import (
    Cancelled,
    Failed,
    HandedBack,
    NeedsAttention,
    Outcome,
    Succeeded,
    TryAgain,
)
from backroom.records.runs import Claimed, Mail, RunRow
from backroom.rules.retry import delay_us

__all__ = ["Performer"]


class Performer:
    """Knows the flows and the executors of one application by name."""

    def __init__(
        self,
        specs: Mapping[str, FlowSpec],
        executors: Executors,
        queues: Collection[str] = (),
        *,
        watches: bool = False,
    ) -> None:
        self._specs = specs
        self._executors = executors
        self._queues = queues  # those that are declared
        self._watches = watches

    def flows(self) -> tuple[str, ...]:
        return tuple(self._specs)

    def spec(self, served: str) -> FlowSpec | None:
        """A flow as `served_as` puts it."""
        return self._specs.get(served)

    def queues(self) -> tuple[str, ...]:
        own = {alias for spec in self._specs.values() if spec.own_queue for alias in spec.aliases}
        used = {spec.queue for spec in self._specs.values()}
        return tuple(used | own | set(self._queues) | {"default"})

    def watches(self) -> bool:
        return self._watches

    def open(self, claimed: Claimed, desk: Desk) -> Performance:
        context = RunContext(claimed, desk, self._executors)
        return FlowPerformance(self._specs[claimed.flow], context)

    def close(self) -> None:
        self._executors.close()


class FlowPerformance:
    """One attempt of one run."""

    def __init__(self, spec: FlowSpec, context: RunContext) -> None:
        self._spec = spec
        self.context = context
        self._deadline: asyncio.TimerHandle | None = None

    async def perform(self) -> Outcome:
        context = self.context
        outcome = await self._perform_flow()
        if isinstance(outcome, Failed) and self._spec.otherwise is not None:
            outcome = await self._perform_alternative(outcome)
        if isinstance(outcome, Failed | Cancelled | NeedsAttention):
            context.keep_passed()
        return outcome

    async def _perform_flow(self) -> Outcome:
        context = self.context
        outcome: Outcome | None = kept_ending(context)
        if outcome is not None and ALTERNATIVE in context.kept:
            return outcome  # and all that it had done is undone
        if outcome is None and context.run.cancel_reason is not None:
            outcome = Cancelled(context.run.cancel_reason)
        if outcome is None and is_late(context.run):
            outcome = Cancelled("expired")
        if outcome is None:
            outcome = self._watch_deadline()
        if outcome is None:
            outcome = await self._call(self._spec.function)
        if isinstance(outcome, Failed | Cancelled) and has_undos(context):
            outcome = await self._undo(outcome)
        return outcome

    async def _perform_alternative(self, failed: Failed) -> Outcome:
        """The flow has failed for good, and is undone: what the author says shall happen then."""
        context, function = self.context, self._spec.otherwise
        assert function is not None
        outcome: Outcome | None = kept_ending(context, ALTERNATIVE)
        if outcome is None and context.run.cancel_reason is not None:
            outcome = Cancelled(context.run.cancel_reason)
        if outcome is None:
            error = read(failed.error)
            context.begin_alternative(f"{error['kind']}: {error['message']}")
            marked = await self._keep_ending(failed, begins=True)
            outcome = marked or await self._call(function, f"{ALTERNATIVE}/")
        if isinstance(outcome, Failed | Cancelled) and has_undos(context):
            outcome = await self._undo(outcome, alternative=True)
        return outcome

    async def _keep_ending(self, ending: Failed | Cancelled, *, begins: bool) -> Outcome | None:
        """Keep that the flow has failed and its alternative begins, or how that has ended; how the
        attempt ends if that can't be kept."""
        context = self.context
        try:
            if begins and kept_ending(context) is None:
                await keep_ending(context, ending)
            if not begins or ALTERNATIVE not in context.kept:
                await keep_ending(context, ending, ALTERNATIVE, begins=begins)
        except asyncio.CancelledError as error:
            return context.ending or NeedsAttention(as_json(error))
        return None

    async def _call(self, function: Callable[..., Any], path: str = "") -> Outcome:
        """Run the author's function; whatever it does becomes an outcome. `path`: where the
        addresses of its calls begin."""
        context = self.context
        try:
            arguments = self._arguments()
            if isinstance(arguments, NeedsAttention):
                return arguments
            if inspect.iscoroutinefunction(function):
                value = await self._in_task(function, arguments, path)
            else:
                value = await self._in_thread(function, arguments, path)
            if context.ending is not None:
                return context.ending
            return Succeeded(self._spec.signature.output.encode(value))
        except (asyncio.CancelledError, Unwind) as error:
            return context.ending or Failed(as_json(error))
        except CodeMismatch as error:
            return context.ending or NeedsAttention(as_json(error))
        except StoreError as error:  # of a look at another run, say
            return context.ending or ending_for(error)
        except Exception as error:
            return context.ending or self._failed(error, may_retry=not path)
        except (
            BaseExceptionGroup,
            SystemExit,
        ) as error:  # a TaskGroup wraps what unwinds its tasks
            return context.ending or Failed(as_json(error))
        finally:
            if self._deadline is not None:
                self._deadline.cancel()

    def _arguments(self) -> dict[str, Any] | NeedsAttention:
        try:
            return self._spec.signature.decode(self.context.run.input)
        except BackroomError as error:
            return NeedsAttention(as_json(error))
        except Exception as error:  # an author's validator may raise anything
            return NeedsAttention(as_json(InvalidInput(f"The input can't be read: {error!r}")))

    async def _undo(self, outcome: Failed | Cancelled, *, alternative: bool = False) -> Outcome:
        context = self.context
        context.end(outcome)
        scope = current.set(None)  # what has the flow's own scope from now on is a stray
        task = self._enter_task()
        try:
            try:
                await context.at_rest()
            except asyncio.CancelledError:
                return HandedBack()
            if alternative:
                context.begin_undoing()
                marked = await self._keep_ending(outcome, begins=False)
                if marked is not None:
                    return marked
            return await roll_back(context, outcome)
        except (asyncio.CancelledError, Unwind) as error:
            # Parked between two tries, handed back, or lost.
            return context.ending or NeedsAttention(as_json(error))
        except Exception as error:
            return context.ending or NeedsAttention(as_json(error))
        finally:
            self._leave_task(task)
            current.reset(scope)

    async def _in_task(
        self, function: Callable[..., Any], arguments: dict[str, Any], path: str
    ) -> Any:
        task = self._enter_task()
        token = current.set(FlowScope(self.context, path, owner=task))
        try:
            return await function(**arguments)
        finally:
            # The scope knows its task: left in the task's context it would be a circle, which only
            # the garbage collector opens.
            current.reset(token)
            self._leave_task(task)

    def _enter_task(self) -> asyncio.Task[Any]:
        """Let the context unwind us by cancelling this task."""
        task = asyncio.current_task()
        assert task is not None
        self.context.task = task
        return task

    def _leave_task(self, task: asyncio.Task[Any]) -> None:
        """Leave it usable for the engine, cancelled or not."""
        self.context.task = None
        while task.cancelling():
            task.uncancel()

    async def _in_thread(
        self, function: Callable[..., Any], arguments: dict[str, Any], path: str
    ) -> Any:
        scope = FlowScope(self.context, path, owner=None)

        def body() -> Any:
            scope.owner = threading.current_thread()
            current.set(scope)
            return function(**arguments)

        return await in_own_thread(self.context.desk.world, body, self._spec.name)

    def _failed(self, error: Exception, *, may_retry: bool) -> Outcome:
        failed = behind(error)
        tries = self.context.run.failures + 1
        retry = self._spec.retry
        if may_retry and not isinstance(error, Rollback) and retry.allows(error, tries):
            pause = delay_us(retry, tries, self.context.desk.world.chance())
            self.context.forget_failures(failed)
            return TryAgain(pause, as_json(error))
        return Failed(as_json(error, failed or None))

    def _watch_deadline(self) -> Failed | None:
        """See to it that the run ends at its deadline; its failure if that has passed already."""
        run = self.context.run
        if run.deadline_at is None:
            return None
        left = max(0, run.deadline_at - run.now) / 1_000_000
        error = TimedOut(
            f"Run {run.id} took longer than its time-out. Give it more time with timeout=, or find "
            "out in its steps where the time goes."
        )
        failed = Failed(as_json(error, ()))
        if not left:
            return failed
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(left, self.context.end, failed)
        return None

    def interrupt(self, outcome: Outcome) -> None:
        self.context.end(outcome)

    def children(self) -> Sequence[str]:
        return self.context.children()

    def windows(self) -> Sequence[str]:
        return self.context.windows()

    def waits_for_locks(self) -> bool:
        return self.context.waits_for_locks()

    def news(
        self,
        now: int,
        mail: Sequence[Mail],
        ended: Sequence[RunRow],
        over: Sequence[str],
        held: Sequence[str],
    ) -> None:
        self.context.news(now, mail, ended, over, held)


def is_late(run: Claimed) -> bool:
    """Whether it was to begin earlier than now or not at all."""
    return run.attempt == 1 and run.expires_at is not None and run.expires_at <= run.now
