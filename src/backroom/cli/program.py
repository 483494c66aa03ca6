"""The `backroom` program: its commands by name, each loaded when it is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from backroom.records.errors import BackroomError

__all__ = ["program"]

COMMANDS = {
    "worker": "backroom.cli.running",
    "serve": "backroom.cli.running",
    "start": "backroom.cli.starts",
    "list": "backroom.cli.looks",
    "show": "backroom.cli.looks",
    "why": "backroom.cli.reasons",
    "queues": "backroom.cli.queues",
    "pause": "backroom.cli.queues",
    "resume": "backroom.cli.queues",
    "limit": "backroom.cli.queues",
    "schedules": "backroom.cli.schedules",
    "locks": "backroom.cli.holding",
    "breakers": "backroom.cli.breaking",
    "triggers": "backroom.cli.triggers",
    "cancel": "backroom.cli.acts",
    "retry": "backroom.cli.recovery",
    "rewind": "backroom.cli.recovery",
    "undone": "backroom.cli.recovery",
    "reschedule": "backroom.cli.acts",
    "emit": "backroom.cli.acts",
    "erase": "backroom.cli.erasing",
    "audit": "backroom.cli.erasing",
    "prune": "backroom.cli.pruning",
    "backup": "backroom.cli.backups",
    "restore": "backroom.cli.backups",
    "check": "backroom.cli.checks",
    "migrate": "backroom.cli.upkeep",
    "doctor": "backroom.cli.upkeep",
}


class Program(click.Group):
    """Loads a command's module when the command is asked for, and turns errors into sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        home = COMMANDS.get(name)
        if home is None:
            return None
        command: click.Command = getattr(import_module(home), f"{name}_command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except BackroomError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(130)


class Failure(click.ClickException):
    """A cause and a remedy, without a traceback; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"{click.style('Error:', fg='red')} {self.message}", err=True)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="backroom", message="backroom %(version)s")
def program() -> None:
    """Durable background jobs on SQLite and PostgreSQL.

    Settings come from options, then BACKROOM_* in the environment, then [tool.backroom] in
    pyproject.toml.
    """
