"""Row triggers as values: what is declared, what is installed, what became of changes.

RowTrigger    declared in an application's code: which changes of a table start which flow
TriggerRow    the same as it stands in the database
FiringRow     changes that started nothing, and why
Fired         the answer of the verb that turns changes into runs
"""

from __future__ import annotations

from backroom.records.values import value

__all__ = ["Fired", "FiringRow", "Plan", "RowTrigger", "TriggerRow"]


@value
class RowTrigger:
    """Which changes of a table start which flow.

    columns     an update counts only if the value of one of these has changed; (): of any column
    carry       which columns the flow is given, beside the key; None: all
    key         the columns that tell a row; (): the table's primary key
    when        the condition over `old` and `new`, as its author wrote it
    parameter   the flow's, which is given the change
    subject     where in the input the run's subject is found, as a path of names
    coalesce    changes of one row that no run has taken up yet become one
    own         what a run of the flow itself writes starts it too
    """

    name: str
    table: str
    flow: str
    parameter: str
    schema: str | None = None
    insert: bool = True
    update: bool = True
    delete: bool = True
    columns: tuple[str, ...] = ()
    carry: tuple[str, ...] | None = None
    key: tuple[str, ...] = ()
    when: str | None = None
    coalesce: bool = False
    own: bool = False
    version: int = 1
    queue: str = "default"
    priority: int = 5
    timeout_us: int | None = None
    expires_us: int | None = None
    subject: tuple[str, ...] = ()


@value
class TriggerRow:
    """A row trigger that is installed, and how it stands."""

    name: str
    table: str
    flow: str
    paused_at: int | None
    paused_by: str | None
    installed_at: int
    started: int  # runs
    merged: int  # changes that became part of another one's run
    dropped: int  # changes that started nothing: see `FiringRow`
    pending: int  # changes that are not runs yet, counted up to a limit
    oldest_at: int | None  # when the oldest of them happened


@value
class FiringRow:
    """Changes that started nothing, of one trigger and one cause.

    outcome  own (a run of the flow itself wrote them), depth (the chain of causes is too long)
    path     the flows of the chain, the first one first
    """

    trigger: str
    outcome: str
    cause_id: str | None
    count: int
    first_at: int
    last_at: int
    key: str
    path: str


@value
class Fired:
    """What became of a batch of changes. `more`: there may be others."""

    started: int
    more: bool


@value
class Plan:
    """What it takes to bring the database in line with a trigger.

    found       what was found to differ, in words; empty: nothing
    statements  the SQL that mends it
    """

    name: str
    found: tuple[str, ...]
    statements: tuple[str, ...]
