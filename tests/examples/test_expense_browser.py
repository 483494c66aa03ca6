"""The expense example as a person uses it: the demo's own command, and a real Chromium.

Screenshots go to the test's temporary folder; look at them with `pytest --basetemp=/tmp/shots`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.examples.conftest import TODAY
from tests.examples.demo import demo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = (1280, 800), (360, 780)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElF"
    "TkSuQmCC"
)
Scheme = Literal["light", "dark"]
SCREENS: tuple[tuple[tuple[int, int], Scheme], ...] = (
    (DESKTOP, "light"), (PHONE, "dark"), (DESKTOP, "dark"), (PHONE, "light"),
)  # fmt: skip


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGS)
        try:
            yield chromium
        finally:
            chromium.close()


class Person:
    """Somebody in front of a screen. What the pages complain of in the console is collected."""

    def __init__(
        self, chromium: Browser, address: str, folder: Path,
        size: tuple[int, int] = DESKTOP, scheme: Scheme = "light", *, javascript: bool = True,
    ) -> None:  # fmt: skip
        self.address = address
        self.folder = folder
        self.complaints: list[str] = []
        self.context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,
            java_script_enabled=javascript, reduced_motion="reduce",
        )  # fmt: skip
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.name = f"{size[0]}-{scheme}"

    def go(self, path: str) -> None:
        self.page.goto(self.address + path)

    def act_as(self, name: str) -> None:
        self.page.get_by_label("Act as").select_option(label=name)
        self.page.get_by_role("button", name="Switch").click()

    def look(self, what: str) -> None:
        """Take a picture, and see that nothing is wider than the screen."""
        self.page.screenshot(path=str(self.folder / f"{what}-{self.name}.png"), full_page=True)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not self.page.evaluate(wide), f"{what} is wider than the screen"

    def fill_in(self, amount: str) -> None:
        page = self.page
        page.get_by_label("Amount").fill(amount)
        page.get_by_label("Spent on").fill(TODAY.isoformat())
        page.get_by_label("Category").select_option(label="Travel")
        page.get_by_label("What was it for?").fill("Train to Lisbon and back")

    def number(self) -> str:
        found = re.search(r"/claims/(E-\d+)", self.page.url)
        assert found, self.page.url
        return found[1]

    def close(self) -> None:
        assert self.complaints == []
        self.context.close()


def test_a_claim_is_submitted_approved_and_seen_paid(
    database: str, chromium: str, tmp_path: Path
) -> None:
    with demo(database, tmp_path / "log") as address, browser(chromium) as chrome:
        # Every screen on SQLite; to the browser it makes no difference where the claims are kept.
        screens = SCREENS[:1] if "://" in database else SCREENS
        for n, (size, scheme) in enumerate(screens):
            person = Person(chrome, address, tmp_path, size, scheme)
            page = person.page
            person.go("/claims")
            person.look("claims-before")
            page.get_by_role("navigation", name="Main").get_by_role(
                "link", name="New claim"
            ).click()
            person.look("form")
            person.fill_in(f"{84 + n}.20")
            receipt = {"name": "ticket.png", "mimeType": "image/png", "buffer": PNG}
            page.get_by_label("Receipt").set_input_files(receipt)  # type: ignore[arg-type]
            page.get_by_role("button", name="Submit claim").click()
            expect(page.get_by_text("Your claim is in.")).to_be_visible()
            # Without a reload: the page's own script brings what has changed.
            expect(page.get_by_text("Mara Lindqvist was asked by mail")).to_be_visible()
            number = person.number()
            person.look("claim-awaiting")
            assert page.get_by_role("img", name="The receipt, ticket.png").evaluate(
                "i => i.complete"
            )

            person.act_as("Mara Lindqvist, Engineering")
            expect(page.get_by_role("heading", name="Your decision")).to_be_visible()
            person.go("/inbox")
            person.look("inbox")
            page.get_by_role("link", name=number, exact=True).click()
            page.get_by_label("Comment").fill("Have a good trip")
            person.look("decision")
            page.get_by_role("button", name="Approve").click()
            expect(page.locator(".badge", has_text="Paid")).to_be_visible()

            person.act_as("Ana Kovač, Engineering")
            expect(page.get_by_text("Ana Kovač was told by mail")).to_be_visible()
            person.look("claim-paid")
            person.go("/claims")
            expect(page.get_by_role("row").filter(has_text=number)).to_contain_text("Paid")
            person.look("claims-after")
            person.go("/mailbox")
            expect(
                page.get_by_role("link", name=f"{number}: {84 + n}.20 EUR to approve")
            ).to_be_visible()
            person.look("mailbox")
            page.get_by_role("link", name=f"{number}: {84 + n}.20 EUR is booked").click()
            expect(page.get_by_text("Have a good trip")).to_be_visible()
            person.look("mail")
            person.go("/ledger")
            expect(page.get_by_role("row").filter(has_text=number)).to_contain_text(f"{84 + n}.20")
            person.look("ledger")
            person.close()


def test_everything_can_be_done_with_the_keyboard(
    sqlite_path: Path, chromium: str, tmp_path: Path
) -> None:
    with demo(str(sqlite_path), tmp_path / "log") as address, browser(chromium) as chrome:
        person = Person(chrome, address, tmp_path)
        page = person.page
        press = page.keyboard.press

        def tab_to(name: str) -> None:
            """Press Tab until something of this name has the focus, which has to be visible."""
            for _ in range(40):
                press("Tab")
                found = page.evaluate(NAME_OF_FOCUS)
                if found and found.startswith(name):
                    assert page.evaluate(FOCUS_IS_SHOWN), f"nothing shows that {name} has the focus"
                    return
            raise AssertionError(f"Tab never came to {name}; the last was {found!r}")

        person.go("/claims")
        press("Tab")
        assert page.evaluate(NAME_OF_FOCUS) == "Skip to the content"
        press("Enter")
        tab_to("New claim")
        press("Enter")
        page.wait_for_url("**/claims/new")
        tab_to("Amount")
        page.keyboard.type("41.50")
        tab_to("Spent on")
        page.keyboard.type(f"{TODAY:%m%d%Y}")
        tab_to("Category")
        page.keyboard.type("Meals")
        tab_to("What was it for?")
        page.keyboard.type("Lunch during the site visit")
        person.look("keyboard-form")
        tab_to("Submit claim")
        press("Enter")
        expect(page.get_by_text("Mara Lindqvist was asked by mail")).to_be_visible()
        number = person.number()
        tab_to("Act as")
        page.keyboard.type("Mara")
        press("Tab")
        press("Enter")
        page.wait_for_url("**/claims/E-*said=acting")
        tab_to("Inbox")
        press("Enter")
        page.wait_for_url("**/inbox")
        tab_to(f"Reject {number}")
        press("Enter")
        page.wait_for_url("**#comment")
        tab_to("Reject")
        press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Say why: the claimant will be told.")
        tab_to("Comment")
        page.keyboard.type("Please ask before")
        tab_to("Reject")
        press("Enter")
        expect(page.locator(".badge", has_text="Rejected")).to_be_visible()
        expect(page.get_by_text("Ana Kovač was told by mail")).to_be_visible()
        person.complaints.clear()  # the 422 of the rejection without a reason
        person.close()


NAME_OF_FOCUS = """() => {
    const it = document.activeElement;
    if (!it || it === document.body) return "";
    return it.getAttribute("aria-label") || it.labels?.[0]?.innerText || it.innerText || "";
}"""
FOCUS_IS_SHOWN = """() => {
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""


def test_it_works_without_javascript(sqlite_path: Path, chromium: str, tmp_path: Path) -> None:
    with demo(str(sqlite_path), tmp_path / "log") as address, browser(chromium) as chrome:
        person = Person(chrome, address, tmp_path, javascript=False)
        page = person.page
        person.go("/claims/new")
        page.get_by_role("button", name="Submit claim").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing was sent yet")
        person.fill_in("12.00")
        page.get_by_role("button", name="Submit claim").click()
        number = person.number()
        for _ in range(100):
            page.get_by_role("link", name="Refresh").click()
            if page.get_by_text("Awaiting approval").is_visible():
                break
        person.act_as("Mara Lindqvist, Engineering")
        person.go("/inbox")
        page.get_by_role("button", name=f"Approve {number}").click()
        expect(page.get_by_role("status").first).to_contain_text("Approved")
        for _ in range(100):
            person.go(f"/claims/{number}")
            if page.locator(".badge", has_text="Paid").is_visible():
                break
        expect(page.locator(".badge")).to_have_text("Paid")
