"""The judge of a fault run: what was committed, against what the hub applied. Pure.

| finding | meaning |
|---|---|
| lost | a number of an epoch, up to the highest committed, that no event and no tombstone covers |
| doubled | an event applied again, by its id or by its (source, epoch, seq) |
| out of order | an event applied after a later one of its epoch |
| altered | applied with another content than was committed, as far as the outbox still holds it |
| unknown | applied with a number that the outbox never gave, or that nobody told of |
| second enter | an enter of a visitor whose visit is open, or of a visit that has ended |
| unpaired | a dwell, move or exit without the enter of its visit |
| negative dwell | a stay shorter than nothing |
| orphaned | a visit that is open at the end, long after everybody has left |

Where it is known what was told to the outbox, contents are compared as well: a content outlives the
numbers of an epoch, so that an event carried over into the next and applied in both is doubled, and
one applied in neither is lost. A tombstone excuses as many contents as the numbers it covers that
never came, and the visits that they are missing from.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

__all__ = ["Books", "Content", "Findings", "Row", "Stream", "content_of", "judge"]

Stream = tuple[str, str]  # source, epoch
Content = tuple[str, str, str, str]  # source, visit, type, and when it happened
_GAP = "presence.gap.v1"


@dataclass(frozen=True, slots=True)
class Row:
    """An event as the hub applied it."""

    source: str
    id: str
    type: str
    epoch: str
    seq: int
    visitor: str | None
    visit: str | None
    body: str

    @property
    def stream(self) -> Stream:
        """Whose numbers its `seq` is of."""
        return self.source, self.epoch

    @property
    def last(self) -> int:
        """The last number it covers: its own, or the end of a tombstone's range."""
        return int(json.loads(self.body)["data"]["to"]) if self.type == _GAP else self.seq


@dataclass(frozen=True, slots=True)
class Books:
    """What both ends have on disk."""

    highest: Mapping[Stream, int]  # committed by the gateways
    kept: Mapping[tuple[Stream, int], str]  # bodies that the outbox still holds, by number
    applied: Sequence[Row]  # in the order of their application
    told: Sequence[Content] | None = None  # what the outboxes were given, where that is known

    @property
    def declared(self) -> int:
        """How many numbers are covered by tombstones alone."""
        events = {(row.stream, row.seq) for row in self.applied if row.type != _GAP}
        covered = {
            (row.stream, seq)
            for row in self.applied
            if row.type == _GAP
            for seq in range(row.seq, row.last + 1)
        }
        return len(covered - events)


@dataclass(slots=True)
class Findings:
    """How often each promise was broken."""

    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    altered: int = 0
    unknown: int = 0
    second_enters: int = 0
    unpaired: int = 0
    negative_dwells: int = 0
    orphaned: int = 0
    stories: list[str] = field(default_factory=list)  # the first few, to look into

    @property
    def counts(self) -> dict[str, int]:
        """The numbers, by name."""
        named = (item.name for item in fields(self) if item.name != "stories")
        return {name.replace("_", " "): getattr(self, name) for name in named}

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.counts.values())

    def tell(self, story: str, most: int = 20) -> None:
        """Keep one case for the report."""
        if len(self.stories) < most:
            self.stories.append(story)


def content_of(body: str | bytes) -> Content:
    """Tell what an event says, apart from its epoch and number."""
    event = json.loads(body)
    visit = event["data"].get("visit", "")
    return event["source"], visit, event["type"], event["time"]


def judge(books: Books) -> Findings:
    """Compare what was committed with what was applied."""
    findings = Findings()
    _judge_numbers(books, findings)
    _judge_contents(books, findings)
    excused = _judge_told(books, findings)
    _judge_visits([row for row in books.applied if row.visit not in excused], findings)
    return findings


def _judge_told(books: Books, findings: Findings) -> set[str]:
    """Compare contents; gives the visits that tombstones have torn."""
    if books.told is None:
        return set()
    told = Counter(books.told)
    came = Counter(content_of(row.body) for row in books.applied if row.type != _GAP)
    missing, surplus = told - came, came - told
    lost = missing.total() - books.declared
    if lost > 0:
        findings.lost = max(findings.lost, lost)
        findings.tell(f"{lost} contents are missing and not declared, as {next(iter(missing))}")
    doubled = sum(count for content, count in surplus.items() if content in told)
    findings.doubled = max(findings.doubled, doubled)
    if doubled:
        findings.tell(f"{doubled} contents were applied again")
    unknown = surplus.total() - doubled
    findings.unknown = max(findings.unknown, unknown)
    if unknown:
        findings.tell(f"{unknown} contents were applied that nobody told of")
    return {visit for _, visit, _, _ in missing} if books.declared else set()


def _judge_numbers(books: Books, findings: Findings) -> None:
    """Look for numbers that are missing, unknown or in the wrong order."""
    covered: dict[Stream, set[int]] = defaultdict(set)
    latest: dict[Stream, int] = defaultdict(int)
    for row in books.applied:
        covered[row.stream].update(range(row.seq, row.last + 1))
        if row.seq < latest[row.stream]:
            findings.out_of_order += 1
            findings.tell(f"{row.id} was applied after {latest[row.stream]}")
        latest[row.stream] = max(latest[row.stream], row.seq)
    for stream, highest in books.highest.items():
        missing = set(range(1, highest + 1)) - covered[stream]
        findings.lost += len(missing)
        if missing:
            findings.tell(f"{len(missing)} of {highest} are missing, the first {min(missing)}")
    for stream, numbers in covered.items():
        unknown = sum(number > books.highest.get(stream, 0) for number in numbers)
        findings.unknown += unknown
        if unknown:
            findings.tell(f"{unknown} numbers of epoch {stream[1]} were never committed")


def _judge_contents(books: Books, findings: Findings) -> None:
    """Look for events applied twice, or with another content."""
    events = [row for row in books.applied if row.type != _GAP]
    ids = Counter(row.id for row in events)
    numbers = Counter((row.stream, row.seq) for row in events)
    findings.doubled = max(_surplus(ids.values()), _surplus(numbers.values()))
    for twice in [id_ for id_, count in ids.items() if count > 1]:
        findings.tell(f"{twice} was applied {ids[twice]} times")
    for row in books.applied:
        body = books.kept.get((row.stream, row.seq))
        if body is not None and body != row.body:
            findings.altered += 1
            findings.tell(f"{row.id} is not what was committed")


def _surplus(counts: Iterable[int]) -> int:
    return sum(count - 1 for count in counts)


def _judge_visits(applied: Iterable[Row], findings: Findings) -> None:
    """Follow each visitor from enter to exit."""
    inside: dict[str, str] = {}  # visitor -> visit
    ended: set[str] = set()
    for row in applied:
        if row.visitor is None or row.visit is None:
            continue
        data = json.loads(row.body)["data"]
        if data.get("dwell_s", 0) < 0:
            findings.negative_dwells += 1
            findings.tell(f"{row.id} tells of a stay of {data['dwell_s']} s")
        if row.type == "presence.enter.v1":
            resumed = data.get("resumed", False)
            if row.visitor in inside or (row.visit in ended) != resumed:
                findings.second_enters += 1
                findings.tell(f"{row.id}: {row.visitor} enters again, without an exit between")
            inside[row.visitor] = row.visit
            continue
        if inside.get(row.visitor) != row.visit:
            findings.unpaired += 1
            findings.tell(f"{row.id}: {row.type} of a visit that is not open")
        elif row.type == "presence.exit.v1":
            del inside[row.visitor]
            ended.add(row.visit)
    findings.orphaned = len(inside)
    for visitor, visit in inside.items():
        findings.tell(f"{visitor} never left: visit {visit}")
