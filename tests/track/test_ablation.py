"""Every kind of evidence can be left out, to measure what it is worth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_agent.model import Method, Sign
from edge_agent.track.store import KINDS
from tests.track.story import FAINT, GONE, NEAR, Story


def stays_faint(story: Story) -> None:
    """She is heard for long, at the edge."""
    story.heard(range(400), FAINT + 3)


def comes_near(story: Story) -> None:
    """She is beside the gateway at once."""
    story.heard(range(200), NEAR)


def goes_out(story: Story) -> None:
    """She is loud inside, then loud outside."""
    for at in range(120):
        near, far = ("gw-1", "gw-4") if at < 60 else ("gw-4", "gw-1")
        story.heard([at], NEAR, gateway=near)
        story.heard([at + 0.5], -75, gateway=far)


def fades(story: Story) -> None:
    """Her iPhone is walked to the door, and a little back."""
    story.heard(range(100), -65, method=Method.APP_IOS)
    story.walks(100, 110, (-65, -82), method=Method.APP_IOS)


def naps(story: Story) -> None:
    """Her phone falls silent again and again before she leaves."""
    for begins in range(0, 600, 120):
        story.heard(range(begins, begins + 60), -70)
    story.walks(600, 620, (-70, GONE))


def associates(story: Story) -> None:
    """Her station joins the store's network."""
    story.wifi(Sign.ASSOCIATED, 0)


def comes_faintly_day_by_day(story: Story) -> None:
    """Visitors of a store that hears everybody at -86."""
    for number in range(5):
        begins = 3000 * number
        story.heard(range(begins, begins + 600), -86, who=f"v{number}")
        story.walks(begins + 600, begins + 610, (-86, GONE), who=f"v{number}")
        story.until(begins + 2999)


TELLING: dict[str, Callable[[Story], None]] = {
    "time": stays_faint,
    "level": comes_near,
    "side": goes_out,
    "trend": fades,
    "naps": naps,
    "wifi": associates,
    "learning": comes_faintly_day_by_day,
}


def told(kind: str, without: frozenset[str]) -> list[object]:
    """Give what is told of the story for a kind of evidence, and when."""
    story = Story(without=without)
    TELLING[kind](story)
    story.until(20000)
    return [(words, e.visit.decided_at) for words, e in zip(story.told, story.events, strict=True)]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_evidence_counts(kind: str) -> None:
    """Left out, the story that rests on it ends differently."""
    assert told(kind, frozenset()) != told(kind, frozenset({kind}))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_store_without_any_kind_still_ends_its_visits(kind: str) -> None:
    """Left out, each alone or all together: enters and exits alternate."""
    for without in (frozenset({kind}), KINDS):
        story = Story(without=without)
        TELLING[kind](story)
        story.until(20000)
        kinds = [words.split()[0] for words in story.told if not words.startswith("move")]
        assert kinds[::2] == ["enter"] * (len(kinds) // 2)
        assert kinds[1::2] == ["exit"] * (len(kinds) // 2)


def test_an_unknown_kind_is_refused() -> None:
    """It says which kinds there are."""
    with pytest.raises(ValueError, match="side"):
        Story(without={"moonlight"})
