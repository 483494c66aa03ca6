"""Windows of a fan-out: runs whose ids lie side by side, so one look tells whether any is live.

    id      01a20ca8-b1d4-8xxx-9xxx-xxxxxx000007    the parent's time, version 8, a hash of the
                                                    parent and the map, the item's index in six
    window  <first id>/<last id>                    the name of a wait of kind `children`

Version 8 marks such a run, so an end costs the others nothing: only for marked ones does anybody
look whether their parent's window is over.
"""

from __future__ import annotations

__all__ = ["bounds", "is_mapped", "window"]


def is_mapped(run_id: str) -> bool:
    """Whether a run is one of a fan-out."""
    return run_id[14:15] == "8"


def window(first_id: str, last_id: str) -> str:
    return f"{first_id}/{last_id}"


def bounds(name: str) -> tuple[str, str]:
    """The first and the last id of a window."""
    first, _, last = name.partition("/")
    return first, last
