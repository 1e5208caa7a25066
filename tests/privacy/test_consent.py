"""Who is known, where, and for how long: consent as the code enforces it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.clock import VirtualClock
from edge_agent.config import Config, ConfigError, read_config
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from edge_agent.identify.roster_signed import Bundle, RosterRefusedError, open_bundle
from edge_agent.model import PortalAction, PortalEvent, RadioAddress
from edge_agent.pipeline import Pipeline
from edge_agent.publish.outbox import Outbox
from edge_agent.rosters import read_roster
from simulators.pseudonyms import pseudonym
from simulators.signed_roster import sign_bundle
from tests.identify.air import ANNA, BEGAN, IK, listening, phone_of
from tests.privacy.test_day import spellings
from tests.publish.stories import composer, drafted, dwell, enter, leave

HERS, ANOTHER = "9f3c21d05e7b48a6b1c4d8e2f0735a96", "c2" * 16
USERS = [f"user-{n}@shop.example" for n in range(100)]
STORE_KEYS = {"0042": bytes(range(32)), "0043": bytes(range(1, 33))}
SIGNING_KEY = bytes(range(32))
PUBLIC_KEY = Ed25519PrivateKey.from_private_bytes(SIGNING_KEY).public_key().public_bytes_raw().hex()

PRODUCTION = f"""tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = {{ url = "mqtts://broker.example" }}
roster = {{ file = "roster.json", public_key = "{PUBLIC_KEY}" }}
"""


def configured(folder: Path, text: str = PRODUCTION) -> Config:
    """Read a configuration of this text."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def signed(seq: int = 1, lease: float = 3600.0, key: bytes = SIGNING_KEY) -> Bundle:
    """Give a roster with her on it."""
    return sign_bundle(
        [Member(HERS)],
        key,
        tenant="acme",
        store="0042",
        epoch=BEGAN >> 16,
        seq=seq,
        not_after=BEGAN + lease,
    )


def tampered() -> Bundle:
    """Give a roster whose lease somebody has made longer."""
    bundle = signed()
    longer = bundle.manifest.model_copy(update={"not_after": "2099-01-01T00:00:00Z"})
    return bundle.model_copy(update={"manifest": longer})


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (lambda: signed(seq=8, lease=-1.0), "lease-expired"),
        (lambda: signed(key=bytes(32)), "wrong-key"),
        (tampered, "wrong-key"),
        (lambda: signed(seq=6), "older-seq"),
    ],
    ids=["expired", "wrong signature", "tampered", "rolled back"],
)
def test_a_roster_that_does_not_hold_puts_nobody_on_it(
    tmp_path: Path, bundle: Callable[[], Bundle], reason: str
) -> None:
    """Expired, signed by another, changed or older than one seen before: nothing of it is used."""
    config = configured(tmp_path)
    (tmp_path / "roster.json").write_text(bundle().model_dump_json(), encoding="utf-8")
    with pytest.raises(RosterRefusedError, match=reason):
        read_roster(config, newest_seq=7, unix=lambda: BEGAN)


def test_without_any_roster_nobody_is_known(tmp_path: Path) -> None:
    """A key and no file: the agent runs, and nobody is on the roster."""
    no_file = PRODUCTION.replace('file = "roster.json", ', "")
    roster = read_roster(configured(tmp_path, no_file), newest_seq=0, unix=lambda: BEGAN)
    assert len(roster.visitors) == 0


def test_until_the_clock_is_synchronised_nobody_is_known() -> None:
    """A member's phone is heard, and means nothing: its identifier cannot be dated."""
    identifier = listening(ANNA, unix=None)
    assert identifier.identify(phone_of(IK, BEGAN)) is None
    assert identifier.counts["unsynchronised"] == 1


@pytest.mark.parametrize(
    ("was", "becomes", "path"),
    [
        ("mqtts://broker.example", "mqtt://broker.example", "mqtt.url"),
        (f', public_key = "{PUBLIC_KEY}"', "", "roster.file"),
        (f'public_key = "{PUBLIC_KEY}"', 'public_key = ""', "roster.public_key"),
    ],
    ids=["plaintext", "unsigned", "an empty key"],
)
def test_production_refuses_plaintext_and_unsigned(
    tmp_path: Path, was: str, becomes: str, path: str
) -> None:
    """Each needs a word of its own that no production file has; the default is to refuse."""
    assert configured(tmp_path).roster.public_key
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, PRODUCTION.replace(was, becomes))
    assert [fault.path for fault in refused.value.faults] == [path]


def enters(store: str) -> list[dict[str, object]]:
    """Let every user sign in at a store; gives the data of the events."""
    names = [pseudonym(STORE_KEYS[store], user) for user in USERS]
    config = Config(
        tenant="acme",
        store=store,
        gateway="gw-1",
        mqtt={"url": "mqtts://broker.example"},  # type: ignore[arg-type] # as a file gives it
        roster={"public_key": PUBLIC_KEY},  # type: ignore[arg-type]
    )
    epoch = BEGAN >> 16
    bundle = sign_bundle(
        [Member(name) for name in names],
        SIGNING_KEY,
        tenant="acme",
        store=store,
        epoch=epoch,
        seq=1,
        not_after=BEGAN + 3600.0,
    )
    directory = Directory(_opened(bundle, store))
    pipeline = Pipeline(config, directory, VirtualClock(BEGAN), "boot-1")
    decided = [
        one
        for n, name in enumerate(names)
        for one in pipeline.feed(
            PortalAction(1.0, "gw-1", PortalEvent.BOUND, RadioAddress(n), name)
        )
    ]
    return [draft.data.model_dump(mode="json") for draft, _ in decided]


def test_two_stores_share_no_name_for_a_shopper() -> None:
    """A hundred users in both stores: no pseudonym and no visit of one is found in the other."""
    here, there = enters("0042"), enters("0043")
    for member in ("visitor", "visit"):
        names = {str(event[member]) for event in here}, {str(event[member]) for event in there}
        assert len(names[0]) == len(names[1]) == len(USERS)
        assert names[0].isdisjoint(names[1])


def _opened(bundle: Bundle, store: str) -> Roster:
    return open_bundle(
        bundle,
        public_key=bytes.fromhex(PUBLIC_KEY),
        tenant="acme",
        store=store,
        newest_seq=0,
        unix=float(BEGAN),
    )


def files(folder: Path) -> bytes:
    """Give every octet of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_an_erasure_reaches_the_freelist_and_the_log(tmp_path: Path) -> None:
    """Her events fill pages that are freed when they go: no page, log or index still holds her.

    Others' events lie between hers, and are all there. Looks inside: for the count of free pages.
    """
    writer = composer()
    others = 0
    with Outbox.open(tmp_path / "outbox.db") as outbox:
        for number in range(300):
            who = HERS if number % 3 else ANOTHER
            events = (enter(who, number=number), dwell(who, number=number), leave(who))
            pairs = drafted(writer, *events)
            visits = [visit for _, visit in pairs]
            outbox.commit([draft for draft, _ in pairs], writer.number, visits)
            others += 0 if number % 3 else len(pairs)
        assert HERS.encode() in files(tmp_path)
        assert outbox.erase(HERS, writer.gap) == 600
        free = outbox._db.execute("PRAGMA freelist_count").fetchone()[0]
        kept = [body for _, body in outbox.read(1, 900) if ANOTHER.encode() in body]
        stored = files(tmp_path)
    assert free > 10
    assert len(kept) == others
    for left in (stored, files(tmp_path)):
        assert [form for form in spellings(HERS) if form in left] == []
