"""What a store teaches: labels by time, sums and no samples."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from edge_agent.model import Method
from edge_agent.track.survey import Spread, Stretch, Survey, loudness
from tests.track.story import GONE, Story


def stretch(levels: Iterable[float], side: tuple[int, float] | None = None) -> Stretch:
    """Give a stay in earshot, heard once a second at these levels."""
    one = Stretch(0.0)
    for at, level in enumerate(levels):
        one.add(float(at), level, level, side)
    return one


def taught(*stretches: Stretch, steady: bool = True) -> Survey:
    """Give what these taught."""
    survey = Survey()
    for one in stretches:
        one.teach(survey, steady=steady)
    return survey


def means(survey: Survey) -> tuple[float, float, float, float]:
    """Give the four mean levels: inside, edge, and the peaks of visitors and passers-by."""
    return (
        survey.inside.mean,
        survey.edge.mean,
        survey.visitor_peak.mean,
        survey.passer_peak.mean,
    )


def test_a_sample_moves_mean_and_spread_by_its_weight() -> None:
    """Six at -80 +- 6 and two at -72 +- 3: -78, and 27 + 2.25 + 12 dB squared, by hand."""
    spread = Spread(-80.0, 6.0, worth=6.0)
    spread.add(-72.0, 2.0, 3.0)
    assert spread.mean == pytest.approx(-78)
    assert spread.sd**2 == pytest.approx(27 + 2.25 + 12)
    assert spread.learnt == pytest.approx(8)


def test_between_two_equal_spreads_nothing_is_told() -> None:
    """And at the one's mean, 8 dB from the other's: 64 / 72; with as much blur again, half."""
    here, there = Spread(-74.0, 6.0), Spread(-82.0, 6.0)
    assert here.against(there, -78.0) == pytest.approx(0)
    assert here.against(there, -74.0) == pytest.approx(64 / 72)
    assert here.against(there, -74.0, blur=36.0) == pytest.approx(64 / 144)
    assert there.against(here, -74.0) == pytest.approx(-64 / 72)


def test_a_refitted_store_is_learnt_anew() -> None:
    """However long it was the other way, a bounded number of samples remembers it."""
    spread = Spread(-80.0, 6.0)
    for level in (-80.0, -70.0):
        for _ in range(3000):
            spread.add(level, 1.0)
    assert spread.mean == pytest.approx(-70, abs=0.5)
    assert spread.learnt < 1000


def test_no_store_is_so_uniform_that_a_decibel_decides() -> None:
    """A thousand times the same level leaves a spread of some dB."""
    spread = Spread(-80.0, 6.0)
    for _ in range(1000):
        spread.add(-80.0, 1.0)
    assert spread.sd >= 1


def test_minutes_make_a_visitor() -> None:
    """Ten of them at -70: the inside is louder than thought, and so is a visitor's peak."""
    before, after = Survey(), taught(stretch([-70.0] * 600))
    assert before.inside.mean < after.inside.mean <= -70
    assert before.visitor_peak.mean < after.visitor_peak.mean <= -70
    assert after.passer_peak.mean == before.passer_peak.mean


def test_less_than_a_minute_makes_a_passer_by() -> None:
    """Thirty seconds at -75: passers-by are louder than thought, of the inside nothing is told."""
    before, after = Survey(), taught(stretch([-75.0] * 30))
    assert before.passer_peak.mean < after.passer_peak.mean <= -75
    assert after.inside.mean == before.inside.mean
    assert after.visitor_peak.mean == before.visitor_peak.mean


def test_who_may_be_either_teaches_neither() -> None:
    """A hundred seconds: a short visit, or a long wait for a tram."""
    before, after = Survey(), taught(stretch([-75.0] * 100))
    assert means(after)[0] == means(before)[0]
    assert means(after)[2:] == means(before)[2:]


@pytest.mark.parametrize("seconds", [30, 100, 600])
def test_labels_are_by_time_alone(seconds: int) -> None:
    """Taken for a visitor or not, she teaches the same levels: no mistake confirms itself."""
    mistaken, right = stretch([-75.0] * seconds), stretch([-75.0] * seconds)
    mistaken.entered = True
    assert means(taught(mistaken)) == means(taught(right))


def test_a_visits_ends_were_not_in_the_middle_of_the_store() -> None:
    """A minute at -50 on each side of ten at -82: the inside is -82."""
    levels = [-50.0] * 60 + [-82.0] * 600 + [-50.0] * 60
    assert taught(*[stretch(levels) for _ in range(50)]).inside.mean == pytest.approx(-82, abs=0.5)


def test_a_visits_ends_were_at_the_edge_of_earshot() -> None:
    """Ten seconds of -94 on both sides, often: the edge is near -94."""
    levels = [-94.0] * 10 + [-75.0] * 400 + [-94.0] * 10
    assert taught(*[stretch(levels) for _ in range(80)]).edge.mean < -91


def test_a_phone_that_naps_does_not_show_the_edge() -> None:
    """It may have fallen silent anywhere: neither edge nor passers-by."""
    before, after = Survey(), taught(stretch([-70.0] * 30), stretch([-70.0] * 600), steady=False)
    assert after.edge.mean == before.edge.mean
    assert after.passer_peak.mean == before.passer_peak.mean
    assert after.inside.mean > before.inside.mean


def test_the_side_is_learnt_by_how_near_she_was() -> None:
    """A visit 20 dB louder inside, within some metres: that degree alone is learnt."""
    before, after = Survey(), taught(*[stretch([-60.0] * 600, (2, 20.0)) for _ in range(20)])
    assert after.side_in[2].mean > before.side_in[2].mean
    assert after.side_in[0].mean == before.side_in[0].mean
    assert after.side_out[2].mean == before.side_out[2].mean


def test_loudness_has_three_degrees() -> None:
    """At the edge, in the middle, and within some metres."""
    assert [loudness(dbm) for dbm in (-90.0, -73.0, -50.0)] == [0, 1, 2]


def test_a_stretch_holds_a_minute_of_levels_however_long_it_lasts() -> None:
    """It reaches inside to count what is kept after an hour and after ten."""
    kept = {hours: len(stretch([-75.0] * 3600 * hours)._pending) for hours in (1, 10)}
    assert kept[1] == kept[10] < 20


def test_a_store_of_faint_visitors_is_learnt() -> None:
    """A gateway in the cellar hears everybody at -86: the tenth visitor is found sooner."""
    story = Story()
    for number in range(10):
        begins = number * 3000
        story.walks(begins, begins + 10, (GONE, -86), who=f"v{number}")
        story.heard(range(begins + 10, begins + 600), -86, who=f"v{number}")
        story.walks(begins + 600, begins + 610, (-86, GONE), who=f"v{number}")
        story.until(begins + 2999)
    enters = story.events[::2]
    latencies = {e.visit.visitor: e.visit.decided_at - e.at for e in enters}
    assert story.outline == ["enter floor", "exit silence"] * 10
    assert latencies["v9"] < latencies["v0"]


def pass_by(story: Story, begins: int, who: str, peak: int) -> None:
    """Somebody walks past the window."""
    story.walks(begins, begins + 15, (GONE, peak), who=who)
    story.walks(begins + 15, begins + 30, (peak, GONE), who=who)
    story.until(begins + 999)


def test_a_busy_pavement_is_learnt() -> None:
    """Behind glass the first at -64 may be taken for a visitor; after forty of them nobody is."""
    story = Story()
    for number in range(50):
        pass_by(story, number * 1000, f"p{number}", -64)
    mistaken = {event.visit.visitor for event in story.events}
    assert not mistaken & {f"p{number}" for number in range(40, 50)}


def test_a_busy_pavement_hides_no_visitor() -> None:
    """After forty passers-by, one who stays for five minutes at -60 is found in her first."""
    story = Story()
    for number in range(40):
        pass_by(story, number * 1000, f"p{number}", -75)
    story.walks(50000, 50010, (GONE, -60))
    story.heard(range(50010, 50300), -60)
    (enter,) = (event for event in story.events if event.visit.visitor == "anna")
    assert enter.visit.decided_at < 50060


@pytest.mark.parametrize("method", [Method.APP, Method.TAG])
def test_one_short_stay_beside_the_gateway_blinds_no_store(method: Method) -> None:
    """Anna was heard for 20 s at -55 and switched her phone off; Bea, near, is found all the same.

    Within half a minute: one odd stay is no knowledge of passers-by, nor of the edge.
    """
    story = Story()
    story.heard(range(20), method=method)
    story.until(1700)
    story.heard(range(1700, 1900), who="bea")
    (enter,) = (event for event in story.events if event.visit.visitor == "bea")
    assert enter.visit.decided_at <= 1730


def test_a_stay_that_was_cut_short_teaches_no_edge() -> None:
    """The roster's lease ends while ten visitors stand mid-store: nobody was at the door."""
    story = Story()
    for at in range(30):
        for number in range(10):
            story.heard([at], -60, who=f"v{number}")
    before = means(story.store.survey)
    story.lease_ends(31)
    assert means(story.store.survey) == before
