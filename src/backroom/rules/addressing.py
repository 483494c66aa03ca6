"""Where a checkpoint lives: structural path + name + occurrence number, or + a key.

    charge#1                 the first call of step charge in the flow's body
    charge#2                 the second
    charge[order 7]          a call with a key of its own
    gather#1.0/fetch#1       the first fetch in branch 0 of the first gather
    chunks#1.36/book#1       the first book in chunk 36 of the first walk

The number counts the calls of one name in one place, so code between steps may do what it likes and
an inserted step shifts nothing but its own name.
"""

from __future__ import annotations

__all__ = ["branch_path", "keyed", "numbered"]


def numbered(path: str, name: str, number: int) -> str:
    return f"{path}{name}#{number}"


def keyed(path: str, name: str, key: str) -> str:
    # A key is anything the author has; brackets would let one address look like another.
    safe = key.replace("%", "%25").replace("]", "%5D").replace("/", "%2F")
    return f"{path}{name}[{safe}]"


def branch_path(address: str, branch: int) -> str:
    return f"{address}.{branch}/"
