"""The pages of the documentation, and the blocks in them.

```python            code that runs; the blocks of a page share one namespace, in order
```text              what the page has printed since the last such block
```sql               a query that runs on the page's database
<!-- run … -->       code that runs and isn't shown: to move the clock, to check what was said
<!-- file: name.py -->   before a python block: it is a module, which later blocks import
<!-- fragment: why -->   before a python block: it is compiled only, for the reason given
<!-- on: sqlite -->      anywhere: this page's examples are for SQLite
<!-- generated: name --> … <!-- end -->     text made from the code, see generated.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["PAGES", "ROOT", "Block", "anchors", "blocks", "links", "name_of"]

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)

Kind = Literal["python", "file", "fragment", "text", "sql", "run", "sh", "other"]
FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"^<!-- run\n(.*?)^-->", re.MULTILINE | re.DOTALL)
REASON = re.compile(r"<!-- fragment: (.+?) -->\s*\Z")
FILE = re.compile(r"<!-- file: (\w+)\.py -->\s*\Z")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page; `line` is the number of its first line, `module` a file's name."""

    kind: Kind
    text: str
    line: int
    module: str = ""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        kind: Kind = "other"
        file = FILE.search(text[: match.start()])
        match match[2]:
            case "python" if file:
                kind = "file"
            case "python" if REASON.search(text[: match.start()]):
                kind = "fragment"
            case "python" | "text" | "sql" | "sh" as known:
                kind = known
        line = line_of(text, match.start(3))
        found.append(Block(kind, match[3], line, file[1] if file else ""))
    for match in COMMENT.finditer(text):
        found.append(Block("run", match[1], line_of(text, match.start(1))))
    return sorted(found, key=lambda block: block.line)


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def links(text: str) -> list[str]:
    """Where the page's links lead; code is not looked at."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return LINK.findall(prose)


def anchors(text: str) -> set[str]:
    """The headings of a page as fragments, spelled as GitHub and most others spell them."""
    headings = re.findall(r"^#{1,6} (.+?)\s*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
