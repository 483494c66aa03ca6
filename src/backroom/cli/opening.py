"""Which database a command looks into.

--database       that one; no user code is imported
an application   --app, BACKROOM_APP or [tool.backroom] app: the one it uses
otherwise        BACKROOM_DATABASE, [tool.backroom] database, ./backroom.db
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from backroom.app.backroom import Backroom
from backroom.cli.loading import NotLoadable, load_app
from backroom.records.errors import Refused

__all__ = [
    "database_options",
    "for_each",
    "impatient",
    "opened",
    "required_app",
    "shown",
    "user_name",
]

F = TypeVar("F", bound=Callable[..., Any])

PATIENCE_SECONDS = 3.0  # a person waits for the answer, so a database that fails is said sooner


def database_options(function: F) -> F:
    function = click.option(
        "--app", metavar="MODULE:NAME", help="The application, to use its database."
    )(function)
    return click.option(
        "--database", metavar="ADDRESS", help="A SQLite file or postgresql:// address."
    )(function)


@contextmanager
def opened(database: str | None, app: str | None) -> Iterator[Backroom]:
    """The application, or a bare line to the database. Never creates or changes tables."""
    from backroom.app.settings import load

    target = app or ("" if database else load().app)
    backroom = load_app(target) if target else Backroom()
    backroom.override(database=database, migrate="never")
    try:
        yield backroom
    finally:
        backroom.close()


def for_each(run_ids: Sequence[str], act: Callable[[str], None]) -> None:
    """Do it for each of these runs. One that refuses keeps the others from nothing: it is said
    which, and the exit code is 1."""
    refused = False
    for run_id in run_ids:
        try:
            act(run_id)
        except Refused as error:
            refused = True
            click.echo(f"Error: {error}", err=True)
    if refused:
        raise SystemExit(1)


def impatient(backroom: Backroom) -> Backroom:
    backroom.office.doors.patience_seconds = PATIENCE_SECONDS
    return backroom


def required_app(app: str | None, database: str | None) -> Backroom:
    from backroom.app.settings import load

    target = app or load().app
    if not target:
        raise NotLoadable(
            "Which application? Name it with --app module:name, in BACKROOM_APP or as `app` under "
            "[tool.backroom] in pyproject.toml."
        )
    backroom = load_app(target)
    backroom.override(database=database)
    return backroom


def user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user has no name
        return ""


def shown(address: str) -> str:
    """A database's address without its password."""
    address = re.sub(r"(?<=://)([^:/?#@]*):[^@/]*@", r"\1:***@", address)
    return re.sub(r"(?i)((?:^|[?&\s])password=)('[^']*'|[^&\s]*)", r"\1***", address)
