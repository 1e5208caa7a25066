from __future__ import annotations

import json
from typing import Any

from simulators.fault_oracle import Books, Findings, Row, judge

SOURCE = "/acme/0042/gw-1"
STREAM = (SOURCE, "e")


def row(seq: int, kind: str, who: str = "ann", visit: str = "visit-1", **data: Any) -> Row:
    """Tell that the hub applied an event."""
    return Row(
        SOURCE,
        f"gw-1:e:{seq}",
        f"presence.{kind}.v1",
        "e",
        seq,
        who,
        visit,
        json.dumps({"data": {"visit": visit} | data}),
    )


def gap(first: int, last: int) -> Row:
    """Tell that the hub applied a tombstone."""
    body = json.dumps({"data": {"from": first, "to": last}})
    return Row(SOURCE, f"gw-1:e:{first}", "presence.gap.v1", "e", first, None, None, body)


def judged(highest: int, *applied: Row, kept: dict[int, str] | None = None) -> Findings:
    """Judge a hub's rows against an outbox that gave `highest` numbers."""
    held = {(STREAM, seq): body for seq, body in (kept or {}).items()}
    return judge(Books({STREAM: highest}, held, applied))


def broken(findings: Findings) -> dict[str, int]:
    """Give only what was found."""
    return {name: count for name, count in findings.counts.items() if count}


VISIT = (row(1, "enter"), row(2, "dwell", dwell_s=2.0), row(3, "exit", dwell_s=3.0))


def test_a_whole_visit_is_clean() -> None:
    """Enter, dwell and exit of one visit, all applied once and in order, break no promise."""
    assert judged(3, *VISIT).clean


def test_a_missing_number_is_a_loss() -> None:
    """The dwell of a visit did not come: one event is lost."""
    assert broken(judged(3, VISIT[0], VISIT[2])) == {"lost": 1}


def test_a_missing_end_is_a_loss() -> None:
    """The outbox gave five numbers and the hub has three: two events are lost."""
    findings = judged(5, *VISIT)
    assert broken(findings) == {"lost": 2}
    assert findings.stories == ["2 of 5 are missing, the first 4"]


def test_an_epoch_the_hub_never_saw_is_a_loss() -> None:
    """Nothing at all was applied: everything is lost."""
    assert broken(judged(3)) == {"lost": 3}


def test_a_tombstone_covers_its_range() -> None:
    """Numbers declared dropped are not lost."""
    assert judged(8, *VISIT, gap(4, 8)).clean


def test_an_event_applied_twice_is_doubled() -> None:
    """The same dwell twice is one doubling."""
    assert broken(judged(3, *VISIT[:2], VISIT[1], VISIT[2])) == {"doubled": 1}


def test_one_number_with_two_ids_is_doubled() -> None:
    """Two events under one number: one of them is too many."""
    other = Row(SOURCE, "another", "presence.dwell.v1", "e", 2, "ann", "visit-1", VISIT[1].body)
    assert broken(judged(3, *VISIT[:2], other, VISIT[2])) == {"doubled": 1}


def test_an_event_after_a_later_one_is_out_of_order() -> None:
    """Dwell 3 before dwell 2 is a disorder."""
    swapped = (row(1, "enter"), row(3, "dwell"), row(2, "dwell"), row(4, "exit"))
    assert broken(judged(4, *swapped)) == {"out of order": 1}


def test_another_content_is_an_alteration() -> None:
    """The outbox holds another dwell under number 2 than the hub applied."""
    assert broken(judged(3, *VISIT, kept={1: VISIT[0].body, 2: "{}"})) == {"altered": 1}


def test_a_number_never_given_is_unknown() -> None:
    """The hub applied three numbers of an outbox that remembers two."""
    assert broken(judged(2, *VISIT)) == {"unknown": 1}


def test_another_epoch_is_unknown() -> None:
    """The hub applied an epoch that the outbox has forgotten."""
    assert broken(judge(Books({}, {}, VISIT))) == {"unknown": 3}


def test_an_enter_of_one_who_is_in_is_a_second_enter() -> None:
    """After a restart the same visitor enters again, in a new visit, without an exit."""
    again = row(2, "enter", visit="visit-2")
    assert broken(judged(3, VISIT[0], again, row(3, "exit", visit="visit-2"))) == {
        "second enters": 1
    }


def test_an_enter_of_an_ended_visit_is_a_second_enter() -> None:
    """A visit that was exited enters again without saying that it resumes."""
    again = (row(4, "enter"), row(5, "exit"))
    assert broken(judged(5, *VISIT, *again)) == {"second enters": 1}


def test_a_resumed_visit_is_no_second_enter() -> None:
    """An exit may be taken back."""
    again = (row(4, "enter", resumed=True), row(5, "exit"))
    assert judged(5, *VISIT, *again).clean


def test_a_later_visit_is_no_second_enter() -> None:
    """She may come again."""
    again = (row(4, "enter", visit="visit-2"), row(5, "exit", visit="visit-2"))
    assert judged(5, *VISIT, *again).clean


def test_an_exit_of_another_visit_is_unpaired() -> None:
    """She entered one visit and left another: the exit has no enter, and the visit no exit."""
    findings = judged(2, VISIT[0], row(2, "exit", visit="visit-2"))
    assert broken(findings) == {"unpaired": 1, "orphaned": 1}


def test_a_dwell_after_the_exit_is_unpaired() -> None:
    """Nobody dwells who has left."""
    assert broken(judged(4, *VISIT, row(4, "dwell"))) == {"unpaired": 1}


def test_a_visit_still_open_is_an_orphan() -> None:
    """Everybody has left, and one visit never ended."""
    assert broken(judged(2, *VISIT[:2])) == {"orphaned": 1}


def test_a_stay_below_zero_is_found() -> None:
    """No stay is shorter than nothing."""
    assert broken(judged(2, VISIT[0], row(2, "exit", dwell_s=-0.5))) == {"negative dwells": 1}
