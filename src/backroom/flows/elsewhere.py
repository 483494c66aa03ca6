"""The effect that has a step's body performed by an executor (`process=True`, `executor=`)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

from backroom.flows.errands import check_found, errand
from backroom.flows.executors import Crew, Ongoing, Stopped
from backroom.records.errors import BackroomError, ProcessDied
from backroom.store.verbs import Progress

if TYPE_CHECKING:
    from backroom.flows.context import RunContext
    from backroom.flows.effects import Invoke

__all__ = ["InvokeElsewhere"]


class InvokeElsewhere:
    """Call the author's function of a step in a process of an executor.

    deaths  processes in a row that the tries before this one have cost
    """

    __slots__ = ("_deaths", "_executor", "_invoke")

    def __init__(self, invoke: Invoke, executor: str, deaths: int) -> None:
        self._invoke = invoke
        self._executor = executor
        self._deaths = deaths

    async def run(self, context: RunContext) -> Any:
        crew = self._crew(context)
        behind = context.overdue.pop(self._invoke.address, None)
        if behind is not None:
            await asyncio.to_thread(behind.join)
        if not crew.is_open:
            await asyncio.to_thread(crew.open)
        ongoing = self._begin(context, crew)
        try:
            return await asyncio.wrap_future(ongoing.result)
        except Stopped:
            self._explain(context, ongoing)
        finally:
            self._end(context, ongoing)

    def run_in_thread(self, context: RunContext) -> Any:
        crew = self._crew(context)
        behind = context.overdue.pop(self._invoke.address, None)
        if behind is not None:
            behind.join()
        crew.open()
        ongoing = self._begin(context, crew)
        try:
            return ongoing.result.result()
        except Stopped:
            self._explain(context, ongoing)
        finally:
            self._end(context, ongoing)

    def _crew(self, context: RunContext) -> Crew:
        check_found(self._invoke.function, self._invoke.name)
        return context.executors.crew(self._executor, self._invoke.name)

    def _begin(self, context: RunContext, crew: Crew) -> Ongoing:
        invoke, run = self._invoke, context.run
        ongoing = Ongoing(crew, invoke.timeout, alone=self._deaths > 0)

        def report(fraction: float | None, status: str | None) -> None:
            try:
                context.desk.post(Progress(run.id, run.attempt, fraction, status))
            except BackroomError:  # the line is full or closed; the next word may come through
                return

        context.ongoing.add(ongoing)
        context.check()
        ongoing.begin(
            lambda line: errand(
                invoke.function, invoke.args, invoke.kwargs, name=invoke.name, run=run,
                address=context.stamped(invoke.address), tries=invoke.tries, line=line,
            ),
            report,
        )  # fmt: skip
        return ongoing

    def _explain(self, context: RunContext, ongoing: Ongoing) -> None:
        """Raise what the flow is to see of a call that was stopped."""
        if ongoing.timed_out:
            raise self._invoke.timed_out()
        context.check()
        raise ProcessDied("was taken away by its executor")

    def _end(self, context: RunContext, ongoing: Ongoing) -> None:
        """However it was left, the author's own cancelling included: nothing goes on unseen."""
        ongoing.stop()
        context.ongoing.discard(ongoing)
        behind = ongoing.left_behind
        if behind is not None:
            thread = threading.Thread(
                target=concurrent.futures.wait, args=([behind],), name="backroom-overdue",
                daemon=True,
            )  # fmt: skip
            thread.start()
            context.overdue[self._invoke.address] = thread
