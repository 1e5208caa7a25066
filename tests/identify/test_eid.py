"""Ephemeral identifiers: the published vectors, and which windows are believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.identify.eid import accepted_windows, ephemeral_ids, epoch_of, temporary_keys
from edge_agent.identify.roster import Member
from simulators.credentials import ephemeral_id, temporary_key
from tests.identify.air import ANNA, BEGAN, IK, WINDOW_BEGAN, listening, phone, phone_of, whose

FIRST_IK = bytes.fromhex("7c91330e61dfea4606b5b3ecb4457d76")


def key_and_eid(identity_key: bytes, unix: int, exponent: int = 10) -> tuple[str, str]:
    """Derive TK and EID the way the agent does, in hexadecimal."""
    keys = temporary_keys(np.frombuffer(identity_key, dtype=np.uint8)[None], epoch_of(unix))
    (eid,) = ephemeral_ids(keys, unix, exponent)
    return keys.tobytes().hex(), f"{int(eid):016x}"


def test_the_vector_of_eddystone_with_k_0_holds() -> None:
    """K = 0 at t = 0, as Eddystone-EID has it: the scheme is unmodified."""
    assert key_and_eid(FIRST_IK, 0, 0) == ("4d7ad123b3f67bb3c7ac3ffd02599f6a", "436bfe57d5a09505")


@pytest.mark.parametrize(
    ("unix", "eid"),
    [
        (0, "a9b76a71c5f89290"),
        (2000, "4144413e45fefa58"),
        (BEGAN, "438b0be8656b8d6c"),
        (BEGAN - 1024, "854be6db8579c9c1"),
        (BEGAN + 1024, "aadd8716172f87b4"),
    ],
)
def test_the_vectors_with_k_10_hold(unix: int, eid: str) -> None:
    """Seconds 0, 2000 and 1750000000 with the windows before and after it."""
    assert key_and_eid(IK, unix)[1] == eid


def test_the_temporary_key_of_an_epoch_holds() -> None:
    """TK of the epoch of second 1750000000."""
    assert key_and_eid(IK, BEGAN)[0] == "c3613c7c455cf2efdcd52a1e21a214c5"


@given(st.binary(min_size=16, max_size=16), st.integers(0, (1 << 32) - 1))
def test_an_identifier_is_what_a_phone_computes(key: bytes, unix: int) -> None:
    """The simulated phone uses a library's AES, one block at a time."""
    expected = (temporary_key(key, unix).hex(), ephemeral_id(key, unix).hex())
    assert key_and_eid(key, unix) == expected


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [
        (0, (0, -1)),
        (179.999, (0, -1)),
        (180, (0,)),
        (903.999, (0,)),
        (904, (0, 1)),
        (1023.999, (0, 1)),
        (1024, (1, 0)),
    ],
)
def test_the_windows_of_a_moment(offset: float, accepted: tuple[int, ...]) -> None:
    """The last one for 180 s, the next one for 120 s, the present one first."""
    first = WINDOW_BEGAN // 1024
    assert accepted_windows(WINDOW_BEGAN + offset) == tuple(first + number for number in accepted)


@pytest.mark.parametrize(
    ("phone_offset", "offset", "known"),
    [
        (0, 0, True),
        (0, 1023, True),
        (-1, 179, True),  # the phone's clock is slow: it still shows the last window
        (-1, 180, False),
        (1024, 904, True),  # and fast: it shows the next one already
        (1024, 903, False),
        (-1025, 0, False),
        (2048, 1023, False),
    ],
)
def test_a_phone_is_known_while_its_window_is_accepted(
    phone_offset: int, offset: int, *, known: bool
) -> None:
    """The previous window until 180 s after its end, the next in the last 120 s, to the second."""
    identifier = listening(ANNA)
    shown = phone_of(IK, WINDOW_BEGAN + phone_offset)
    assert whose(identifier, shown, WINDOW_BEGAN + offset) == ("anna" if known else None)


def test_an_answer_is_not_remembered_beyond_its_window() -> None:
    """Heard in its window and in its grace, then replayed a second later: unknown."""
    identifier = listening(ANNA)
    shown = phone_of(IK, WINDOW_BEGAN)
    answers = [whose(identifier, shown, WINDOW_BEGAN + s) for s in (5, 1024 + 179, 1024 + 180)]
    assert answers == ["anna", "anna", None]


def test_a_stranger_now_may_be_known_in_a_while() -> None:
    """The next window's identifier is unknown at 903 s and hers at 904 s."""
    identifier = listening(ANNA)
    shown = phone_of(IK, WINDOW_BEGAN + 1024)
    assert [whose(identifier, shown, WINDOW_BEGAN + s) for s in (903, 904)] == [None, "anna"]


@pytest.mark.parametrize("beside", [-1, 0])
def test_a_phone_is_known_across_the_epochs_boundary(beside: int) -> None:
    """The windows on both sides of a new temporary key are accepted like any others."""
    boundary = (epoch_of(BEGAN) + 1) << 16
    identifier = listening(ANNA)
    shown = phone_of(IK, boundary + beside)
    assert whose(identifier, shown, boundary - 60) == "anna"
    assert whose(identifier, shown, boundary + 60) == "anna"


def test_a_temporary_key_on_the_roster_is_used_in_its_epoch_alone() -> None:
    """The hub sends TK for an epoch; without the identity key the next epoch is unknown."""
    epoch = epoch_of(BEGAN)
    identifier = listening(Member("anna", temporary_keys={epoch: temporary_key(IK, BEGAN)}))
    later = BEGAN + 65_536
    assert whose(identifier, phone_of(IK, BEGAN), BEGAN) == "anna"
    assert whose(identifier, phone_of(IK, later), later) is None


def test_a_temporary_key_on_the_roster_wins_over_a_derived_one() -> None:
    """Where the hub sent a key for the epoch, the one from the identity key is not believed."""
    other = bytes.fromhex("00" * 15 + "01")
    keys = {epoch_of(BEGAN): temporary_key(other, BEGAN)}
    identifier = listening(Member("anna", identity_key=IK, temporary_keys=keys))
    assert whose(identifier, phone_of(other, BEGAN), BEGAN) == "anna"
    assert whose(identifier, phone_of(IK, BEGAN), BEGAN) is None


def test_all_of_a_hundred_thousand_are_told_apart() -> None:
    """Spot checks over the table of a full roster: the right owner, and no owner for a stranger."""
    keys = [number.to_bytes(16) for number in range(100_000)]
    members = [Member(f"v-{number}", identity_key=key) for number, key in enumerate(keys)]
    identifier = listening(*members)
    for number in (0, 4095, 4096, 50_000, 99_999):
        assert whose(identifier, phone_of(keys[number], BEGAN), BEGAN) == f"v-{number}"
    assert whose(identifier, phone(bytes(8)), BEGAN) is None
