"""No repr, no error and no traceback shows an address, an identifier or a key."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

from edge_agent.identify.advertisement import app_claim, ibeacon_claim, read_advertising_data
from edge_agent.identify.bindings import Bindings
from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster, RosterError
from edge_agent.identify.roster_file import read_unsigned_roster
from edge_agent.model import PortalEvent, RadioAddress, StationEvent
from simulators.signed_roster import sign_bundle
from tests.identify.air import BEGAN, IK, IRK, PHONE, PRIVATE, heard, listening, portal, station

EID = bytes.fromhex("438b0be8656b8d6c")
PSEUDONYM = "a1" * 16
MEMBER = Member(PSEUDONYM, temporary_keys={BEGAN >> 16: IK}, irk=IRK, eddystone_uid=EID * 2)


def shows(text: str, *secrets: bytes) -> bool:
    """Tell whether a text holds one of these in a form that can be read back."""
    forms = [form for s in secrets for form in (s.hex(), s.hex(":"), s.hex("-"), repr(s)[2:-1])]
    return any(form.lower() in text.lower() for form in forms)


@pytest.mark.parametrize("write", [repr, str, "{}".format, "{0!r}".format, "%s".__mod__])
def test_an_address_prints_as_redacted(write: object) -> None:
    """However it is turned into text."""
    assert callable(write)
    assert "redacted" in write(PHONE)
    assert not shows(write(PHONE), PHONE.to_bytes())


def test_an_address_does_not_leave_the_process() -> None:
    """It cannot be pickled, on its own or inside an observation."""
    for thing in (PHONE, station(StationEvent.HEARD)):
        with pytest.raises(TypeError, match="does not leave"):
            pickle.dumps(thing)


@pytest.mark.parametrize("text", ["", "7A:11", "7A:11:22:33:44:5G", "7A-11-22-33-44-55"])
def test_an_error_about_an_address_does_not_repeat_it(text: str) -> None:
    """It may be almost right."""
    with pytest.raises(ValueError, match="six octets") as caught:
        RadioAddress.parse(text)
    assert not text or text not in "".join(traceback.format_exception(caught.value))


def test_observations_and_claims_print_as_redacted() -> None:
    """What was heard, what was claimed, and the tables it is looked up in."""
    identifier = listening(MEMBER)
    identifier.identify(portal(PortalEvent.BOUND, PSEUDONYM))
    directory = identifier.directory
    directory.ensure(BEGAN)
    things: list[object] = [
        heard(address=PRIVATE, service_data={"x": EID}, manufacturer_data={1: EID}),
        station(StationEvent.HEARD, keyid="keyid-of-hers"),
        portal(PortalEvent.BOUND),
        app_claim(b"\x10\xc5" + EID),
        ibeacon_claim(b"\x02\x15" + EID * 2 + bytes(5)),
        read_advertising_data(b"\x0b\xff\x4c\x00" + EID),
        MEMBER,
        Roster.of([MEMBER]),
        directory,
        directory.build(BEGAN >> 10),
        identifier,
        identifier.bindings,
        Bindings(),
    ]
    text = " ".join(map(repr, things))
    secrets = (RadioAddress.parse(PRIVATE).to_bytes(), PHONE.to_bytes(), EID, IK, IRK)
    assert not shows(text, *secrets)
    assert "keyid-of-hers" not in text


def test_a_signed_roster_prints_without_its_snapshot() -> None:
    """The snapshot is everybody's keys."""
    bundle = sign_bundle(
        [MEMBER], bytes(32), tenant="acme", store="1", epoch=BEGAN >> 16, seq=1, not_after=BEGAN
    )
    assert bundle.snapshot not in repr(bundle)
    assert bundle.snapshot not in str(bundle)


def test_a_traceback_of_a_bad_roster_holds_no_key(tmp_path: Path) -> None:
    """Neither the error nor the one it came from."""
    path = tmp_path / "roster.json"
    path.write_text(f'{{"members": [{{"visitor": 1, "ik": "{IK.hex()}"}}]}}', encoding="utf-8")
    with pytest.raises(RosterError) as caught:
        read_unsigned_roster(path)
    assert not shows("".join(traceback.format_exception(caught.value)), IK)


def test_an_error_about_two_alike_does_not_say_what() -> None:
    """A tag that two members have is still somebody's tag."""
    twins = [Member(f"v-{n}", eddystone_uid=EID * 2, ibeacon=EID * 2 + IK[:4]) for n in range(2)]
    with pytest.raises(RosterError) as caught:
        Directory(Roster.of(twins))
    assert not shows(str(caught.value), EID)
