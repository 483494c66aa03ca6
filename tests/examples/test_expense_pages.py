"""Every page of the expense example over HTTP, good input and bad, on both databases."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import func, select

from backroom.testing import eventually
from examples.expenses import flow, lookup, submitting
from examples.expenses.app import app
from examples.expenses.claims import Decision
from examples.expenses.config import config
from examples.expenses.database import reading
from examples.expenses.tables import BookingRow, ClaimRow
from tests.examples.conftest import GOOD, PDF, TODAY, Expenses

PAGES = ("/claims", "/claims/new", "/ledger", "/mailbox", "/load")


def booked() -> list[int]:
    with reading() as session:
        return list(session.scalars(select(BookingRow.amount_cents)))


def claim_count() -> int:
    with reading() as session:
        return session.scalars(select(func.count()).select_from(ClaimRow)).one()


# --- a claim's way


def test_a_claim_is_checked_approved_booked_and_answered_by_mail(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    eventually(lambda: expenses.subjects("mara.lindqvist"))
    expenses.act_as("mara.lindqvist")
    assert number in expenses.browser.get("/inbox").text
    answer = expenses.decide(number, "approve", "have a good trip")
    assert answer.status_code == 303
    line = expenses.reaches(number, "paid")

    assert line.row.run_id is not None
    assert app.run(line.row.run_id).status().wait().result["paid"] is True
    assert booked() == [8420]
    assert expenses.subjects("mara.lindqvist") == [
        f"{number}: 84.20 EUR to approve, from Ana Kovač"
    ]
    assert expenses.subjects("ana.kovac") == [f"{number}: 84.20 EUR is booked"]
    page = expenses.browser.get(f"/claims/{number}").text
    for said in ("Paid", "Mara Lindqvist approved it", "have a good trip", "booked in the ledger"):
        assert said in page
    ledger = expenses.browser.get("/ledger").text
    assert number in ledger
    assert "84.20" in ledger


def test_a_rejected_claim_is_answered_with_the_reason_and_books_nothing(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    expenses.act_as("mara.lindqvist")
    assert expenses.decide(number, "reject").status_code == 422
    assert expenses.decide(number, "reject", " \n ").status_code == 422
    assert expenses.decide(number, "reject", "No first class, please").status_code == 303
    expenses.reaches(number, "rejected")
    assert booked() == []
    (mail,), _ = lookup.mails("ana.kovac@example.com", None)
    assert mail.subject == f"{number}: 84.20 EUR will not be paid"
    assert "No first class, please" in mail.body
    page = unescape(expenses.browser.get(f"/mailbox/{mail.id}").text)
    assert mail.message_id in page


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "2500.01"}, "over the limit of 2,500 EUR"),
        ({"category": "meals", "amount": "151"}, "over the limit of 150 EUR"),
        ({"date": (TODAY - timedelta(days=91)).isoformat()}, "more than 90 days"),
    ],
)  # fmt: skip
def test_what_breaks_the_policy_is_rejected_with_the_reason(
    expenses: Expenses, changes: dict[str, Any], reason: str
) -> None:
    number = expenses.submit(**changes)
    line = expenses.reaches(number, "rejected")
    assert reason in line.row.reason
    assert reason in expenses.browser.get(f"/claims/{number}").text
    assert booked() == []
    assert expenses.subjects("mara.lindqvist") == []
    assert len(expenses.subjects("ana.kovac")) == 1


def test_a_receipt_is_needed_above_fifty_euros_only(expenses: Expenses) -> None:
    small = expenses.submit(receipt=None, amount="50.00")
    large = expenses.submit(receipt=None, amount="50.01")
    expenses.reaches(small, "awaiting")
    assert "a receipt is needed" in expenses.reaches(large, "rejected").row.reason


def test_the_same_thing_claimed_twice_is_rejected_once(expenses: Expenses) -> None:
    one = expenses.submit()
    expenses.reaches(one, "awaiting")
    two = expenses.submit(description="Train to Lisbon, again")
    assert f"repeats claim {one}" in expenses.reaches(two, "rejected").row.reason
    expenses.act_as("mara.lindqvist")
    expenses.decide(one, "reject", "Wrong form")
    expenses.reaches(one, "rejected")
    expenses.reaches(expenses.submit(), "awaiting")  # what was turned down may be claimed anew


def test_an_approver_who_never_answers_is_reminded_and_then_the_claim_is_declined(
    expenses: Expenses,
) -> None:
    number = expenses.submit()
    eventually(lambda: expenses.claim(number).run_state == "waiting")
    page = expenses.browser.get(f"/claims/{number}").text
    assert "Without a decision Mara Lindqvist is reminded on" in page
    expenses.bench.move_clock(days=2, seconds=1)
    eventually(lambda: "reminded" in (expenses.claim(number).run_text or ""))
    eventually(lambda: expenses.claim(number).run_state == "waiting")
    assert "Without a decision it is declined on" in expenses.browser.get(f"/claims/{number}").text
    expenses.bench.move_clock(days=2, seconds=1)
    line = expenses.reaches(number, "rejected")
    assert line.row.reason == "Nobody decided within 4 days."
    assert expenses.subjects("mara.lindqvist")[1:] == [f"{number}: still waiting for your decision"]
    assert len(expenses.subjects("ana.kovac")) == 1
    assert booked() == []


def test_a_decision_after_the_reminder_counts(expenses: Expenses) -> None:
    number = expenses.submit()
    eventually(lambda: expenses.claim(number).run_state == "waiting")
    expenses.bench.move_clock(days=3)
    eventually(lambda: len(expenses.subjects("mara.lindqvist")) == 2)
    expenses.act_as("mara.lindqvist")
    assert expenses.decide(number, "approve").status_code == 303
    expenses.reaches(number, "paid")


def test_an_approval_in_the_last_moment_stands_against_the_deadline(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    submitting.decide(number, 1, Decision(True, "mara.lindqvist"))
    assert flow.decline_unanswered(number) == Decision(True, "mara.lindqvist")
    expenses.reaches(number, "paid")


def test_mail_waits_for_a_mail_server_that_is_down(
    expenses: Expenses, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = config.catch_all_port
    monkeypatch.setattr(config, "catch_all_port", 1)
    number = expenses.submit()
    page = f"/claims/{number}"
    eventually(
        lambda: "Not yet: Mara Lindqvist was asked by mail" in expenses.browser.get(page).text
    )
    monkeypatch.setattr(config, "catch_all_port", port)
    eventually(lambda: expenses.subjects("mara.lindqvist"), within=30)


# --- one transaction, one decision


def test_a_claim_and_its_run_exist_together_or_not_at_all(
    expenses: Expenses, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Interrupted(Exception):
        pass

    real = flow.review.using

    def using(**options: Any) -> Any:
        declared = real(**options)

        class ThenFail:
            def start(self, claim: Any) -> None:
                started.append(declared.start(claim).id)
                raise Interrupted

        return ThenFail()

    monkeypatch.setattr(flow.review, "using", using)
    expenses.act_as("ana.kovac")
    with pytest.raises(Interrupted):
        expenses.browser.post("/claims", data=GOOD)
    assert claim_count() == 0
    (run_id,) = started
    with pytest.raises(Exception, match="There is no run"):
        app.run(run_id).status().wait()


def test_sending_the_same_form_twice_gives_one_claim(expenses: Expenses) -> None:
    token = "8b0f2b0c-6a2e-4a83-9d8e-0d6f7c1f2a11"
    with ThreadPoolExecutor(4) as several:
        numbers = set(several.map(lambda _: expenses.submit(token=token), range(4)))
    assert len(numbers) == 1
    assert claim_count() == 1


def test_a_form_sent_again_with_other_text_is_refused_and_says_so(expenses: Expenses) -> None:
    token = "8b0f2b0c-6a2e-4a83-9d8e-0d6f7c1f2a12"
    number = expenses.submit(token=token)
    changes: list[dict[str, str]] = [{"description": "another thing"}, {"amount": "84.21"}]
    for change in changes:
        again = expenses.browser.post(
            "/claims", data=GOOD | {"token": token} | change, files={"receipt": ("r.pdf", PDF)}
        )
        assert again.status_code == 409
        assert f"is claim {number}. What you sent now was not stored" in again.text
    bare = expenses.browser.post("/claims", data=GOOD | {"token": token})
    assert bare.status_code == 409, "without the receipt it isn't the same either"
    assert claim_count() == 1
    assert expenses.submit(token=token) == number


def test_a_cookie_that_names_nobody_acts_as_nobody(expenses: Expenses) -> None:
    expenses.act_as("ana.kovac2")
    sent = expenses.browser.post("/claims", data=GOOD, files={"receipt": ("r.pdf", PDF)})
    assert sent.status_code == 403
    assert "nobody here is called so" in sent.text
    assert claim_count() == 0
    expenses.browser.post("/acting", data={"person": "ana.kovac", "back": "/claims"})
    assert expenses.browser.get("/claims").status_code == 200


def test_a_double_click_gives_one_decision(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    expenses.act_as("mara.lindqvist")
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(lambda _: expenses.decide(number, "approve"), range(4)))
    assert {answer.status_code for answer in answers} == {303}
    line = expenses.reaches(number, "paid")
    assert line.row.version == 2
    assert booked() == [8420]


def test_of_two_different_decisions_the_first_stands(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    expenses.act_as("mara.lindqvist")
    with ThreadPoolExecutor(2) as both:
        approve = both.submit(expenses.decide, number, "approve")
        reject = both.submit(expenses.decide, number, "reject", "no")
    codes = sorted((approve.result().status_code, reject.result().status_code))
    assert codes == [303, 409]
    slower = approve.result() if approve.result().status_code == 409 else reject.result()
    assert "Mara Lindqvist was faster" in slower.text
    won = approve.result().status_code == 303
    expenses.reaches(number, "paid" if won else "rejected")
    assert booked() == ([8420] if won else [])


def test_a_decision_on_an_old_page_is_refused(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    expenses.act_as("mara.lindqvist")
    old = expenses.decide(number, "approve", version=7)
    assert old.status_code == 409
    assert "Not up for a decision" in old.text
    assert "The page was old, or came too early" in old.text
    for beyond in (0, 2**31, 10**30):
        assert expenses.decide(number, "approve", version=beyond).status_code == 422
    assert expenses.claim(number).row.state == "awaiting"


# --- who may


def test_only_claimant_and_approver_see_a_claim_and_only_the_approver_decides(
    expenses: Expenses,
) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    assert expenses.decide(number, "approve").status_code == 403
    for stranger in ("ben.okafor", "noah.weber"):
        expenses.act_as(stranger)
        for path in ("", "/receipt", "?part=live"):
            assert expenses.browser.get(f"/claims/{number}{path}").status_code == 403
        assert expenses.decide(number, "approve").status_code == 403
        assert number not in expenses.browser.get("/claims").text
    expenses.act_as("ana.kovac")
    assert expenses.browser.get("/inbox").status_code == 403
    for path in ("/claims/E-99999", "/claims/E-99999/receipt", "/claims/%00", "/mailbox/77", "/x"):
        assert expenses.browser.get(path).status_code == 404
    assert expenses.decide("E-99999", "approve").status_code == 404


def test_approvers_do_not_approve_themselves(expenses: Expenses) -> None:
    number = expenses.submit(person="mara.lindqvist")
    assert expenses.reaches(number, "awaiting").row.approver == "rosa.almeida"
    assert expenses.decide(number, "approve").status_code == 403


def test_acting_as_somebody_goes_to_pages_of_ours_only(expenses: Expenses) -> None:
    def act(person: str, back: str) -> Any:
        return expenses.browser.post(
            "/acting", data={"person": person, "back": back}, follow_redirects=False
        )

    assert act("nobody", "/claims").status_code == 422
    assert act("", "/claims").status_code == 422
    for back in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", ""):
        assert act("ana.kovac", back).headers["location"] == "/claims?said=acting"
    assert act("mara.lindqvist", "/claims").headers["location"] == "/inbox?said=acting"
    assert act("ben.okafor", "/inbox").headers["location"] == "/claims?said=acting"
    assert act("ben.okafor", "/ledger").headers["location"] == "/ledger?said=acting"
    number = expenses.submit()
    assert (
        act("mara.lindqvist", f"/claims/{number}")
        .headers["location"]
        .startswith(f"/claims/{number}?")
    )
    assert act("noah.weber", f"/claims/{number}").headers["location"].startswith("/inbox")
    expenses.act_as("'; drop table claim --")
    assert "Ana Kovač" in expenses.browser.get("/claims").text


# --- bad input


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("amount", "", "is missing"),
        ("amount", "twelve", "is not a number"),
        ("amount", "NaN", "is not a number"),
        ("amount", "1e5", "is not a number"),
        ("amount", ".", "is not a number"),
        ("amount", "1,234.50", "is not a number"),
        ("amount", "12.345", "more than two decimals"),
        ("amount", "-5", "more than zero"),
        ("amount", "0", "more than zero"),
        ("amount", "99999999999", "beyond all reason"),
        ("amount", "9" * 40, "beyond all reason"),
        ("currency", "XXX", "is one of EUR"),
        ("currency", "€", "three letters"),
        ("date", "", "is missing"),
        ("date", "2025-02-30", "is not a day"),
        ("date", "03/04/2025", "is not a day"),
        ("date", (TODAY + timedelta(days=2)).isoformat(), "in the future"),
        ("category", "bribes", "is one of meals"),
        ("description", "   ", "is missing"),
        ("description", "?", "says nothing"),
        ("description", "x" * 501, "501 characters"),
        ("description", "a\x00b and more", "can&#39;t be shown"),
        ("description", "abc \u202e dlrow", "can&#39;t be shown"),
    ],
)
def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(
    expenses: Expenses, field: str, value: str, problem: str
) -> None:
    answer = expenses.browser.post("/claims", data=GOOD | {field: value})
    assert answer.status_code == 422
    assert problem in answer.text
    assert f'id="{field}-error"' in answer.text
    other = "description" if field != "description" else "amount"
    assert GOOD[other] in answer.text
    assert claim_count() == 0


def test_an_empty_form_names_every_field(expenses: Expenses) -> None:
    answer = expenses.browser.post("/claims", data={})
    assert answer.status_code == 422
    assert "Please correct 5 fields" in answer.text


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("scan.pdf", PDF, 303),
        ("photo.jpg", b"\xff\xd8\xff\xe0 and so on", 303),
        ("photo.png", b"\x89PNG\r\n\x1a\n and so on", 303),
        ("C:\\scans\\..\\r.pdf", PDF, 303),
        ("page.html", b"<html><script>alert(1)</script>", 422),
        ("claims-to-be.pdf", b"MZ\x90\x00", 422),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
        ("empty.pdf", b"", 422),
        ("large.pdf", b"%PDF-" + bytes(5 * 1024 * 1024), 422),
    ],
)
def test_receipts_are_what_they_are_and_not_what_they_are_called(
    expenses: Expenses, name: str, content: bytes, status: int
) -> None:
    expenses.act_as("ana.kovac")
    answer = expenses.browser.post(
        "/claims", data=GOOD, files={"receipt": (name, content)}, follow_redirects=False
    )
    assert answer.status_code == status
    if status == 303:
        number = answer.headers["location"].removeprefix("/claims/").partition("?")[0]
        served = expenses.browser.get(f"/claims/{number}/receipt")
        assert served.content == content
        assert served.headers["content-security-policy"].startswith("sandbox")
        assert served.headers["x-content-type-options"] == "nosniff"
        assert "\\" not in expenses.claim(number).row.receipt
    else:
        assert 'id="receipt-error"' in answer.text
        assert claim_count() == 0


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(expenses: Expenses) -> None:
    large = bytes(7 * 1024 * 1024)
    told = expenses.browser.post("/claims", content=large)
    assert told.status_code == 413
    assert "That is too large" in told.text
    pieces = (large[:65536] for _ in range(112))
    untold = expenses.browser.post(
        "/claims", content=pieces, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert untold.status_code == 413
    assert claim_count() == 0


def test_forms_of_other_sites_are_refused(expenses: Expenses) -> None:
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert expenses.browser.post("/claims", data=GOOD, headers=headers).status_code == 403
    assert claim_count() == 0
    headers = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
    answer = expenses.browser.post("/claims", data=GOOD, headers=headers, follow_redirects=False)
    assert answer.status_code == 303


def test_a_decision_form_that_is_not_ours_is_refused(expenses: Expenses) -> None:
    number = expenses.submit()
    expenses.reaches(number, "awaiting")
    expenses.act_as("mara.lindqvist")
    post = expenses.browser.post
    assert post(f"/claims/{number}/decision", data={}).status_code == 422
    assert post(f"/claims/{number}/decision", data={"version": "x"}).status_code == 422
    assert expenses.decide(number, "perhaps").status_code == 422
    for comment in ("x" * 501, "no\x00", "no \u202e dluow"):
        assert expenses.decide(number, "reject", comment).status_code == 422
    assert expenses.browser.put(f"/claims/{number}/decision").status_code == 405
    assert expenses.claim(number).row.state == "awaiting"


# --- every page


def test_no_page_has_anything_inline_and_all_text_is_escaped(expenses: Expenses) -> None:
    text = "<script>alert('x')</script> \"&' =HYPERLINK(\"http://evil.example\")"
    number = expenses.submit(description=text)
    expenses.reaches(number, "awaiting")
    eventually(lambda: expenses.subjects("mara.lindqvist"))
    (mail,), _ = lookup.mails("mara.lindqvist@example.com", None)
    paths = [*PAGES, f"/claims/{number}", f"/mailbox/{mail.id}", "/nothing", "/inbox"]
    shown = 0
    for person in ("ana.kovac", "mara.lindqvist"):
        expenses.act_as(person)
        for path in paths:
            answer = expenses.browser.get(path)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            html = answer.text
            assert "alert('x')" not in html
            assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|<style", html)
            assert not re.search(r"(src|href|action)=\"(?:https?:)?//", html)
            assert html.count("<main") == html.count("<h1") == 1
            assert re.search(r"<title>[^<]+ · Expenses</title>", html)
            shown += "&lt;script&gt;alert(" in html
    assert shown >= 4  # the list, the claim twice, the inbox


def test_lists_are_filtered_and_paged(expenses: Expenses) -> None:
    numbers = [expenses.submit(amount=f"{n + 1}.00", receipt=None) for n in range(53)]
    first = expenses.browser.get("/claims").text
    assert numbers[-1] in first
    assert numbers[0] not in first
    older = re.search(r'href="(/claims\?[^"]+)">Older', first)
    assert older
    second = expenses.browser.get(older[1].replace("&amp;", "&")).text
    assert numbers[0] in second
    assert "Older claims" not in second
    expenses.reaches(numbers[0], "awaiting")
    assert "No claims here" in expenses.browser.get("/claims?state=paid").text
    assert expenses.browser.get("/claims?state=nonsense").status_code == 200
    for bad in ("x", "0", "-1", "99999999999999999999"):
        assert expenses.browser.get(f"/claims?before={bad}").status_code == 422
    assert expenses.browser.get("/mailbox/99999999999999999999").status_code == 404


def test_the_live_part_is_sent_only_when_it_has_changed(expenses: Expenses) -> None:
    number = expenses.submit()
    eventually(lambda: expenses.claim(number).run_state == "waiting")
    for url in ("/claims?part=live", f"/claims/{number}?part=live", "/mailbox?part=live"):
        fresh = expenses.browser.get(url)
        assert fresh.status_code == 200
        assert "<html" not in fresh.text
        tag = {"If-None-Match": fresh.headers["etag"]}
        assert expenses.browser.get(url, headers=tag).status_code == 304
    tag = {"If-None-Match": expenses.browser.get("/claims?part=live").headers["etag"]}
    expenses.act_as("mara.lindqvist")
    expenses.decide(number, "approve")
    expenses.reaches(number, "paid")
    expenses.act_as("ana.kovac")
    changed = expenses.browser.get("/claims?part=live", headers=tag)
    assert changed.status_code == 200
    assert "Paid" in changed.text


# --- loading

HEADER = "number,claimant,amount,currency,date,submitted,category,description,receipt\n"
ROW = "C-1,ana.kovac,12.00,EUR,2025-03-01,2025-03-02,meals,Lunch with a client,R-1\n"


def send_csv(expenses: Expenses, content: str | bytes, name: str = "some.csv") -> Any:
    return expenses.browser.post("/load", files={"file": (name, content)})


def test_a_csv_file_is_loaded_and_loading_it_again_changes_nothing(expenses: Expenses) -> None:
    content = HEADER + ROW + "C-2,ana.kovac,x,EUR,2025-03-01,2025-03-02,meals,Lunch,\n"
    first = send_csv(expenses, content)
    assert first.status_code == 200
    assert "amount: is not a number such as 1234.50" in first.text
    assert "line 3" in first.text
    expenses.reaches("C-1", "awaiting")
    assert expenses.claim("C-1").row.run_id == flow.review.find("C-1").wait().id
    send_csv(expenses, content)
    assert claim_count() == 1
    assert len(lookup.refused_lines()) == 1
    assert "some.csv, line 3" in expenses.browser.get("/load").text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has to name the columns"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "has to name the columns"),
        ("number,amount\nC-1,3\n".encode("utf-16"), "has to name the columns"),
        (b'"', "has to name the columns"),
        (b"x" * (2 * 1024 * 1024 + 1), "larger than 2 MB"),
    ],
)
def test_a_file_that_is_no_table_of_claims_is_refused(
    expenses: Expenses, content: bytes, problem: str
) -> None:
    answer = send_csv(expenses, content)
    assert answer.status_code == 422
    assert problem in answer.text


def test_loading_needs_a_file(expenses: Expenses) -> None:
    answer = expenses.browser.post("/load", data={"file": ""})
    assert answer.status_code == 422
    assert "Nothing was loaded" in answer.text or "file" in answer.text
