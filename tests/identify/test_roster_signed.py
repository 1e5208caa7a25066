"""The signed roster: accepted whole, or refused whole with a reason."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.identify.roster import Member, Roster
from edge_agent.identify.roster_signed import (
    Bundle,
    Refusal,
    RosterRefusedError,
    open_bundle,
    read_bundle,
    read_public_key,
)
from simulators.credentials import temporary_key
from simulators.signed_roster import sign_bundle
from tests.identify.air import BEGAN, IK, IRK

SEED = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
EPOCH = BEGAN >> 16
ANNA, BEA = "a1" * 16, "b2" * 16
MEMBERS = [
    Member(ANNA, temporary_keys={EPOCH: temporary_key(IK, BEGAN)}, wifi_keyid="k-ä"),
    Member(BEA, ibeacon=bytes(range(20)), eddystone_uid=bytes(16), irk=IRK, staff=True),
]


def signed(**changes: Any) -> Bundle:
    """Give a roster as the hub signs it, four hours of lease."""
    terms: dict[str, Any] = {
        "tenant": "acme",
        "store": "0042",
        "epoch": EPOCH,
        "seq": 7,
        "not_after": BEGAN + 14_400.0,
    }
    return sign_bundle(MEMBERS, SEED, **(terms | changes))


def resigned(bundle: Bundle, *, snapshot: bytes | None = None, **changes: Any) -> Bundle:
    """Sign a manifest with changes, over another snapshot if there is one."""
    octets = base64.b64decode(bundle.snapshot) if snapshot is None else snapshot
    if snapshot is not None:
        changes = {"sha256": hashlib.sha256(octets).hexdigest()} | changes
    manifest = bundle.manifest.model_copy(update=changes)
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(manifest.canonical())
    return Bundle(
        manifest=manifest,
        signature=base64.b64encode(signature).decode(),
        snapshot=base64.b64encode(octets).decode(),
    )


def opened(bundle: Bundle, *, newest_seq: int = 0, unix: float = BEGAN) -> Roster:
    """Open a bundle as store 0042 of acme does."""
    return open_bundle(
        bundle, public_key=KEY, tenant="acme", store="0042", newest_seq=newest_seq, unix=unix
    )


def refusal(open_it: Callable[[], object]) -> Refusal:
    """Say why a bundle is refused."""
    with pytest.raises(RosterRefusedError) as caught:
        open_it()
    return caught.value.refusal


def test_a_good_roster_is_accepted() -> None:
    """Pseudonyms, keys and every typed field come out as the hub put them in."""
    roster = opened(signed())
    keys, owners = roster.keys_of_epoch(EPOCH)
    assert [roster.visitors[i] for i in range(len(roster.visitors))] == [ANNA, BEA]
    assert (keys.tobytes(), owners.tolist()) == (temporary_key(IK, BEGAN), [0])
    assert roster.wifi_keyids == {"k-ä": 0}
    assert roster.ibeacons == {bytes(range(20)): 1}
    assert roster.eddystone_uids == {bytes(16): 1}
    assert (roster.irks[0].tobytes(), roster.irks[1].tolist()) == (IRK, [1])
    assert roster.staff == {1}
    assert (roster.seq, roster.not_after) == (7, BEGAN + 14_400)


def test_a_roster_is_read_from_its_file(tmp_path: Path) -> None:
    """Manifest, signature and snapshot in one JSON object."""
    path = tmp_path / "roster.json"
    path.write_text(signed().model_dump_json(), encoding="utf-8")
    assert len(opened(read_bundle(path)).visitors) == 2


def test_another_hubs_roster_is_refused() -> None:
    """Signed with a key that is not in the configuration."""
    bundle = sign_bundle(
        MEMBERS, bytes(32), tenant="acme", store="0042", epoch=EPOCH, seq=7, not_after=BEGAN + 9.0
    )
    assert refusal(lambda: opened(bundle)) is Refusal.WRONG_KEY


@pytest.mark.parametrize("change", [{"seq": 8}, {"count": 1}, {"consent_version": "2"}])
def test_a_changed_manifest_is_refused(change: dict[str, Any]) -> None:
    """The signature covers every field of it."""
    bundle = signed()
    changed = bundle.model_copy(update={"manifest": bundle.manifest.model_copy(update=change)})
    assert refusal(lambda: opened(changed)) is Refusal.WRONG_KEY


@pytest.mark.parametrize("change", [{"store": "0043"}, {"tenant": "other"}])
def test_another_stores_roster_is_refused(change: dict[str, Any]) -> None:
    """Well signed, for somebody else."""
    assert refusal(lambda: opened(signed(**change))) is Refusal.WRONG_STORE


def test_an_older_roster_is_refused_and_the_same_is_not() -> None:
    """A rollback would bring withdrawn consent back; a restart reads the newest again."""
    assert refusal(lambda: opened(signed(), newest_seq=8)) is Refusal.OLDER_SEQ
    assert opened(signed(), newest_seq=7).seq == 7


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_roster_whose_lease_is_over_is_refused(late: float) -> None:
    """From the instant of `not_after` on."""
    over = BEGAN + 14_400.0 + late
    assert refusal(lambda: opened(signed(), unix=over)) is Refusal.LEASE_EXPIRED
    assert opened(signed(), unix=BEGAN + 14_399.0).not_after == BEGAN + 14_400


def test_a_changed_snapshot_is_refused() -> None:
    """One bit of one record."""
    bundle = signed()
    octets = bytearray(base64.b64decode(bundle.snapshot))
    octets[0] ^= 1
    changed = bundle.model_copy(update={"snapshot": base64.b64encode(octets).decode()})
    assert refusal(lambda: opened(changed)) is Refusal.WRONG_CONTENT


def record(fields: bytes, length: int | None = None) -> bytes:
    """Give a record of Anna's with these octets of fields."""
    return bytes.fromhex(ANNA) + bytes(16) + (length or len(fields)).to_bytes(2) + fields


@pytest.mark.parametrize(
    "snapshot",
    [
        record(b"")[:-1],
        record(b"", length=1),
        record(b"\x05"),
        record(b"\x03\x10" + bytes(15)),
        record(b"\x03\x0f" + bytes(15)),
        record(b"\x01\x10" + bytes(16)),
        record(b"\x04\x01\xff"),
        b"",
        record(b"") * 2,
    ],
    ids=["head", "fields", "field", "value", "irk", "ibeacon", "utf-8", "none", "two"],
)
def test_a_snapshot_that_does_not_add_up_is_refused(snapshot: bytes) -> None:
    """Records and fields cut off, of another size or number than signed for."""
    bundle = resigned(signed(), snapshot=snapshot, count=1)
    assert refusal(lambda: opened(bundle)) is Refusal.WRONG_CONTENT


def test_a_field_of_a_later_version_is_skipped() -> None:
    """Type 200 between two known fields: they are read all the same."""
    snapshot = record(b"\xc8\x03abc" + b"\x04\x01k" + b"\xff\x00" + b"\x05\x00")
    roster = opened(resigned(signed(), snapshot=snapshot, count=1))
    assert roster.wifi_keyids == {"k": 0}
    assert roster.staff == {0}


def test_a_key_of_zeros_means_no_app() -> None:
    """A member with only a tag has no temporary key, and nobody's phone is hers."""
    roster = opened(resigned(signed(), snapshot=record(b""), count=1))
    assert len(roster.keys_of_epoch(EPOCH)[0]) == 0


def test_a_signature_covers_what_the_hub_sent() -> None:
    """A hub that writes `.000Z` signs that text; canonical JSON does not rewrite strings."""
    bundle = signed()
    manifest = bundle.manifest.model_dump(mode="json") | {
        "not_after": datetime.fromtimestamp(BEGAN + 14_400, UTC).isoformat(timespec="milliseconds")
    }
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(rfc8785.dumps(manifest))
    sent = Bundle.model_validate(
        {
            "manifest": manifest,
            "signature": base64.b64encode(signature).decode(),
            "snapshot": bundle.snapshot,
        }
    )
    assert opened(sent).not_after == BEGAN + 14_400


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "no base64!"},
        {"signature": "käse"},
        {"snapshot": "AAA"},
        {"snapshot": "käse"},
    ],
)
def test_octets_that_are_not_base64_are_refused(change: dict[str, str]) -> None:
    """Refused like every other bundle, so that the roster in force stays."""
    bundle = signed().model_copy(update=change)
    assert refusal(lambda: opened(bundle)) is Refusal.MALFORMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"v":1', '"v":2'),
        ('"seq":7', '"seq":-1'),
        ('"seq":7', f'"seq":{1 << 53}'),
        ('"signature"', '"sig"'),
        ('Z","consent', '","consent'),  # a lease without a time zone
        ("{", "["),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, old: str, new: str) -> None:
    """Other versions, numbers beyond canonical JSON, a lease that depends on the time zone."""
    text = signed().model_dump_json()
    assert old in text
    path = tmp_path / "roster.json"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert refusal(lambda: read_bundle(path)) is Refusal.MALFORMED


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the system's reason."""
    assert refusal(lambda: read_bundle(tmp_path / "absent")) is Refusal.MALFORMED


def test_the_public_key_is_read_in_both_spellings() -> None:
    """64 hexadecimal digits or base64; anything else says what is expected."""
    assert read_public_key(KEY.hex()) == read_public_key(base64.b64encode(KEY).decode()) == KEY
    for wrong in ("", "abc", KEY.hex()[2:], "käse"):
        with pytest.raises(ValueError, match="32 octets"):
            read_public_key(wrong)
