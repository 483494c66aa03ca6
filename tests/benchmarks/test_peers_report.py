"""Rounds of several peers become tables, ratios and plots."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.growth import report as growth_report
from benchmarks.growth.curves import Point
from benchmarks.machine import Calibration
from benchmarks.page import PAGE, put
from benchmarks.peers import measuring, report
from benchmarks.peers.catalogue import OURS, PEERS, POSTGRES, REDIS
from benchmarks.peers.contender import Stage
from benchmarks.peers.diary import make_diary
from benchmarks.peers.environments import CONSTRAINTS, release
from benchmarks.peers.measuring import Results, entries_of
from benchmarks.peers.works import FULL, WORKS, Entry, Measure
from benchmarks.plot import Bar, BarPanel, Curve, CurvePanel, bars, curves

STILL = Calibration(25.0, 26.0, 0.2)
OURS_ENTRY = Entry(OURS[0], {}, "concurrency 200")
THEIRS = Entry(PEERS[0], {}, "batch 100")


def rate(value: float | None) -> Measure:
    return Measure("no-op jobs, 1 process", "jobs/s", value)


def delay(value: float) -> Measure:
    return Measure("start to running, p50", "ms", value, less_is_better=True)


def kept(ours: Measure, theirs: Measure) -> Results:
    results = Results()
    results.add([(OURS_ENTRY, ours)], beside=())
    results.add([(THEIRS, theirs)], beside=[ours])
    return results


def markdown(results: Results) -> str:
    return report.as_markdown(results, PEERS[:1], {"commit": "abc"}, STILL, STILL)


def test_a_rate_that_is_twice_theirs_is_two_times_ahead() -> None:
    assert "2 times" in markdown(kept(rate(20_000), rate(10_000)))


def test_a_delay_that_is_twice_theirs_is_behind() -> None:
    assert "behind: 0.50" in markdown(kept(delay(8.0), delay(4.0)))


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    results = Results()
    for ours, theirs in ((100.0, 100.0), (300.0, 100.0), (1000.0, 500.0)):
        results.add([(THEIRS, rate(theirs))], beside=[rate(ours)])
    (series,) = results.series.values()
    assert series.ahead == 2.0


def test_beside_a_peer_stands_the_mean_of_ours_before_and_after_it() -> None:
    results = Results()
    results.add([(THEIRS, rate(10.0))], beside=[rate(10.0), delay(7.0), rate(30.0)])
    (series,) = results.series.values()
    assert series.ours == [20.0]


def test_a_call_that_a_peer_does_not_have_is_said_to_be_missing() -> None:
    absent = Measure("jobs started, 1,000 a call", "jobs/s", None, remark="has no such call")
    assert "has no such call" in markdown(kept(rate(1.0), absent))


def test_a_peer_that_fails_is_named_with_its_reason_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drain(stage: Stage, entry: Entry, size: object) -> list[Measure]:
        if entry.peer is PEERS[0]:
            raise RuntimeError("it fell over")
        return [rate(1000.0)]

    monkeypatch.setitem(WORKS, "drain", drain)
    results = measuring.measured(Stage(None), PEERS, ["drain"], FULL, rounds=2)  # type: ignore[arg-type]
    text = markdown(results)
    assert "drain: RuntimeError: it fell over" in text
    measured = {series.entry.peer.title for series in results.series.values()}
    assert measured == {peer.title for peer in [*OURS, *PEERS[1:]]}
    theirs = [series for series in results.series.values() if not series.is_ours]
    assert all(len(series.values) == len(series.ours) == 2 for series in theirs)


def test_defaults_and_tuned_settings_both_take_part_where_they_differ() -> None:
    for peer in PEERS:
        labels = [entry.settings for entry in entries_of(peer, "drain")]
        assert labels == ([peer.defaults, peer.tuned] if peer.tuned_is else [peer.defaults])
        killed = peer.defaults if peer.crash is None else peer.crash
        assert [entry.settings for entry in entries_of(peer, "crash")] == [killed]


def test_only_peers_with_steps_are_asked_for_steps() -> None:
    assert {peer.name for peer in PEERS if entries_of(peer, "steps")} == {"DBOS", "absurd"}


def test_every_peer_has_an_adapter_and_a_pinned_release() -> None:
    adapters = Path(report.__file__).parent / "adapters"
    for peer in PEERS:
        assert (adapters / f"{peer.adapter}.py").exists()
        assert release(peer).startswith(peer.name)
        assert peer.drained or peer.place == REDIS or peer.name == "Huey"
    assert all("==" in line for line in CONSTRAINTS.read_text().splitlines()[1:])


def test_the_plot_of_peers_is_wellformed_and_marks_ours() -> None:
    drawing = report.as_svg(kept(rate(20_000), rate(10_000)))
    tree = ElementTree.fromstring(drawing)  # noqa: S314  (made here)
    kinds = [part.get("class") for part in tree.iter() if part.tag.endswith("rect")]
    assert kinds == ["ours", "theirs"]


def test_names_in_plots_are_escaped() -> None:
    drawing = bars([BarPanel("a < b & c", [Bar("<peer>", 1.0, "1")])])
    texts = [part.text for part in ElementTree.fromstring(drawing).iter() if part.text]  # noqa: S314
    assert "a < b & c" in texts
    assert "<peer>" in texts


def test_curves_stay_inside_their_panel_on_logarithmic_axes() -> None:
    points = [(1.0, 0.5), (1000.0, 40_000.0)]
    panel = CurvePanel("growth", "flows", "steps/s", [Curve("SQLite", points)])
    tree = ElementTree.fromstring(curves([panel]))  # noqa: S314
    (line,) = [part for part in tree.iter() if part.tag.endswith("polyline")]
    places = [tuple(map(float, pair.split(","))) for pair in (line.get("points") or "").split()]
    assert places[0][0] < places[1][0]
    assert places[0][1] > places[1][1]
    assert all(0 <= x <= 340 and 0 <= y <= 230 for x, y in places)


def test_a_growth_table_tells_each_value_as_a_multiple_of_the_first() -> None:
    found = {
        "SQLite": [
            Point("runs waiting", "µs a run", 10_000, 50.0),
            Point("runs waiting", "µs a run", 1_000_000, 60.0),
            Point("queue with limits", "µs a run", 0, 70.0),
        ]
    }
    text = growth_report.as_markdown(found, {}, STILL, STILL)
    assert "1.20" in text
    assert "queue with limits" in text
    ElementTree.fromstring(growth_report.as_svg(found))  # noqa: S314


def test_only_what_is_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- peers: begin (make) -->\nold\n<!-- peers: end -->\nbelow\n")
    put("peers", "new", page)
    assert page.read_text() == (
        "above\n<!-- peers: begin (make) -->\n\nnew\n\n<!-- peers: end -->\nbelow\n"
    )
    with pytest.raises(SystemExit, match="lacks the markers"):
        put("growth", "new", page)


@pytest.mark.parametrize("name", ["figures", "peers", "growth"])
def test_the_page_has_a_place_for_each_kind_of_measurement(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"<!-- {name}: begin" in text
    assert f"<!-- {name}: end -->" in text


def test_a_diary_counts_what_processes_and_threads_tell_it(tmp_path: Path) -> None:
    with_two = [make_diary(tmp_path)]
    with_two.append(type(with_two[0])(tmp_path))  # as another process opens it
    with_two[0].begin()
    with_two[1].begin()
    with_two[1].end()
    with_two[1].note("stamp 12")
    assert (with_two[0].begun(), with_two[0].ended()) == (2, 1)
    assert with_two[0].lines() == [["stamp", "12"]]
    for diary in with_two:
        diary.close()


def test_ours_stands_beside_redis_on_postgresql() -> None:
    redis = next(peer for peer in PEERS if peer.place == REDIS)
    assert measuring.our_place(redis) == POSTGRES
