"""What the demo shows: a live view for a terminal, lines for everything else, and the summary."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from rich.console import Console, Group
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge_agent.publish.publisher import DeliveryState

if TYPE_CHECKING:
    from simulators.demo import Outcome

__all__ = ["LiveView", "PlainView", "View", "print_summary"]

FEED: Final = 200
_COLOURS: Final = {"enter": "green", "dwell": "cyan", "move": "yellow", "exit": "magenta"}


class View(Protocol):
    """Shows a demo while it runs."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""

    def applied(self, event: dict[str, Any]) -> None:
        """Take in an event that the hub has applied."""

    def show(self, unix: float, delivery: DeliveryState, heard: int) -> None:
        """Show how things are at store time `unix`, with so many advertisements heard."""


def _line(event: dict[str, Any]) -> Text:
    """Tell an event in a line."""
    kind, data = event["type"].split(".")[1], event["data"]
    text = Text(f"{event['time'][11:19]}  ")
    text.append(f"{kind:<6}", style=_COLOURS.get(kind, ""))
    text.append(f" {event.get('subject', ''):<9}")
    if kind == "enter":
        text.append("is back" if data.get("resumed") else f"came in, {data['zone']}")
        text.append(f"  ({data['confidence']:.0%} sure, {'+'.join(data['sources'])})", style="dim")
    elif kind == "dwell":
        text.append(f"has stayed {data['milestone_s'] // 60} min")
    elif kind == "move":
        text.append(f"{data['from_zone']} -> {data['zone']}")
    elif kind == "exit":
        text.append(f"left after {_minutes(data['dwell_s'])}")
        text.append(f"  ({data['reason']}, known {_lag(data):.0f} s later)", style="dim")
    return text


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def _lag(data: dict[str, Any]) -> float:
    decided, left = (datetime.fromisoformat(data[key]) for key in ("decided_at", "exited_at"))
    return (decided - left).total_seconds()


class PlainView:
    """Prints each event in a line."""

    def __init__(self, speed: float) -> None:
        """Say how fast the clock runs."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._console.print(f"A simulated store, {speed:.0f} times as fast; what the hub applies:")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def applied(self, event: dict[str, Any]) -> None:
        """Print an event."""
        self._console.print(_line(event))

    def show(self, unix: float, delivery: DeliveryState, heard: int) -> None:
        """Lines say it all."""


class LiveView:
    """Fills the terminal: who is in, the event feed, and how delivery is."""

    def __init__(self, speed: float) -> None:
        """Prepare the screen."""
        self._speed = speed
        self._inside: dict[str, tuple[str, datetime]] = {}  # visitor -> zone, entered
        self._feed: deque[Text] = deque(maxlen=FEED)
        self._layout = Layout()
        self._layout.split_column(Layout(name="body"), Layout(name="delivery", size=4))
        self._layout["body"].split_row(Layout(name="inside"), Layout(name="feed", ratio=2))
        self._live = Live(self._layout, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def applied(self, event: dict[str, Any]) -> None:
        """Take in an event that the hub has applied."""
        data = event["data"]
        if event["type"] == "presence.exit.v1":
            self._inside.pop(data["visitor"], None)
        elif "visitor" in data:
            entered = datetime.fromisoformat(data["entered_at"])
            self._inside[data["visitor"]] = (data["zone"], entered)
        self._feed.append(_line(event))

    def show(self, unix: float, delivery: DeliveryState, heard: int) -> None:
        """Draw."""
        now = datetime.fromtimestamp(unix, UTC)
        inside = Table("visitor", "zone", "since", "for", expand=True, box=None)
        for visitor, (zone, entered) in self._inside.items():
            stay = max(0.0, (now - entered).total_seconds())
            inside.add_row(visitor, zone, f"{entered:%H:%M}", _minutes(stay))
        height = max(1, self._live.console.height - 7)
        feed = list(self._feed)[-height:]
        link = "connected" if delivery.connected else delivery.detail
        told = Text(
            f"broker {link} · {delivery.watermark} events confirmed by the hub ·"
            f" {delivery.outstanding} on their way · {delivery.pending} not stored yet\n"
            f"radio: {heard} advertisements heard"
        )
        self._layout["inside"].update(Panel(inside, title=f"in the store: {len(self._inside)}"))
        self._layout["feed"].update(
            Panel(Group(*feed), title=f"the hub's feed · {now:%H:%M:%S}, x{self._speed:.0f}")
        )
        self._layout["delivery"].update(Panel(told, title="delivery"))
        self._live.refresh()


def print_summary(outcome: Outcome) -> None:
    """Print what was delivered, and what it is worth against the truth."""
    table = Table(title="What the hub was told, against who was there", show_header=False)
    table.add_row("store time played", _minutes(outcome.played_s))
    table.add_row("events stored by the agent", str(outcome.decided))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.applied.items()))
    table.add_row("events applied by the hub", f"{outcome.applied.total()} ({kinds or 'none'})")
    table.add_row("lost, doubled", f"{outcome.lost}, {outcome.doubled}")
    worth = outcome.score
    if worth is not None:
        table.add_section()
        table.add_row("visits, true / told", f"{worth.true_visits} / {worth.claimed_visits}")
        table.add_row("visits missed", str(worth.missed_visits))
        table.add_row("visits whose phone was never in earshot", str(outcome.unheard))
        table.add_row("false exits (she was still there)", str(worth.false_exits))
        table.add_row(
            "passers-by taken for visitors", f"{worth.passers_by_entered} of {worth.passers_by}"
        )
        for what, spread in (
            ("enter known after", worth.enter_latency),
            ("exit known after", worth.exit_latency),
            ("length of stay wrong by", worth.dwell_error),
        ):
            told = "-" if spread is None else f"{spread.median:.0f} s (median of {spread.count})"
            table.add_row(what, told)
    Console(highlight=False).print(table)
