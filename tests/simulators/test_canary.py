from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path

import pytest

from simulators.canary import Canary, Secret, needles

ADDRESS = bytes.fromhex("c49a1f73e80b")
EID = bytes.fromhex("438b0be8656b8d6c")
CANARY = Canary([Secret("address", ADDRESS), Secret("EID", EID)])
NOISE = random.Random(7).randbytes(100_000)

LEAKS = {
    "raw": ADDRESS,
    "raw, reversed": ADDRESS[::-1],
    "upper, colons": b"C4:9A:1F:73:E8:0B",
    "lower, colons": b"c4:9a:1f:73:e8:0b",
    "reversed, colons": b"0B:E8:73:1F:9A:C4",
    "upper": b"C49A1F73E80B",
    "lower": b"c49a1f73e80b",
    "reversed": b"0be8731f9ac4",
    "dashes": b"C4-9A-1F-73-E8-0B",
    "as an object path of BlueZ": b"/org/bluez/hci0/dev_C4_9A_1F_73_E8_0B",
    "decimal": str(0xC49A1F73E80B).encode(),
    "escaped": repr(ADDRESS).encode(),
    "base64": base64.b64encode(ADDRESS),
    "base64, one octet in": base64.b64encode(b"x" + ADDRESS + b"yz"),
    "base64, two octets in": base64.b64encode(b"xy" + ADDRESS + b"z"),
    "base64, URL-safe": base64.urlsafe_b64encode(b"\xff\xff" + ADDRESS),
    "md5 of the text": hashlib.md5(b"C4:9A:1F:73:E8:0B").hexdigest().encode(),  # noqa: S324
    "sha1 of the octets": hashlib.sha1(ADDRESS).digest(),  # noqa: S324
    "sha256 of the octets, reversed": hashlib.sha256(ADDRESS[::-1]).hexdigest().encode(),
    "sha256 of the lower text": hashlib.sha256(b"c4:9a:1f:73:e8:0b").hexdigest().upper().encode(),
    "sha256 of the bare text, cut to 8 octets": hashlib.sha256(b"c49a1f73e80b").digest()[:8],
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_an_address_is_found_however_it_is_written(leak: bytes) -> None:
    """The canary finds the address amid noise."""
    assert {kind for _, kind, _ in CANARY.find(NOISE + leak + NOISE)} == {"address"}


def test_noise_holds_nothing() -> None:
    """Random octets and ordinary text give no finding."""
    text = b'{"visitor": "v-1", "seq": 17, "boot": "6f0c1f73-e80b-4a9a"}' * 1000
    assert not list(CANARY.find(NOISE + text))


def test_each_occurrence_is_told_with_its_place() -> None:
    """Two leaks in a file are two findings, at their offsets."""
    data = b"...." + EID + b"......" + EID.hex().encode()
    assert list(CANARY.find(data)) == [(4, "EID", "raw"), (18, "EID", "text")]


def test_the_last_octets_of_a_file_are_searched() -> None:
    """A leak at the very end is found, and one that is cut off is not."""
    assert list(CANARY.find(b"--" + EID)) == [(2, "EID", "raw")]
    assert not list(CANARY.find(b"--" + EID[:-1]))
    assert not list(CANARY.find(b""))


def test_a_leak_across_a_step_of_the_search_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are searched in steps, which makes no difference to what is found.

    Shrinks the step, which is 4 MiB.
    """
    monkeypatch.setattr("simulators.canary._AT_ONCE", 16)
    for before in range(40):
        assert list(CANARY.find(bytes(before) + EID + bytes(40))) == [(before, "EID", "raw")]


def test_a_folder_is_searched_but_for_what_the_operator_gave(tmp_path: Path) -> None:
    """The database is searched, the roster that holds the keys is not."""
    (tmp_path / "state").mkdir()
    leak = tmp_path / "state" / "outbox.db-wal"
    leak.write_bytes(b"page" + ADDRESS)
    roster = tmp_path / "roster.json"
    roster.write_text(ADDRESS.hex())
    (finding,) = CANARY.search(tmp_path, but=[roster])
    assert (finding.file, finding.offset, finding.kind) == (leak, 4, "address")


def test_a_report_does_not_repeat_the_secret() -> None:
    """Neither a secret's repr nor a finding holds it."""
    assert repr(Secret("address", ADDRESS)) == "Secret('address', redacted)"


def test_short_secrets_are_refused() -> None:
    """Five octets would be found by chance."""
    with pytest.raises(ValueError, match="6 octets at least"):
        needles(bytes(5))
