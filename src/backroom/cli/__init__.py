"""The terminal: `backroom` and `python -m backroom`."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The `backroom` program."""
    from backroom.cli.program import program

    program()
