"""The recipes of examples/deploy: what they call exists, and stops as it should."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from backroom.app.settings import Settings
from backroom.cli.program import program

ROOT = Path(__file__).parents[2] / "examples/deploy"
FILES = sorted(path for path in ROOT.rglob("*") if path.is_file())
UNITS = [path for path in FILES if path.suffix in (".service", ".timer")]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def calls(path: Path) -> Iterator[list[str]]:
    """The arguments of each call of backroom in a recipe."""
    text = path.read_text()
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if found := re.search(r'\[("backroom".*)\]', line):
            yield json.loads(f"[{found[1]}]")[1:]
        elif found := re.search(r"\S+/bin/backroom (.*)", line):
            command = re.sub(r"\$\(.*?\)", "X", found[1]).split(" > ")[0]
            yield shlex.split(command)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_call_is_one_that_the_program_knows(path: Path) -> None:
    found = list(calls(path))
    assert found or path.suffix == ".timer"
    context = click.Context(program, info_name="backroom")
    for name, *arguments in found:
        command = program.get_command(context, name)
        assert command is not None, name
        command.make_context(name, arguments, parent=context)  # raises UsageError


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_variable_is_a_setting(path: Path) -> None:
    names = {
        f"BACKROOM_{field.alias or name}".upper() for name, field in Settings.model_fields.items()
    }
    assert set(re.findall(r"BACKROOM_[A-Z_]+", path.read_text())) <= names


@pytest.mark.parametrize("path", UNITS, ids=name_of)
def test_systemd_takes_the_units(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    if not (analyze := shutil.which("systemd-analyze")):
        assert text.count("[Service]") + text.count("[Timer]") == 1
        return
    for unit in UNITS:  # a timer looks for its service; programs must be there
        there = unit.read_text().replace("/srv/shop/venv/bin/backroom", "/bin/true")
        (tmp_path / unit.name).write_text(there)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / path.name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if path.name in line or str(tmp_path) in line]
    assert told == []


def grace_of(command: list[str]) -> float:
    return float(command[command.index("--grace") + 1]) if "--grace" in command else 20.0


def test_everybody_who_stops_a_worker_waits_longer_than_its_grace() -> None:
    unit = (ROOT / "systemd/backroom-worker.service").read_text()
    assert (found := re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE))
    (command,) = calls(ROOT / "systemd/backroom-worker.service")
    assert float(found[1]) > grace_of(command) + 5
    (compose,) = documents(ROOT / "container/compose.yaml")
    worker = compose["services"]["worker"]
    assert float(worker["stop_grace_period"].rstrip("s")) > grace_of(worker["command"]) + 5
    deployment, _ = documents(ROOT / "kubernetes/worker.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > grace_of(container["command"]) + 5


def test_signals_reach_the_program_and_no_shell() -> None:
    dockerfile = (ROOT / "container/Dockerfile").read_text()
    assert re.search(r'^CMD \["backroom", ', dockerfile, re.MULTILINE)
    (compose,) = documents(ROOT / "container/compose.yaml")
    commands = [service.get("command", []) for service in compose["services"].values()]
    assert all(isinstance(command, list) for command in commands)
