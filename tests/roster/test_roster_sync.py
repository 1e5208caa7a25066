"""How a gateway comes by its roster: the state machine, and a hub at the end of a bad line."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.identify.misses import Misses
from edge_agent.identify.roster_manifest import (
    Manifest,
    Refusal,
    RosterRefusedError,
    chunk_place,
)
from edge_agent.identify.roster_signed import check_snapshot
from edge_agent.identify.roster_sync import CHUNK, EPOCH_S, RosterSync
from edge_agent.identify.sealing import unseal, verified

DECISIONS = Path(__file__).parents[2] / "edge_agent" / "decisions"
RECORD = DECISIONS / "2026-11-25-roster-over-mqtt.md"

P = 26_702
UNIX = P * EPOCH_S + 100.0


def manifest(seq: int, epoch: int = P, *, lease: int = 4, count: int = 100_000) -> Manifest:
    """Give a manifest as verified."""
    return Manifest(
        tenant="acme",
        store="0042",
        epoch=epoch,
        seq=seq,
        count=count,
        sha256="00" * 32,
        not_after=f"2026-11-25T{lease:02d}:00:00Z",
        consent_version="1",
    )


def syncing(newest_seq: int = 0) -> RosterSync:
    """Give one that is connected, with the least jitter."""
    sync = RosterSync(newest_seq, lambda: 0.0)
    sync.opened(0.0)
    return sync


def holding(seq: int) -> RosterSync:
    """Give one that holds the current epoch's content."""
    sync = syncing()
    sync.offered(manifest(seq), 0.0, UNIX)
    sync.loaded(manifest(seq))
    return sync


def test_a_snapshot_is_asked_for_until_it_has_come() -> None:
    """At once when the manifest is known; then ever more patiently; whole, never again."""
    sync = syncing()
    sync.offered(manifest(3), 0.0, UNIX)
    asked = [now for now in range(200) if sync.request(float(now), UNIX) is not None]
    assert asked[0] == 0
    assert len(asked) > 10
    for index in (1, 0):
        sync.chunk(P, 3, index, 2, b"sealed", 200.0)
    whole = sync.complete()
    assert whole is not None
    assert len(whole[1]) == 2
    sync.loaded(whole[0])
    assert sync.wanted(201.0, UNIX) == ()
    assert sync.held(P) == 3


def test_a_delta_applies_to_the_content_before_it_alone() -> None:
    """The next is taken, a double is not, and one beyond it asks for a snapshot."""
    sync = holding(3)
    assert [sync.follows(P, seq, 1.0) for seq in (4, 4, 3)] == [True, False, False]
    assert sync.wanted(1.0, UNIX) == ()
    assert not sync.follows(P, 6, 1.0)
    assert sync.held(P) == 4
    assert sync.wanted(1.0, UNIX) == (P,)


def test_a_later_lease_is_taken_without_a_snapshot() -> None:
    """The same content, signed anew; the shorter lease of an older copy changes nothing."""
    sync = holding(3)
    before = sync.lease(P)
    sync.offered(manifest(3, lease=8), 1.0, UNIX)
    later = sync.lease(P)
    sync.offered(manifest(3, lease=4), 2.0, UNIX)
    assert before is not None
    assert later == sync.lease(P) == before + 4 * 3600
    assert sync.wanted(99.0, UNIX) == ()


def test_an_older_seq_is_refused_also_after_a_restart() -> None:
    """Seven was accepted by the last life."""
    with pytest.raises(RosterRefusedError) as caught:
        syncing(7).offered(manifest(6), 0.0, UNIX)
    assert caught.value.refusal is Refusal.OLDER_SEQ


def test_two_epochs_are_held_and_the_older_goes_with_its_grace() -> None:
    """The next comes before it begins; the last is kept for a phone whose clock is slow."""
    sync = holding(3)
    before = (P + 1) * EPOCH_S - 3600.0
    assert sync.next_missing(before)
    assert not sync.next_missing(UNIX)
    sync.offered(manifest(3, P + 1), 0.0, before)
    sync.loaded(manifest(3, P + 1))
    assert not sync.next_missing(before)
    assert sync.expired((P + 1) * EPOCH_S + 179.0) == []
    assert sync.expired((P + 1) * EPOCH_S + 180.0) == [P]
    assert sync.held(P + 1) == 3


@pytest.mark.parametrize(
    ("seq", "index", "of", "octets"),
    [(2, 0, 1, 9), (3, 1, 1, 9), (3, 0, 0, 9), (3, 0, 1000, 9), (3, 0, 2, CHUNK + 49)],
)
def test_a_chunk_that_cannot_be_is_dropped(seq: int, index: int, of: int, octets: int) -> None:
    """Of another content, beyond the signed count's room, or too large."""
    sync = syncing()
    sync.offered(manifest(3, count=1000), 0.0, UNIX)
    sync.chunk(P, seq, index, of, bytes(octets), 0.0)
    sync.chunk(P, 3, 1, 2, b"", 0.0)
    assert sync.complete() is None


@given(
    fates=st.lists(st.sampled_from(["deliver", "lose", "double", "swap"]), max_size=60),
    changes=st.integers(1, 12),
)
def test_whatever_the_line_does_the_content_is_the_hubs_in_the_end(
    fates: list[str], changes: int
) -> None:
    """Deltas lost, doubled and reordered; then the line is good, and what is asked for comes."""
    sync, seq, line = holding(1), 1, list[int]()
    content = {1}
    for number in range(changes):
        seq += 1
        fate = fates[number] if number < len(fates) else "deliver"
        line += {"lose": [], "double": [seq, seq]}.get(fate, [seq])
        if fate == "swap" and len(line) > 1:
            line[-1], line[-2] = line[-2], line[-1]
    for delta in line:
        if sync.follows(P, delta, 1.0):
            assert delta == max(content) + 1
            content.add(delta)
    sync.offered(manifest(seq), 1.0, UNIX)
    for now in range(2, 400):
        request = sync.request(float(now), UNIX)
        if request is not None:
            sync.chunk(P, seq, 0, 1, b"sealed", float(now))
            whole = sync.complete()
            assert whole is not None
            sync.loaded(whole[0])
    assert sync.held(P) == seq
    assert sync.wanted(500.0, UNIX) == ()


def test_a_flood_of_unknown_identifiers_asks_twenty_a_second() -> None:
    """10,000 a second for ten seconds: a burst, then the bucket's rate; doubles are not asked."""
    misses = Misses()
    asked: list[bytes] = []
    for number in range(100_000):
        misses.heard(number.to_bytes(8), UNIX + number / 10_000)
        if number % 10_000 == 0:
            asked += misses.take()
    asked += misses.take()
    assert 180 <= len(asked) <= 240
    misses.heard(asked[0], UNIX + 20)
    assert misses.take() == []


def test_the_decision_records_vector_opens() -> None:
    """What a hub team would implement from: the signature verifies, the chunk unseals."""
    text = RECORD.read_text(encoding="utf-8").partition("**Vector.**")[2]
    canonical = next(line.strip() for line in text.splitlines() if line.startswith("    {"))
    snapshot, signature, sealed = re.findall(r"`([0-9a-zA-Z+/=]{60,})`", text)[1:4]
    public_key = bytes.fromhex(re.findall(r"`([0-9a-f]{64})`", text)[0])
    assert verified(public_key, base64.b64decode(signature), canonical.encode())
    place = chunk_place("acme", "0042", "gw-1", P, 1, 0, 1)
    plain = unseal(bytes.fromhex(sealed), bytes(range(32, 64)), place)
    assert plain.hex() == snapshot
    told = Manifest.model_validate_json(canonical)
    assert told.canonical() == canonical.encode()
    assert len(check_snapshot(told, plain)) == 1
