"""The roster as a value, and the unsigned file that development reads it from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.identify.roster import Member, PackedPseudonyms, Roster, RosterError
from edge_agent.identify.roster_file import read_unsigned_roster
from edge_agent.model import Advertisement, Sighting
from simulators.credentials import temporary_key
from tests.identify.air import (
    BEGAN,
    IK,
    IRK,
    NAMESPACE,
    PRIVATE,
    TAG_UUID,
    heard,
    phone_of,
)

SOME_KEY = "00112233445566778899aabbccddeeff"


def written(folder: Path, *members: dict[str, Any]) -> Path:
    """Write a roster file."""
    path = folder / "roster.json"
    path.write_text(json.dumps({"members": members}), encoding="utf-8")
    return path


def who(roster: Roster, advert: Advertisement) -> str | None:
    """Say whose an advertisement is under a roster."""
    directory = Directory(roster)
    directory.ensure(BEGAN)
    evidence = Identifier(directory, NAMESPACE, lambda at: BEGAN + at).identify(advert)
    return evidence.visitor if isinstance(evidence, Sighting) else None


def test_every_way_to_be_known_is_read(tmp_path: Path) -> None:
    """Identity key, temporary key, iBeacon, Eddystone-UID, IRK: each names its visitor."""
    tag = {"uuid": str(TAG_UUID), "major": 1, "minor": 2}
    other = bytes(15) + b"\x09"
    roster = read_unsigned_roster(
        written(
            tmp_path,
            {"visitor": "v-ik", "ik": IK.hex()},
            {"visitor": "v-tk", "tk": {str(BEGAN >> 16): temporary_key(other, BEGAN).hex()}},
            {"visitor": "v-tag", "ibeacon": tag},
            {"visitor": "v-uid", "eddystone_uid": SOME_KEY},
            {"visitor": "v-irk", "irk": IRK.hex()},
            {"visitor": "v-none"},
        )
    )
    frame = b"\x02\x15" + TAG_UUID.bytes + b"\x00\x01\x00\x02\xc5"
    eddystone = "0000feaa-0000-1000-8000-00805f9b34fb"
    uid = b"\x00\xee" + bytes.fromhex(SOME_KEY)
    assert len(roster.visitors) == 6
    assert who(roster, phone_of(IK, BEGAN)) == "v-ik"
    assert who(roster, phone_of(other, BEGAN)) == "v-tk"
    assert who(roster, heard(manufacturer_data={0x4C: frame})) == "v-tag"
    assert who(roster, heard(service_data={eddystone: uid})) == "v-uid"
    assert who(roster, heard(address=PRIVATE)) == "v-irk"


@pytest.mark.parametrize(
    ("member", "place"),
    [
        ({"visitor": "v-1", "ik": SOME_KEY[:-1]}, "members.0.ik"),
        ({"visitor": "v-1", "ik": SOME_KEY + "00"}, "members.0.ik"),
        ({"visitor": "v-1", "irk": "x" + SOME_KEY[1:]}, "members.0.irk"),
        ({"visitor": "v-1", "tk": {"26702": SOME_KEY[2:]}}, "members.0.tk"),
        ({"visitor": "v-1", "tk": {SOME_KEY: "26702"}}, "members.0.tk"),
        ({"visitor": "v-1", "ibeacon": {"uuid": SOME_KEY[1:], "major": 1, "minor": 2}}, "ibeacon"),
        (
            {"visitor": "v-1", "ibeacon": {"uuid": str(TAG_UUID), "major": 65536, "minor": 2}},
            "members.0.ibeacon.major",
        ),
        ({"ik": SOME_KEY}, "members.0.visitor"),
        ({"visitor": "", "ik": SOME_KEY}, "members.0.visitor"),
        ({"visitor": "v-1", "identity_key": SOME_KEY}, "members.0.identity_key"),
        ({"visitor": "v-1", "ik": SOME_KEY, "staff": "perhaps"}, "members.0.staff"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(
    tmp_path: Path, member: dict[str, Any], place: str
) -> None:
    """It may be a key: the error says where it stands, and no more."""
    with pytest.raises(RosterError) as caught:
        read_unsigned_roster(written(tmp_path, member))
    assert place in str(caught.value)
    assert SOME_KEY[2:-2] not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"members": {}}', '{"people": []}', "\x00"])
def test_what_is_no_roster_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    path = tmp_path / "roster.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RosterError, match=r"roster\.json"):
        read_unsigned_roster(path)


def test_a_roster_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(RosterError, match="No such file"):
        read_unsigned_roster(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "members",
    [
        [Member("v-1"), Member("v-1")],
        [Member("v-1", ibeacon=bytes(20)), Member("v-2", ibeacon=bytes(20))],
        [Member("v-1", eddystone_uid=bytes(16)), Member("v-2", eddystone_uid=bytes(16))],
        [Member("v-1", wifi_keyid="k"), Member("v-2", wifi_keyid="k")],
        [Member("v-1", irk=IRK), Member("v-2", irk=IRK)],
    ],
)
def test_an_identifier_names_one_visitor(members: list[Member]) -> None:
    """Two members with one pseudonym, tag, credential or IRK are a mistake."""
    with pytest.raises(RosterError, match="two members have the same"):
        Roster.of(members)


PSEUDONYM = st.binary(min_size=16, max_size=16)


@given(st.lists(PSEUDONYM, max_size=30), PSEUDONYM)
def test_packed_pseudonyms_hold_what_was_packed(pseudonyms: list[bytes], other: bytes) -> None:
    """By index and by name, and nobody else."""
    octets = np.frombuffer(b"".join(pseudonyms), dtype=np.uint8).reshape(-1, 16)
    packed = PackedPseudonyms(octets)
    assert [packed[index] for index in range(len(packed))] == [p.hex() for p in pseudonyms]
    assert all(p.hex() in packed for p in pseudonyms)
    assert (other.hex() in packed) == (other in pseudonyms)


def test_packed_pseudonyms_that_begin_alike_are_told_apart() -> None:
    """The index holds eight octets; the rest decides."""
    alike = [bytes(15) + bytes([number]) for number in range(5)]
    packed = PackedPseudonyms(np.frombuffer(b"".join(alike), dtype=np.uint8).reshape(-1, 16))
    assert all(name.hex() in packed for name in alike)
    assert (bytes(15) + b"\x05").hex() not in packed


@pytest.mark.parametrize("name", ["", "zz" * 16, "ab" * 15, "AB" * 16, "ab " * 16, None, 7])
def test_a_pseudonym_has_one_spelling(name: object) -> None:
    """32 lower-case digits, as events write it: another spelling would be another visitor."""
    packed = PackedPseudonyms(np.full((1, 16), 0xAB, dtype=np.uint8))
    assert "ab" * 16 in packed
    assert name not in packed
