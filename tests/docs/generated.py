"""The parts of the documentation that are made from the code.

    <!-- generated: settings -->  …  <!-- end -->

`python -m tests.docs.generated` writes them all anew; test_generated.py sees that nobody forgot.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import click
from pydantic_core import PydanticUndefined

from backroom.app.settings import Settings
from backroom.cli.program import program
from backroom.records import errors, limits
from backroom.rules.lifecycle import diagram
from tests.docs.pages import PAGES

__all__ = ["PARTS", "names_in", "regenerated"]

PART = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def settings() -> str:
    """Every setting with its three spellings."""
    lines = ["| setting | in the environment | default | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        spelled = field.alias or name
        assert field.default is not PydanticUndefined
        default = str(list(field.default)) if isinstance(field.default, tuple) else field.default
        shown = f"`{default}`" if default != "" else ""
        shown = shown.replace("True", "true").replace("False", "false")
        variable = f"BACKROOM_{spelled}".upper()
        lines.append(f"| `{spelled}` | `{variable}` | {shown} | {field.description} |")
    return "\n".join(lines)


def limits_table() -> str:
    """Every limit with the words that stand beside it."""
    lines = ["| limit | value | |", "|---|---|---|"]
    lines += [f"| `{name}` | {shown(getattr(limits, name))} | {LIMITS[name]} |" for name in LIMITS]
    return "\n".join(lines)


def shown(limit: int | range) -> str:
    return f"{limit[0]} to {limit[-1]}" if isinstance(limit, range) else f"{limit:,}"


LIMITS = {
    "PAYLOAD_BYTES": "bytes of one input, result or event, as JSON in UTF-8",
    "JSON_DEPTH": "levels of lists and mappings inside each other in one payload",
    "KEY_CHARS": "characters of a key",
    "NAME_CHARS": "characters of the name of a flow, step, queue or event",
    "ERROR_CHARS": "characters of an error's message and of its traceback, each",
    "STATUS_CHARS": "characters of a status text or of the reason of a cancel",
    "PRIORITIES": "of a run; 0 is the most urgent",
    "STEPS": "checkpoints of one run",
    "MAILBOX_EVENTS": "unread events of one run",
    "CHAIN_DEPTH": "runs in a chain in which each was started by the one before",
    "TRIGGER_DEPTH": "runs that triggers have started, in one chain of causes",
    "DELAY_US": "microseconds of a delay or time-out: ten years",
    "AFTER": "runs that one run can begin after",
    "BREAKER_FAILURES": "failures in a row, the most that a breaker may wait for",
    "LOCKS": "names that one call of `lock()` asks for",
    "STARTS": "deaths of a worker in one run without progress, alone in the last, before it is set "
    "aside",
    "MAP_ITEMS": "items of one fan-out",
    "WINDOW": "child runs of one fan-out that are open at once",
    "DEATHS": "processes in a row that one step may cost, however many retries it has",
    "TRANSACTIONS": "transaction steps of one process at work at once; others wait their turn",
    "VERSION": "the highest version of a flow's code",
    "QUEUE_CONCURRENCY": "runs at once, the highest limit that a queue can declare",
    "QUEUE_RATE": "runs in a period, the highest rate that a queue can declare",
    "QUEUE_WAITING": "runs that haven't begun, the highest `max_waiting` of a queue",
    "SCHEDULE_CATCH_UP": "missed slots of a schedule that are started at most, each by a run",
    "SCHEDULE_LINE": 'runs of a schedule that haven\'t ended, the most with `overlap="queue"`',
    "SCHEDULE_JITTER_US": "microseconds, the widest jitter of a schedule: a day",
    "SLOT_KEPT_US": "microseconds that a decision about a slot is kept: 30 days",
    "SWEEP_RUNS": "runs that one transaction expires or removes",
    "KEY_KEPT_US": "microseconds that a run with a key is kept after its end at least: a week",
    "INTAKE_OPS": "calls of one process that may wait for the database's writer",
}


def error_tree() -> str:
    """The tree from the docstring of records/errors.py."""
    lines = (errors.__doc__ or "").splitlines()
    tree = [line[4:] for line in lines if line.startswith("    ")]
    return "\n".join(["```", *tree, "```"])


def state_diagram() -> str:
    return "\n".join(["```mermaid", diagram(), "```"])


def commands() -> str:
    """Every command with its arguments and options, from the program itself."""
    context = click.Context(program, info_name="backroom")
    text = []
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        inside = click.Context(command, info_name=name, parent=context)
        usage = " ".join(["backroom", name, *command.collect_usage_pieces(inside)])
        text += ["", f"## `backroom {name}`", "", f"`{usage}`", ""]
        text += [inspect.cleandoc(command.help or ""), ""]
        text += [option_line(p, inside) for p in command.params if isinstance(p, click.Option)]
        if isinstance(command, click.Group):
            text += subcommands(command, inside)
    return "\n".join(text).strip()


def subcommands(group: click.Group, context: click.Context) -> list[str]:
    """The commands of a command, each with what it takes."""
    text = []
    for name, command in group.commands.items():
        inside = click.Context(command, info_name=name, parent=context)
        usage = f"{context.command_path} {' '.join([name, *command.collect_usage_pieces(inside)])}"
        text += ["", f"### `{context.command_path} {name}`", "", f"`{usage}`", ""]
        text += [inspect.cleandoc(command.help or ""), ""]
        text += [option_line(p, inside) for p in command.params if isinstance(p, click.Option)]
    return text


def option_line(option: click.Option, context: click.Context) -> str:
    spelled, told = option.get_help_record(context) or ("", "")
    spelled = spelled.replace(" INTEGER RANGE", " N")
    return f"- `{spelled}`: {' '.join(told.split())}"


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "limits": limits_table,
    "errors": error_tree,
    "states": state_diagram,
    "commands": commands,
}


def names_in(text: str) -> list[str]:
    return [match[2] for match in PART.finditer(text)]


def regenerated(text: str) -> str:
    return PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[4]}", text)


def write(page: Path) -> None:
    text = page.read_text()
    if (new := regenerated(text)) != text:
        page.write_text(new)


if __name__ == "__main__":
    for page in PAGES:
        write(page)
