"""What pytest's command line says about simulations; `plugin.py` writes it here."""

from __future__ import annotations

__all__ = ["plays", "seed"]

seed: str | None = None
plays: int | None = None
