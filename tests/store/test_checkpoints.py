"""SaveStep, SaveWaits and Progress: what an attempt keeps while it goes on."""

from dataclasses import replace

from backroom.records.runs import FOREVER, StepRow, WaitRow
from backroom.records.states import State
from backroom.store.verbs import Emit, Progress, SaveStep, SaveWaits, Settle, Start
from tests.store.desk import HOUR, MINUTE, Desk, event, step, timer


def test_a_checkpoint_is_kept_whole(desk: Desk) -> None:
    run = desk.started_and_claimed()
    kept = StepRow("a/b#2", "b", "step", "done", '{"ü": 1}', None, "print", 3, 11, 22)
    failed = StepRow("c#1", "c", "step", "failed", None, '{"kind": "E"}', None, 5, 1, 2)
    desk.done(SaveStep(run.id, run.attempt, kept))
    desk.done(SaveStep(run.id, run.attempt, failed))
    assert desk.reader.steps(run.id) == [kept, failed]


def test_a_checkpoint_of_the_same_address_is_replaced(desk: Desk) -> None:
    run = desk.started_and_claimed()
    trying = step("a#1", "trying", error="{}", tries=1)
    done = step("a#1", tries=2)
    desk.done(SaveStep(run.id, run.attempt, trying))
    desk.done(SaveStep(run.id, run.attempt, done))
    assert desk.reader.steps(run.id) == [done]


def test_two_checkpoints_of_one_address_in_a_batch_leave_the_later(desk: Desk) -> None:
    run = desk.started_and_claimed()
    rows = [step("a#1", "trying", tries=1), step("b#1"), step("a#1", tries=2)]
    desk.session.apply([SaveStep(run.id, run.attempt, row) for row in rows])
    assert desk.reader.steps(run.id) == [rows[2], rows[1]]


def test_runs_started_by_a_step_exist_with_its_checkpoint(desk: Desk) -> None:
    run = desk.started_and_claimed()
    attached = desk.new(parent_id=run.id, cause_id=run.id)
    keyed = desk.new(key="k", delay_us=HOUR)
    desk.done(SaveStep(run.id, run.attempt, step(), starts=(attached, keyed)))
    assert desk.row(attached.id).parent_id == run.id
    assert desk.row(keyed.id).state is State.SCHEDULED
    assert desk.reader.find("flow", "k") == keyed.id
    assert [found.id for found in desk.claims().runs] == [attached.id]


def test_a_taken_key_lets_a_step_start_nothing_more(desk: Desk) -> None:
    first = desk.start(key="k", delay_us=HOUR)
    run = desk.started_and_claimed()
    second = desk.new(key="k")
    desk.done(SaveStep(run.id, run.attempt, step(), starts=(second,)))
    assert desk.reader.run(second.id) is None
    assert desk.reader.find("flow", "k") == first


def test_a_late_step_starts_consumes_and_clears_nothing(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Emit(run.id, "event-1", "go", "{}"))
    desk.hand_back(run)
    now = desk.claim()
    new = desk.new()
    late = SaveStep(run.id, run.attempt, step(), "event-1", (new,), clears_starts=True)
    before = desk.everything()
    desk.lost(late)
    assert desk.everything() == before
    assert desk.reader.run(new.id) is None
    desk.done(replace(late, attempt=now.attempt))
    assert desk.reader.mail([run.id]) == []
    assert desk.reader.run(new.id) is not None


def test_progress_made_clears_the_count_of_starts(desk: Desk) -> None:
    run = desk.started_and_claimed()
    run = desk.lose(run)
    assert run.starts == 2
    run = desk.lose(run, suspects=True)
    assert run.starts == 3
    desk.done(SaveStep(run.id, run.attempt, step(), clears_starts=True))
    assert desk.lose(run).starts == 2


def test_waits_keep_the_time_of_their_first_storing(desk: Desk) -> None:
    run = desk.started_and_claimed()
    at = desk.now() + 5 * MINUTE
    asked = (timer(HOUR), event("go"), WaitRow("until", "timer", due_at=at))
    first = desk.do(SaveWaits(run.id, run.attempt, asked))
    assert isinstance(first, tuple)
    assert [wait.address for wait in first] == ["timer", "event:go", "until"]
    assert all(wait.delay_us is None for wait in first)
    assert (first[1].due_at, first[2].due_at) == (FOREVER, at)
    desk.store.move_clock(MINUTE)
    again = desk.do(SaveWaits(run.id, run.attempt, asked[::-1]))
    assert again == first[::-1]
    assert desk.state(run.id) is State.RUNNING


def test_a_wait_that_exists_is_left_as_it_is(desk: Desk) -> None:
    run = desk.started_and_claimed()
    (first,) = rows(desk.do(SaveWaits(run.id, run.attempt, (WaitRow("w", "timer", delay_us=5),))))
    other = WaitRow("w", "event", "go", delay_us=HOUR)
    assert rows(desk.do(SaveWaits(run.id, run.attempt, (other,)))) == (first,)


def rows(answer: object) -> tuple[object, ...]:
    assert isinstance(answer, tuple)
    return answer


def test_progress_and_status_change_one_by_one(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Progress(run.id, run.attempt, 0.25, "counting"))
    desk.done(Progress(run.id, run.attempt, fraction=0.5))
    row = desk.row(run.id)
    assert (row.progress, row.status) == (0.5, "counting")
    desk.done(Progress(run.id, run.attempt, status="adding"))
    row = desk.row(run.id)
    assert (row.progress, row.status) == (0.5, "adding")
    desk.done(Progress(run.id, run.attempt))
    assert desk.row(run.id) == row


def test_two_reports_in_one_batch_leave_the_later(desk: Desk) -> None:
    run = desk.started_and_claimed()
    reports = [
        Progress(run.id, run.attempt, 0.1, "a"),
        Progress(run.id, run.attempt, status="b"),
        Progress(run.id, run.attempt, 0.3),
    ]
    assert desk.session.apply(reports) == [None] * 3
    row = desk.row(run.id)
    assert (row.progress, row.status) == (0.3, "b")


def test_the_last_progress_is_still_seen_when_the_run_has_ended(desk: Desk) -> None:
    run = desk.started_and_claimed()
    report = Progress(run.id, run.attempt, 1.0, "all done")
    settle = Settle(run.id, run.attempt, State.SUCCEEDED, "1")
    assert desk.session.apply([settle, report]) == [None, None]
    assert desk.row(run.id).status == "all done"


def test_a_late_attempt_changes_neither_waits_nor_progress(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.hand_back(run)
    before = desk.everything()
    desk.lost(SaveWaits(run.id, run.attempt, (timer(HOUR),)))
    desk.lost(Progress(run.id, run.attempt, 0.5, "x"))
    assert desk.everything() == before


def test_everything_of_a_run_can_come_in_one_batch(desk: Desk) -> None:
    run = desk.started_and_claimed()
    new = desk.new()
    answers = desk.session.apply(
        [
            Settle(run.id, run.attempt, State.SUCCEEDED, "1"),
            SaveStep(run.id, run.attempt, step("a#1")),
            SaveStep(run.id, run.attempt, step("b#1")),
            Progress(run.id, run.attempt, 0.9),
            Start(new),
        ]
    )
    assert answers[:4] == [None] * 4
    assert [kept.address for kept in desk.reader.steps(run.id)] == ["a#1", "b#1"]
    assert desk.state(run.id) is State.SUCCEEDED


def test_a_checkpoint_can_forget_those_below_an_address(desk: Desk) -> None:
    run = desk.started_and_claimed()
    for address in ("chunks#1.1/a#1", "chunks#1.1/b#1", "chunks#1.10/a#1", "chunks#1.2/a#1", "z#1"):
        desk.done(SaveStep(run.id, run.attempt, step(address)))
    desk.done(SaveStep(run.id, run.attempt, step("undo chunks#1.1/b#1")))
    cursor = SaveStep(run.id, run.attempt, step("chunks#1"), forgets="chunks#1.1/")
    desk.done(cursor)
    kept = [
        "chunks#1", "chunks#1.1/b#1", "chunks#1.10/a#1", "chunks#1.2/a#1", "undo chunks#1.1/b#1",
        "z#1",
    ]  # fmt: skip
    assert sorted(row.address for row in desk.reader.steps(run.id)) == kept
    desk.done(cursor)
    assert sorted(row.address for row in desk.reader.steps(run.id)) == kept


def test_a_late_checkpoint_forgets_nothing(desk: Desk) -> None:
    old = desk.started_and_claimed()
    desk.done(SaveStep(old.id, old.attempt, step("chunks#1.1/a#1")))
    desk.lose(old)
    desk.lost(SaveStep(old.id, old.attempt, step("chunks#1"), forgets="chunks#1.1/"))
    assert [row.address for row in desk.reader.steps(old.id)] == ["chunks#1.1/a#1"]
