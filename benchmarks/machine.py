"""What the figures were taken on, and how steady that was."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Calibration", "calibrate", "described"]

LIBRARIES = ("backroom", "psycopg", "pydantic")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How fast the machine was at a moment. Taken before and after: what differs is noise."""

    python_ms: float  # a fixed amount of Python, the best of several
    python_worst_ms: float
    sync_ms: float  # a small write and an fsync, the median of many


def calibrate() -> Calibration:
    loops = [python_loop() for _ in range(7)]
    return Calibration(min(loops), max(loops), sync())


def python_loop() -> float:
    began = time.perf_counter()
    kept: dict[int, str] = {}
    for number in range(200_000):
        kept[number % 1000] = str(number)
    return (time.perf_counter() - began) * 1000


def sync() -> float:
    times = []
    with tempfile.TemporaryFile(prefix="backroom-bench-") as file:
        for _ in range(100):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1000


def described() -> dict[str, str]:
    libraries = ", ".join(f"{name} {found}" for name in LIBRARIES if (found := installed(name)))
    system = f"{platform.system()} {platform.release()}"
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {system}",
        "versions": f"Python {platform.python_version()}, {libraries}",
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str:
    """The commit that is measured, and whether the code has been touched since."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        touched = git("status", "--porcelain", "--untracked-files=no", "--", "../src", ".")
        return git("rev-parse", "--short=10", "HEAD") + (" and changes" if touched else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"
