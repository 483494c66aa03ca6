"""docs/performance.md: each kind of measurement has its place there, between two markers."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "PAGE", "put"]

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "performance.md"


def put(name: str, text: str, page: Path = PAGE) -> Path:
    """Replace what is between `<!-- NAME: begin … -->` and `<!-- NAME: end -->`."""
    before = page.read_text(encoding="utf-8")
    head, begin, rest = before.partition(f"<!-- {name}: begin")
    hint, arrow, rest = rest.partition("-->")
    _, end, tail = rest.partition(f"<!-- {name}: end -->")
    if not begin or not arrow or not end:
        raise SystemExit(f"{page} lacks the markers {name!r}, between which the figures go.")
    page.write_text(
        f"{head}{begin}{hint}{arrow}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8"
    )
    return page
