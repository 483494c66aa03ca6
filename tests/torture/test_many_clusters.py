"""Ten thousand simulated clusters: minutes to hours instead of the few that the suite has."""

import time

import pytest

from backroom.testing.databases import private_files
from tests.promises.simulation.script import script_of
from tests.promises.test_simulated_clusters import check

pytestmark = [pytest.mark.torture, pytest.mark.timeout(6 * 3600)]

SEEDS = range(10_000)


def test_nothing_is_broken_in_ten_thousand_clusters(capsys: pytest.CaptureFixture[str]) -> None:
    began, worked = time.monotonic(), time.process_time()
    with private_files() as files:
        for seed in SEEDS:
            check(script_of(seed), files)
    seconds = time.monotonic() - began
    with capsys.disabled():
        print(
            f"\nseeds {SEEDS.start} to {SEEDS.stop - 1}: 0 violations; {seconds:.0f} s, "
            f"{len(SEEDS) / seconds:.1f} seeds a second, "
            f"{(time.process_time() - worked) / len(SEEDS):.2f} s of processor time each"
        )
