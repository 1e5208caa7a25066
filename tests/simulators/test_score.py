"""Short stories of what was true, what was published, and what that is worth."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from simulators.score import BadEventError, Score, score, score_command
from simulators.truth import Fixture, PassBy, PassThrough, Stay, TrueVisit, Truth, Window

BEGAN = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
Event = dict[str, Any]


def utc(at: float) -> str:
    """Write second `at` of the trace as the contract does."""
    return (BEGAN + timedelta(seconds=at)).isoformat()


def event(kind: str, at: float, decided_at: float, visit: str = "a", **data: object) -> Event:
    """One event of visitor v-1, with what this story needs of the contract."""
    common = {"visit": visit, "visitor": "v-1", "zone": "floor", "decided_at": utc(decided_at)}
    return {
        "type": f"presence.{kind}.v1",
        "time": utc(at),
        "data": common | {"entered_at": utc(0)} | data,
    }


def enter(at: float, decided_at: float | None = None, **data: Any) -> Event:
    """She came in at `at`."""
    return event("enter", at, at if decided_at is None else decided_at, **data)


def leave(at: float, decided_at: float | None = None, **data: Any) -> Event:
    """She left at `at`."""
    decided_at = at if decided_at is None else decided_at
    return event("exit", at, decided_at, exited_at=utc(at), reason="silence", **data)


def move(at: float, zone: str) -> Event:
    """She came into `zone` at `at`."""
    return event("move", at, at, zone=zone, from_zone="elsewhere")


def visit(
    entered: float | None, exited: float | None, *stays: Stay, receivable: float | None = None
) -> TrueVisit:
    """One true visit of v-1, its crossings known to the instant."""
    return TrueVisit(
        visitor="v-1",
        entered=None if entered is None else Window.at(entered),
        exited=None if exited is None else Window.at(exited),
        first_receivable=receivable,
        stays=stays,
    )


def scored(events: list[Event], *visits: TrueVisit, duration: float = 3600.0) -> Score:
    """Score the events against visits of v-1."""
    return score(events, Truth(duration=duration, visits=visits), BEGAN)


def test_a_visit_told_as_it_was_is_without_fault() -> None:
    """In at 100, out at 700, known at 105 and 730: nothing is wrong but 5 s and 30 s."""
    result = scored([enter(100, 105), leave(700, 730)], visit(100, 700))
    assert (result.false_exits, result.missed_visits, result.phantom_visits) == (0, 0, 0)
    assert result.crossings.f1 == 1.0
    assert result.enter_latency is not None
    assert result.enter_latency.median == 5
    assert result.exit_latency is not None
    assert result.exit_latency.median == 30
    assert result.dwell_error is not None
    assert result.dwell_error.median == 0


def test_an_exit_while_she_was_inside_is_false() -> None:
    """She fell silent at 200 and was given up at 400, but she left at 700."""
    result = scored([enter(100), leave(200, 400)], visit(100, 700))
    assert result.false_exits == 1
    assert result.false_exits_per_visit == 1
    assert result.false_exits_per_hour == pytest.approx(6)
    assert result.exit_latency is None


def test_an_exit_that_was_taken_back_was_published_all_the_same() -> None:
    """Out at 200, in again as the same visit at 450: a false exit, and the dwell is right."""
    events = [enter(100), leave(200, 400), enter(450, resumed=True), leave(700, 730)]
    result = scored(events, visit(100, 700))
    assert result.false_exits == 1
    assert result.claimed_visits == 1
    assert result.dwell_error is not None
    assert result.dwell_error.median == 0
    assert result.crossings.precision == 0.5


def test_an_exit_decided_just_before_she_left_is_early_and_not_false() -> None:
    """The tolerance of 8 s lies behind the decision."""
    assert scored([enter(100), leave(600, 693)], visit(100, 700)).false_exits == 0
    assert scored([enter(100), leave(600, 691)], visit(100, 700)).false_exits == 1


def test_an_exit_decided_after_she_came_back_is_not_false() -> None:
    """Out from 700 to 710, known at 712: the date of the exit is right."""
    events = [enter(100), leave(700, 712), enter(713, visit="b")]
    result = scored(events, visit(100, 700), visit(710, None))
    assert result.false_exits == 0
    assert result.exit_latency is not None
    assert result.exit_latency.median == 12


def test_somebody_still_inside_at_the_end_has_not_left() -> None:
    """An open visit lasts until the end of the trace, and its exit would be false."""
    assert scored([enter(100)], visit(100, None)).dwell_error is not None
    result = scored([enter(100)], visit(100, None))
    assert result.dwell_error is not None
    assert result.dwell_error.p95 == 0
    assert scored([enter(100), leave(300, 400)], visit(100, None)).false_exits == 1


def test_a_visitor_who_is_never_heard_is_a_missed_visit() -> None:
    """Nothing was published: one miss, no latency, no error."""
    result = scored([], visit(100, 700))
    assert result.missed_visits == 1
    assert result.enter_latency is result.exit_latency is result.dwell_error is None
    assert result.crossings.recall == 0


def test_two_visits_told_as_one_are_merged_and_not_missed() -> None:
    """She was out from 700 to 800, and nobody noticed."""
    result = scored([enter(100), leave(1500)], visit(100, 700), visit(800, 1500))
    assert (result.merged_visits, result.missed_visits, result.false_exits) == (1, 0, 0)
    assert result.exit_latency is not None
    assert result.exit_latency.count == 1


def test_a_visit_of_nobody_is_a_phantom() -> None:
    """She left at 700; a visit from 900 to 1000 is an invention."""
    events = [enter(100), leave(700), enter(900, visit="b"), leave(1000, visit="b")]
    assert scored(events, visit(100, 700)).phantom_visits == 1


def test_a_stranger_to_the_truth_is_a_phantom() -> None:
    """A claim about somebody the truth does not know is worth nothing."""
    assert scored([enter(900)]).phantom_visits == 1


def test_a_visit_claimed_for_a_fixture_is_neither_right_nor_wrong() -> None:
    """A demonstration phone is in at 5, moves at 50 and is out at 400: all that counts is v-1."""
    fixture = Fixture(visitor="v-2", zone="floor")
    truth = Truth(duration=3600, visits=(visit(100, 700),), fixtures=(fixture,))
    told = [
        event(kind, at, at, visit="b", visitor="v-2", **data)
        for kind, at, data in (
            ("enter", 5, {}),
            ("move", 50, {"zone": "shelf"}),
            ("exit", 400, {"exited_at": utc(400)}),
        )
    ]
    about_her = [enter(100), leave(700)]
    assert score(told + about_her, truth, BEGAN) == score(about_her, truth, BEGAN)
    assert score(told, truth, BEGAN).phantom_visits == 0
    strangers = truth.model_copy(update={"fixtures": ()})
    assert score(told, strangers, BEGAN).phantom_visits == 1


@pytest.mark.parametrize(("entered_at", "passers", "phantoms"), [(500, 1, 0), (560, 0, 1)])
def test_a_visit_opened_for_a_passer_by(entered_at: int, passers: int, phantoms: int) -> None:
    """She walked past from 490 to 530; a visit 30 s later has another cause."""
    walk = PassBy(visitor="v-1", begins=490, ends=530)
    truth = Truth(duration=3600, visits=(), passers_by=(walk,))
    result = score([enter(entered_at), leave(entered_at + 20)], truth, BEGAN)
    assert (result.passers_by_entered, result.phantom_visits) == (passers, phantoms)
    assert result.passer_by_fraction == passers


def test_latency_runs_from_the_first_packet_that_could_be_received() -> None:
    """In at 100, the phone spoke first at 160, the enter came at 163."""
    result = scored([enter(160, 163)], visit(100, None, receivable=160))
    assert result.enter_latency is not None
    assert result.enter_latency.median == 3


def test_an_enter_anywhere_in_the_written_window_is_right() -> None:
    """Somebody noted that she came in between 100 and 160."""
    truth = Truth(
        duration=3600,
        visits=(TrueVisit(visitor="v-1", entered=Window(lo=100, hi=160), exited=None),),
    )
    result = score([enter(150, 158)], truth, BEGAN)
    assert result.enter_latency is not None
    assert result.enter_latency.median == 0
    assert result.crossings.f1 == 1
    assert result.dwell_error is not None
    assert result.dwell_error.median == 0


def test_being_inside_when_the_trace_begins_is_no_crossing() -> None:
    """The enter at second 1 is no claim that she came in just then."""
    result = scored([enter(1), leave(50)], visit(None, 50))
    assert result.crossings.claimed == 1
    assert result.crossings.f1 == 1


def test_a_flap_costs_two_crossings() -> None:
    """One true exit at 700, and before it an exit and an enter that never were."""
    events = [enter(1), leave(300), enter(330, visit="b"), leave(705, visit="b")]
    result = scored(events, visit(None, 700))
    assert result.crossings.precision == pytest.approx(1 / 3)
    assert result.crossings.recall == 1


def test_zone_time_counts_seconds_and_leaves_out_what_nobody_knows() -> None:
    """Shoes to 100, then shoes or hats until 200, hats to 400; the agent moved her at 250."""
    crossing = Window(lo=100, hi=200)
    stays = (
        Stay(zone="shoes", entered=None, exited=crossing),
        Stay(zone="hats", entered=crossing, exited=None),
    )
    events = [enter(0, zone="shoes"), move(250, "hats")]
    result = scored(events, visit(None, None, *stays), duration=400)
    assert result.zone_time.true == 300
    assert result.zone_time.right == 250
    assert result.spurious_moves == 0


def test_a_flap_between_zones_is_one_spurious_move() -> None:
    """She stayed with the shoes: the move away is wrong, the move back is right."""
    stay = Stay(zone="shoes", entered=None, exited=None)
    events = [enter(0, zone="shoes"), move(1000, "hats"), move(1010, "shoes")]
    result = scored(events, visit(None, None, stay))
    assert (result.moves, result.spurious_moves) == (2, 1)
    assert result.spurious_moves_per_hour == 1
    assert result.zone_time.f1 == pytest.approx(3590 / 3600)


def test_a_documented_pass_through_is_neither_right_nor_wrong() -> None:
    """The log says that she went by the hats between 990 and 1020."""
    stay = Stay(zone="shoes", entered=None, exited=None)
    passing = PassThrough(visitor="v-1", zone="hats", begins=990, ends=1020)
    truth = Truth(duration=3600, visits=(visit(None, None, stay),), ignore=(passing,))
    events = [enter(0, zone="shoes"), move(1000, "hats"), move(1010, "shoes")]
    result = score(events, truth, BEGAN)
    assert result.spurious_moves == 0
    assert result.zone_time.f1 == 1


def test_a_gap_says_nothing_about_presence() -> None:
    """A tombstone among the events is passed over."""
    gap: Event = {"type": "presence.gap.v1", "data": {"from": 3, "to": 9, "reason": "age"}}
    assert scored([enter(100), gap], visit(100, None)).claimed_visits == 1


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([leave(5)], "event 1: an exit for a visit that is not open"),
        ([enter(1), enter(2)], "event 2: a second enter"),
        ([{"type": "presence.enter.v1"}], "event 1:"),
        ([enter(1), event("exit", 2, 2)], "event 2: an exit without exited_at"),
    ],
)
def test_events_that_break_the_contract_are_refused(events: list[Event], says: str) -> None:
    """The error tells which event, and why."""
    with pytest.raises(BadEventError, match=says):
        scored(events, visit(0, None))


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), max_size=6), st.data())
def test_the_truth_itself_scores_without_fault(
    stays: list[tuple[float, float]], data: st.DataObject
) -> None:
    """Whatever the visits, publishing them at once and exactly has no fault."""
    at, visits, events = 0.0, [], []
    for number, (away, inside) in enumerate(stays):
        entered, at = round(at + away, 3), round(at + away + inside, 3)
        visits.append(visit(entered, at))
        events += [enter(entered, visit=str(number)), leave(at, visit=str(number))]
    open_end = data.draw(st.booleans())
    if open_end and visits:
        visits[-1] = visit(entered, None)
        events.pop()
    result = scored(events, *visits, duration=at)
    assert result.false_exits == result.missed_visits == result.phantom_visits == 0
    assert result.merged_visits == 0
    assert result.crossings.f1 == (1.0 if visits else None)
    assert result.dwell_error is None or result.dwell_error.p95 == pytest.approx(0, abs=1e-6)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Events and truth of one good visit, as files."""
    events, truth = tmp_path / "events.jsonl", tmp_path / "truth.json"
    lines = [enter(100, 105), leave(700, 730)]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    Truth(started_at=BEGAN, duration=900, visits=(visit(100, 700),)).write(truth)
    return events, truth


def run(*arguments: object, stdin: str | None = None) -> tuple[int, str, str]:
    """Run the command alone: exit code, stdout, stderr."""
    app = typer.Typer()
    app.command()(score_command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_one_json_object(files: tuple[Path, Path]) -> None:
    """`--json` is for programs."""
    code, out, _err = run("--events", files[0], "--truth", files[1], "--json", "--tolerance", "2s")
    assert code == 0
    assert json.loads(out)["tolerance_s"] == 2
    assert json.loads(out)["exit_latency"] == {"count": 1, "median_s": 30, "p95_s": 30}


def test_the_command_prints_a_table(files: tuple[Path, Path]) -> None:
    """Without `--json` it is for people; events may come from stdin."""
    events = files[0].read_text(encoding="utf-8")
    code, out, _err = run("--events", "-", "--truth", files[1], stdin=events)
    assert code == 0
    assert "crossing F1" in out


def test_the_command_names_the_bad_line(files: tuple[Path, Path]) -> None:
    """Bad input is exit code 2, and the error says where."""
    files[0].write_text("{}\nnot json\n", encoding="utf-8")
    code, out, err = run("--events", files[0], "--truth", files[1])
    assert (code, out) == (2, "")
    assert "error: event 1" in err


@pytest.mark.parametrize("missing", [0, 1])
def test_the_command_needs_both_files(files: tuple[Path, Path], missing: int) -> None:
    """A file that is not there is exit code 2."""
    files[missing].unlink()
    code, _out, err = run("--events", files[0], "--truth", files[1])
    assert code == 2
    assert files[missing].name in err


def test_the_command_needs_to_know_when_the_trace_began(files: tuple[Path, Path]) -> None:
    """A truth without a clock is exit code 2 until `--started-at` gives one."""
    Truth(duration=900, visits=(visit(100, 700),)).write(files[1])
    code, _out, err = run("--events", files[0], "--truth", files[1])
    assert code == 2
    assert "--started-at" in err
    given_at = ("--started-at", "2026-11-01T09:00:00Z")
    assert run("--events", files[0], "--truth", files[1], *given_at)[0] == 0
