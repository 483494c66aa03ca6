"""Where the code that is running stands: in the body of a flow, in a branch of it, or in a step.

A context variable carries it, so it follows calls, tasks and `asyncio.to_thread` without being
passed along. Outside of a flow it is None and every step is a plain function.

    FlowScope   counts the calls made in one place (the body or one branch) and so gives each its
                address; belongs to one task or thread, since only there the order of the
                calls is the same on every replay
    StepScope   the inside of a step: nothing is kept there, calls are plain calls
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from backroom.engine.world import derived_id
from backroom.records import limits
from backroom.records.errors import AmbiguousStep, Refused
from backroom.rules.addressing import keyed, numbered

if TYPE_CHECKING:
    from backroom.flows.context import RunContext

__all__ = ["FlowScope", "StepScope", "current", "flow_scope", "here"]


class FlowScope:
    """One place of a flow: its body or a branch."""

    __slots__ = ("_counts", "_inside", "_lock", "_loops", "context", "owner", "path")

    def __init__(self, context: RunContext, path: str, owner: object) -> None:
        self.context = context
        self.path = path
        self.owner = owner  # the task or thread whose calls are counted
        self._counts: dict[str, int] = {}
        self._loops: list[tuple[object, str, dict[str, int]]] = []
        self._inside: list[int] = []  # threads that are in a call from here
        self._lock = threading.Lock()

    def address(self, name: str, key: str | None = None) -> str:
        """The address of the call that is being made now."""
        self.context.check_forward()
        address = self._keyed(name, key) if key is not None else self._numbered(name)
        self.context.room_for(address)
        run = self.context.run
        self.context.desk.world.asked(run.id, run.attempt, address)
        return address

    def address_since(self, name: str, former: Iterable[str], key: str | None = None) -> str:
        """The address of a call whose name was another one before: under a former name if that is
        where something is kept."""
        address = self.address(name, key)
        known = self.context.kept.keys() | self.context.waits.keys()
        if address in known:
            return address
        behind = address[len(self.path) + len(name) :]
        there = (f"{self.path}{before}{behind}" for before in former)
        found = next((before for before in there if before in known), address)
        if found != address:
            run = self.context.run
            self.context.desk.world.asked(run.id, run.attempt, found)
        return found

    def enter(self, loop: object, path: str) -> None:
        """A loop goes into its next round: what is called in it is counted anew, under `path`."""
        self._loops.append((loop, self.path, self._counts))
        self.path, self._counts = path, {}

    def leave(self, loop: object) -> None:
        """The round is over, and so is every loop inside it that was left in the middle."""
        for depth, (entered, path, counts) in enumerate(self._loops):
            if entered is loop:
                self.path, self._counts = path, counts
                del self._loops[depth:]
                return

    def _keyed(self, name: str, key: str) -> str:
        if len(key) > limits.KEY_CHARS:
            raise Refused(
                f"The key of {name} has {len(key)} characters; at most {limits.KEY_CHARS}."
            )
        return keyed(self.path, name, key)

    def _numbered(self, name: str) -> str:
        if self.owner is not here() and not self._from_own_thread():
            raise AmbiguousStep(name)
        number = self._counts.get(name, 0) + 1
        self._counts[name] = number
        return numbered(self.path, name, number)

    def _from_own_thread(self) -> bool:
        """Whether this is a call that an `async def` flow has sent to a thread.

        One at a time has an order; two at once have none.
        """
        return (
            isinstance(self.owner, asyncio.Task)
            and _running_loop() is None
            and self._inside in ([], [threading.get_ident()])
        )

    @contextmanager
    def in_thread(self) -> Iterator[None]:
        """A call of ours in this thread. The first one stands for the leaf that sent it here, each
        further one is a leaf more (they have keys: without, `address` refuses them)."""
        with self._lock:
            another = bool(self._inside)
            self._inside.append(threading.get_ident())
        if another:
            self.context.fork(2)
        try:
            yield
        finally:
            with self._lock:
                self._inside.remove(threading.get_ident())
            if another:
                self.context.branch_ended(1)


class StepScope:
    """The inside of a step."""

    __slots__ = ("_made", "address", "context", "tries")

    def __init__(self, context: RunContext, address: str, tries: int) -> None:
        self.context = context
        self.address = address
        self.tries = tries
        self._made = 0

    def fresh_id(self, what: str) -> str:
        """An id for what this try makes. Another try makes the same ones, so nothing twice."""
        self._made += 1
        place = self.context.stamped(self.address)
        return derived_id(self.context.run.id, f"{place}:{what}{self._made}")


current: ContextVar[FlowScope | StepScope | None] = ContextVar("backroom_scope", default=None)


def flow_scope() -> FlowScope | None:
    """The scope when called from a flow's own code, else None."""
    scope = current.get()
    return scope if isinstance(scope, FlowScope) else None


def here() -> object:
    """What is running right now: the task, or in a plain thread the thread."""
    loop = _running_loop()
    if loop is not None:
        return asyncio.current_task(loop)
    return threading.current_thread()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    return asyncio._get_running_loop()  # get_running_loop raises, which costs ten times as much
