"""Random identifiers under the namespace: what is kept is bounded, and visitors are still seen."""

from __future__ import annotations

import random

from edge_agent.identify.identifier import Directory
from edge_agent.identify.roster import Member, Roster
from simulators.bench_flood import VISITORS, flood
from tests.identify.air import BEGAN, IRK, heard, listening, phone


def test_visitors_are_detected_as_soon_as_without_the_flood() -> None:
    """Two thousand random identifiers a second for twenty seconds: the same visitors, in time."""
    calm, flooded = flood(0, 20), flood(2_000, 20)
    assert calm.detected == flooded.detected == VISITORS
    assert flooded.delay_s == calm.delay_s


def test_what_is_remembered_of_nobody_is_bounded() -> None:
    """Of 20,000 identifiers and as many addresses 4,096 are kept, to answer repeats; and one count.

    Looks inside: what is not kept cannot be seen outside.
    """
    chance = random.Random(3)
    identifier = listening(Member("v-1", irk=IRK))
    identifier.directory.ensure(BEGAN)
    for _ in range(20_000):
        assert identifier.identify(phone(chance.randbytes(8))) is None
        address = bytes([0x40 | chance.getrandbits(6)]) + chance.randbytes(5)
        assert identifier.identify(heard(address=address.hex(":").upper())) is None
    directory = identifier.directory
    assert (len(directory._eids), len(directory._addresses)) == (4096, 4096)
    assert identifier.counts == {"unknown": 20_000, "stranger": 20_000}


def test_an_address_that_cannot_resolve_is_not_remembered() -> None:
    """Public and static addresses are of no use with an IRK: none of them is held.

    Looks inside, as above.
    """
    identifier = listening(Member("v-1", irk=IRK))
    for top in ("00", "80", "C0"):
        assert identifier.identify(heard(address=f"{top}:66:77:88:99:AA")) is None
    assert len(identifier.directory._addresses) == 0


def test_a_new_roster_forgets_what_the_old_one_remembered() -> None:
    """The memory of identifiers belongs to a roster, and goes with it."""
    identifier = listening(Member("v-1", irk=IRK))
    identifier.identify(phone(bytes(8)))
    identifier.directory = Directory(Roster.of([Member("v-2")]))
    assert len(identifier.directory._eids) == 0
