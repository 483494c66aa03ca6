"""Figures: the fixture with which a test says one, and what becomes of them at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import pytest

from benchmarks.machine import described
from tests.torture import figures
from tests.torture.figures import Entry, Figure

counted: list[Entry] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--save", action="store_true", help="keep the figures of the long runs")


@pytest.fixture
def figure(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Figure:
    began = time.monotonic()

    def say(said: str, *, seed: int | None = None) -> None:
        about = described()
        entry = Entry(
            request.node.nodeid, said, round(time.monotonic() - began), seed,
            about["commit"], about["machine"], about["date"],
        )  # fmt: skip
        record_property("figure", json.dumps(asdict(entry)))

    return say


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        counted.extend(
            Entry(**json.loads(str(told))) for name, told in report.user_properties
            if name == "figure"
        )  # fmt: skip


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not counted or hasattr(config, "workerinput"):
        return
    terminalreporter.section("figures")
    for entry in counted:
        terminalreporter.write_line(
            f"{entry.test}: {entry.said} (seed {entry.seed}, {entry.commit}, {entry.seconds} s)"
        )
    if config.getoption("--save", default=False):
        figures.save(counted)
        terminalreporter.write_line(
            f"Kept in {figures.FIGURES}. `python -m tests.docs.generated` puts them on the page."
        )
