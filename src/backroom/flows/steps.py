"""Steps: named pieces of a flow whose results are kept."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, cast, overload

from backroom.flows.codec import Codec
from backroom.flows.effects import Invoke, drive, drive_in_thread
from backroom.flows.errands import check_importable
from backroom.flows.executors import OWN
from backroom.flows.replay import one_at_a_time, perform_step
from backroom.flows.scope import FlowScope, flow_scope
from backroom.flows.signature import Signature, caller_names
from backroom.flows.straight import perform_straight
from backroom.flows.undo import undoable
from backroom.records import limits
from backroom.records.errors import InvalidTime, NotStorable, Refused
from backroom.rules.breakers import Breaker
from backroom.rules.retry import NO_RETRY, UNDO_RETRY, Retry

__all__ = ["AsyncStep", "Step", "StepSpec", "TransactionStep", "check_name", "step"]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")


@dataclass(frozen=True)
class StepSpec:
    """All that is declared about a step."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    aliases: tuple[str, ...] = ()
    retry: Retry = NO_RETRY
    timeout: float | None = None
    otherwise: Callable[..., Any] | None = None
    undo: Callable[..., Any] | None = None
    undo_retry: Retry = UNDO_RETRY
    check_input: bool = True
    transaction: bool = False
    executor: str | None = None
    key: str | None = None
    breaker: Breaker | None = None

    @property
    def codec(self) -> Codec:
        return self.signature.output

    def fingerprint(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Eight bytes that tell one input from another; None where the input can't be told."""
        if not self.check_input:
            return None
        bound = self.signature.bind(args, kwargs)
        if not bound:
            return None
        try:
            text = self.signature.input.outline(bound)
        except NotStorable:
            return None  # a client, a session: never stored, so never compared
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def invoke(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        address: str,
        tries: int,
    ) -> Invoke:
        return Invoke(
            function,
            args,
            kwargs,
            name=self.name,
            address=address,
            tries=tries,
            timeout=self.timeout,
        )

    def address(self, scope: FlowScope) -> str:
        """Where this call is kept. An alias is asked only when nothing stands under the name."""
        if not self.aliases:
            return scope.address(self.name, self.key)
        return scope.address_since(self.name, self.aliases, self.key)


class _Declared(Generic[P, R]):
    """What both colours of step share."""

    def __init__(self, spec: StepSpec) -> None:
        self.spec = spec
        functools.update_wrapper(cast("Callable[..., Any]", self), spec.function)

    @property
    def name(self) -> str:
        return self.spec.name

    def __repr__(self) -> str:
        return f"<step {self.spec.name}>"


class AsyncStep(_Declared[P, R]):
    """An `async def` step. In a flow `await charge(order)` is kept; elsewhere it is a plain
    call."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        scope = flow_scope()
        if scope is None:
            return cast("Coroutine[Any, Any, R]", self.spec.function(*args, **kwargs))
        context = scope.context
        address = self.spec.address(scope)
        context.know(self.spec.name, self.spec.function)
        if self.spec.key is None:
            return perform_straight(context, scope, self.spec, address, args, kwargs)
        protocol = perform_step(context, self.spec, address, args, kwargs)
        return drive(context, one_at_a_time(context, self.spec.name, address, protocol))

    def using(
        self,
        *,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> AsyncStep[P, R]:
        """The same step with a key of its own, other retries or another time-out (seconds)."""
        return AsyncStep(_changed(self.spec, key, retry, timeout))


class Step(_Declared[P, R]):
    """A `def` step. In a `def` flow it is called plainly; in an `async def` flow through
    `await asyncio.to_thread(charge, order)`; elsewhere it is the plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        scope = flow_scope()
        if scope is None:
            return cast("R", self.spec.function(*args, **kwargs))
        context = scope.context
        context.must_not_block_loop(self.spec.name)
        with scope.in_thread():
            address = self.spec.address(scope)
            context.know(self.spec.name, self.spec.function)
            protocol = perform_step(context, self.spec, address, args, kwargs)
            if self.spec.key is not None:
                protocol = one_at_a_time(context, self.spec.name, address, protocol)
            return cast("R", drive_in_thread(context, protocol))

    def using(
        self,
        *,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> Step[P, R]:
        """The same step with a key of its own, other retries or another time-out (seconds)."""
        return Step(_changed(self.spec, key, retry, timeout))


class TransactionStep(_Declared[P, R], Generic[C, P, R]):
    """A `def` step whose SQL and whose checkpoint are committed together.

    In a flow it is called without its first parameter: backroom gives it a connection with an open
    transaction. Elsewhere it is the plain function, called with a connection of the caller's.
    """

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, connection: C, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> R:  # type: ignore[misc]  # it accepts both
        if flow_scope() is None:
            return cast("R", self.spec.function(*args, **kwargs))
        return Step[P, R](self.spec)(*args, **kwargs)

    def using(
        self,
        *,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> TransactionStep[C, P, R]:
        """The same step with a key of its own, other retries or another time-out (seconds)."""
        return TransactionStep(_changed(self.spec, key, retry, timeout))


def _changed(
    spec: StepSpec, key: str | None, retry: Retry | None, timeout: float | None
) -> StepSpec:
    return replace(
        spec,
        key=spec.key if key is None else check_key(str(key)),
        retry=spec.retry if retry is None else retry,
        timeout=spec.timeout if timeout is None else check_timeout(timeout),
    )


@overload
def step(  # type: ignore[overload-overlap]  # a coroutine function is a function too
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncStep[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    retry: Retry | None = None,
    timeout: float | None = None,
    otherwise: Callable[..., Any] | None = None,
    undo: Callable[..., Any] | None = None,
    undo_retry: Retry | None = None,
    check_input: bool = True,
    transaction: Literal[False] = False,
    process: bool = False,
    executor: str | None = None,
    breaker: Breaker | None = None,
) -> _Decorator: ...
@overload
def step(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    retry: Retry | None = None,
    timeout: float | None = None,
    otherwise: Callable[..., Any] | None = None,
    undo: Callable[..., Any] | None = None,
    undo_retry: Retry | None = None,
    check_input: bool = True,
    transaction: Literal[True],
) -> _TransactionDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    retry: Retry | None = None,
    timeout: float | None = None,
    otherwise: Callable[..., Any] | None = None,
    undo: Callable[..., Any] | None = None,
    undo_retry: Retry | None = None,
    check_input: bool = True,
    transaction: bool = False,
    process: bool = False,
    executor: str | None = None,
    breaker: Breaker | None = None,
) -> Any:
    """Make a function a step: inside a flow its result is kept and it never runs again.

    name         the name under which results are kept; default: the function's. Rename or move the
                 function freely once it is given
    aliases      names it had before, under which runs in flight may have results
    retry        how often and after how long it is tried again; default: not at all
    timeout      seconds for one try; then it counts as failed with TimedOut
    otherwise    the alternative path: called with the same arguments when the retries are used up;
                 its result becomes the step's
    undo         takes the step back if the run fails or is cancelled: called with the step's
                 arguments and behind them its result, or None if nobody knows whether it happened
    undo_retry   how often the undo is tried before a person is asked
    check_input  refuse a kept result that was made from other arguments (CodeMismatch)
    transaction  for a `def` step: its first parameter is a connection to the database that
                 backroom uses, which the caller doesn't pass, inside a transaction that is
                 committed together with the checkpoint. `otherwise` gets it too, `undo` doesn't
    process      perform the body in a process of its own, for work that computes, or that may
                 crash: other runs go on beside it, and a time-out or a cancel kills it. The body
                 has to stand at the top level of a module, and its arguments must be picklable
    executor     the same in an executor that `app.executor(name, ...)` has declared
    breaker      what it has in common with all steps that call the same outside service: after
                 enough failures in a row nobody calls for a while, and the runs are parked
    """
    names = caller_names(1)
    if process:
        executor = executor or OWN

    def declare(function: Callable[..., Any]) -> Any:
        spec = StepSpec(
            name=check_name(name or function.__name__, "step"),
            function=function,
            signature=Signature(
                function, name or function.__name__, names, given=1 if transaction else 0
            ),
            aliases=aliases,
            retry=retry or NO_RETRY,
            timeout=check_timeout(timeout),
            otherwise=otherwise,
            undo=undo,
            undo_retry=undo_retry or UNDO_RETRY,
            check_input=check_input,
            transaction=transaction,
            executor=executor,
            breaker=breaker,
        )
        if breaker is not None and transaction:
            raise TypeError(
                f"Step {spec.name} has transaction=True and a breaker. A breaker is for services "
                "outside of the database: call them in a step of their own."
            )
        if executor is not None:
            check_importable(function, spec.name)
            if transaction or (process and executor != OWN):
                raise TypeError(
                    f"Step {spec.name} has {'transaction' if transaction else 'process'}=True, "
                    f"which doesn't go together with executor={executor!r}."
                )
        if undo is not None:
            undoable(spec)
        is_async = inspect.iscoroutinefunction(function)
        if otherwise is not None and inspect.iscoroutinefunction(otherwise) != is_async:
            raise TypeError(
                f"Step {spec.name} and its alternative must be of one colour: both `def` or "
                "both `async def`."
            )
        if transaction:
            if is_async or not inspect.signature(function).parameters:
                raise TypeError(
                    f"Step {spec.name} has transaction=True, so it must be a `def` function whose "
                    "first parameter takes the connection."
                )
            return TransactionStep(spec)
        return AsyncStep(spec) if is_async else Step(spec)

    return declare if function is None else declare(function)


class _Decorator:
    """The type of `step(...)` with arguments: keeps the signature of either colour."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        raise NotImplementedError


class _TransactionDecorator:
    """The type of `step(transaction=True, ...)`: callers see the parameters behind the first."""

    def __call__(self, function: Callable[Concatenate[C, P], R], /) -> TransactionStep[C, P, R]:
        raise NotImplementedError


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*", re.ASCII)


def check_name(name: str, what: str) -> str:
    """Names stand in addresses, URLs and SQL filters: a plain alphabet keeps all of them simple."""
    if len(name) > limits.NAME_CHARS or not _NAME.fullmatch(name):
        article = "an" if what[0] in "aeiou" else "a"
        raise Refused(
            f"{name[:60]!r} can't be the name of {article} {what}. Use letters, digits and _ . : - "
            f"only, starting with a letter, at most {limits.NAME_CHARS} characters."
        )
    return name


def check_key(key: str, what: str = "key") -> str:
    """Keys are the author's own text, as long as both databases can take it."""
    if not 0 < len(key) <= limits.KEY_CHARS:
        raise Refused(f"A {what} has 1 to {limits.KEY_CHARS} characters; this one has {len(key)}.")
    if "\0" in key or (not key.isprintable() and _unencodable(key)):
        raise Refused(
            f"The {what} {key!r} has a character that no database takes. Leave out NUL and lone "
            "surrogates."
        )
    return key


def _unencodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def check_priority(priority: int) -> int:
    if type(priority) is not int or priority not in limits.PRIORITIES:
        raise Refused(
            f"priority={priority!r} can't be. Use a whole number from 0, the most urgent, to 9."
        )
    return priority


def check_version(version: int) -> int:
    if type(version) is not int or not 1 <= version <= limits.VERSION:
        raise Refused(
            f"version={version!r} can't be. Use a whole number from 1, which is the version of a "
            "flow that names none, and count up."
        )
    return version


def check_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not 0 < timeout <= limits.DELAY_US / 1_000_000:
        raise InvalidTime(
            f"A time-out of {timeout!r} s can't be. Use seconds above 0, at most ten years."
        )
    return timeout
