"""Which commands are obeyed, and what the hub is told of the others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.commands.contract import Status
from edge_agent.commands.judge import Addressee, Order, RefusedError, id_of, judge, read_order
from edge_agent.publish.topics import Topics
from simulators.orders import compose_command, sign_word

TOPICS = Topics("acme", "0042", "gw-1")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEY, OTHER_KEY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
US = Addressee("acme", "0042", "gw-1", KEY.public_key().public_bytes_raw())
DEVELOPMENT = Addressee("acme", "0042", "gw-1", None)

Json = dict[str, Any]


def word(action: str = "status", **changes: Any) -> Json:
    """Write a command of noon that is good for five minutes."""
    return compose_command(TOPICS, action, {}, ident="c-1", issued=NOON) | changes


def refusal(payload: bytes, addressee: Addressee = US, ident: str = "c-1") -> RefusedError:
    """Read what must not be obeyed."""
    with pytest.raises(RefusedError) as told:
        read_order(ident, payload, addressee)
    return told.value


def order(**changes: Any) -> Order:
    """Read what is the hub's word."""
    return read_order("c-1", sign_word(word(**changes), "command", KEY), US)


def test_the_hubs_word_is_understood() -> None:
    """Signed, for us, in form: an order with its action and its times."""
    asked = order()
    assert (asked.id, asked.issued_at) == ("c-1", NOON.timestamp())
    assert asked.expires_at == NOON.timestamp() + 300
    judge(asked, NOON.timestamp() + 299, remembers_since=NOON.timestamp(), forgotten=0.0)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (sign_word(word(), "command", None), "unsigned"),
        (json.dumps(word()).encode(), "unsigned"),
        (sign_word(word(), "command", OTHER_KEY), "wrong-key"),
        (sign_word(word(), "command", KEY).replace(b"status", b"restart"), "wrong-key"),
        (sign_word(word(id="c-2"), "command", KEY), "wrong-id"),
        (sign_word(word(gateway="gw-2"), "command", KEY), "wrong-gateway"),
        (sign_word(word(tenant="other"), "command", KEY), "wrong-gateway"),
        (b"\xff not JSON", "malformed"),
        (b'{"command": ' + b"[" * 9_000, "malformed"),
    ],
)
def test_a_word_that_is_not_the_hubs_or_not_for_us_is_refused(payload: bytes, reason: str) -> None:
    """In production nothing unsigned, plain, changed or misdirected is obeyed, and it says why."""
    error = refusal(payload)
    assert error.status is Status.REFUSED
    assert error.detail.startswith(reason)
    assert error.known is None


def test_what_was_signed_as_another_kind_is_no_command() -> None:
    """The same object signed as a configuration, sent as a command: its signature does not fit."""
    as_config = json.loads(sign_word(word(), "config", KEY))
    payload = json.dumps({"command": word(), "signature": as_config["signature"]}).encode()
    assert refusal(payload).detail.startswith("wrong-key")


def test_a_development_machine_obeys_unsigned_words() -> None:
    """Without the hub's key nobody can sign; the rest is looked at all the same."""
    assert read_order("c-1", sign_word(word(), "command", None), DEVELOPMENT).id == "c-1"
    wrong = sign_word(word(gateway="gw-2"), "command", None)
    assert refusal(wrong, DEVELOPMENT).detail.startswith("wrong-gateway")


@pytest.mark.parametrize(
    ("changes", "status", "path"),
    [
        ({"action": "reboot_the_moon"}, Status.UNKNOWN_ACTION, None),
        ({"action": "erase"}, Status.INVALID, "arguments.visitor"),
        ({"arguments": {"v": 1}}, Status.INVALID, "arguments"),
        (
            {"action": "log_level", "arguments": {"level": "loud", "for": "5min"}},
            Status.INVALID,
            "arguments.level",
        ),
        (
            {"action": "log_level", "arguments": {"level": "info", "for": 5}},
            Status.INVALID,
            "arguments.for",
        ),
        ({"v": 2}, Status.INVALID, "v"),
        ({"issued_at": "2026-11-25T12:00:00"}, Status.INVALID, "issued_at"),
        ({"secret": 1}, Status.INVALID, "command"),
        ({"expires_at": (NOON + timedelta(hours=25)).isoformat()}, Status.INVALID, "expires_at"),
    ],
)
def test_a_word_that_makes_no_sense_is_explained_by_its_path(
    changes: Json, status: Status, path: str | None
) -> None:
    """Unknown actions, wrong arguments, wrong forms: each says where, and what is expected."""
    error = refusal(sign_word(word(**changes), "command", KEY))
    assert error.status is status
    assert [fault.path for fault in error.faults] == ([] if path is None else [path])


def test_no_value_of_a_payload_is_repeated() -> None:
    """A pseudonym in a wrong place is in no answer: names of ours, and advice."""
    canary = "c0ffee00c0ffee00c0ffee00c0ffee00"
    for changes in (
        {"arguments": {canary: canary}},
        {canary: canary},
        {"action": "log_level", "arguments": {"level": canary, "for": canary}},
        {"action": "erase", "arguments": {"visitor": [canary]}},
    ):
        error = refusal(sign_word(word(**changes), "command", KEY))
        assert canary not in error.detail + repr(error.faults)


@pytest.mark.parametrize(
    ("now", "since", "forgotten", "status"),
    [
        (300.0, 0.0, 0.0, Status.EXPIRED),
        (0.0, 0.0, 300.0, Status.EXPIRED),
        (-61.0, -100.0, 0.0, Status.INVALID),
        (10.0, 1.0, 0.0, Status.REFUSED),
    ],
    ids=["expired", "expired before the clock was set back", "of the future", "older than memory"],
)
def test_a_command_out_of_its_time_is_not_executed(
    now: float, since: float, forgotten: float, status: Status
) -> None:
    """Issued at noon for 300 s; seconds are counted from noon."""
    noon = NOON.timestamp()
    at = noon + forgotten if forgotten else 0.0
    with pytest.raises(RefusedError) as told:
        judge(order(), noon + now, remembers_since=noon + since, forgotten=at)
    assert told.value.status is status
    assert told.value.known == noon + 300


@pytest.mark.parametrize("leaf", ["command/", "command/a/b", "command/ö", "command/" + "x" * 65])
def test_a_topic_that_names_no_command_has_no_id(leaf: str) -> None:
    """Such a thing cannot be answered."""
    assert id_of(leaf) is None


@given(st.binary(max_size=300) | st.builds(lambda text: text.encode(), st.text()))
def test_no_octets_whatever_raise_anything_but_a_refusal(payload: bytes) -> None:
    """Nothing random is obeyed, and nothing random is a crash."""
    for addressee in (US, DEVELOPMENT):
        assert refusal(payload, addressee).status in (Status.REFUSED, Status.INVALID)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*word(), "visitor", "level", "for", ""]), inner, max_size=6
        )
    ),
    max_leaves=12,
)


@given(JSON, st.none() | st.text(max_size=90))
def test_no_json_whatever_raises_anything_but_a_refusal(inner: Any, signature: str | None) -> None:
    """Likewise for what has the form of an envelope, on machines that trust and that do not."""
    payload = json.dumps({"command": inner, "signature": signature}).encode()
    for addressee in (US, DEVELOPMENT):
        refusal(payload, addressee)
