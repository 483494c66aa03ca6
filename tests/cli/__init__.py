"""The terminal, as people and scripts see it."""
