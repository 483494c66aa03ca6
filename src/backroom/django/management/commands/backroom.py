"""`manage.py backroom ...`: the program `backroom`, for this project."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from backroom.cli.program import program

__all__ = ["Command"]


class Command(BaseCommand):
    help = "Workers of this project's tasks and flows, and all else that `backroom` can do."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("words", nargs=argparse.REMAINDER)

    def run_from_argv(self, argv: list[str]) -> None:
        self.perform(argv[2:], f"{os.path.basename(argv[0])} {argv[1]}")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.perform(options["words"], "backroom")
        except SystemExit as end:
            if end.code:
                raise

    def perform(self, words: list[str], name: str) -> None:
        os.environ.setdefault("BACKROOM_APP", "backroom.django.worker:app")
        sys.stdout.flush()
        program(args=words, prog_name=name)
