"""The expense application at work in this process, on a database of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from backroom.testing import Workbench, at_work, eventually
from examples.expenses import lookup
from examples.expenses.app import app
from examples.expenses.config import config
from examples.expenses.lookup import Line
from examples.expenses.web import site

__all__ = ["Expenses"]

TODAY = datetime.now(UTC).date()
GOOD = {
    "amount": "84.20", "currency": "EUR", "date": (TODAY - timedelta(days=3)).isoformat(),
    "category": "travel", "description": "Train to Lisbon and back",
}  # fmt: skip
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


@dataclass
class Expenses:
    """The pages, and a worker behind them."""

    browser: TestClient
    bench: Workbench

    def act_as(self, person: str) -> None:
        self.browser.cookies.set("acting", person)

    def submit(
        self, *, receipt: bytes | None = PDF, person: str = "ana.kovac", **changes: str
    ) -> str:
        """Send the form; the claim's number."""
        self.act_as(person)
        answer = self.browser.post(
            "/claims",
            data=GOOD | changes,
            files={} if receipt is None else {"receipt": ("receipt.pdf", receipt)},
            follow_redirects=False,
        )
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"]).removeprefix("/claims/").partition("?")[0]

    def decide(self, number: str, answer: str, comment: str = "", version: int = 1) -> Any:
        return self.browser.post(
            f"/claims/{number}/decision",
            data={"version": str(version), "answer": answer, "comment": comment},
            follow_redirects=False,
        )

    def claim(self, number: str) -> Line:
        found = lookup.claim(number)
        assert found is not None
        return found

    def reaches(self, number: str, state: str) -> Line:
        """Wait until the claim is in this state and, where that is the last, its run has ended."""

        def look() -> Line | None:
            line = self.claim(number)
            assert not line.is_broken, f"the run is {line.run_state}: {line.run_error}"
            last = state in ("paid", "rejected")
            return line if line.row.state == state and (line.is_settled or not last) else None

        line = eventually(look, within=30)
        assert line is not None
        return line

    def subjects(self, recipient: str) -> list[str]:
        """Of the mails to them, oldest first."""
        found, _ = lookup.mails(f"{recipient}@example.com", None)
        return [mail.subject for mail in reversed(found)]


@pytest.fixture
def expenses(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Expenses]:
    monkeypatch.setattr(config, "catch_all_port", free_port())
    app.override(database=database)
    with TestClient(site) as browser, at_work(app) as bench:
        yield Expenses(browser, bench)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
