"""What a day of the real agent leaves behind: of strangers nothing, of members what they allowed.

The day is that of `day.py`: 15,000 strangers of fourteen kinds, four members, a withdrawal, a lease
that ends offline, and a bluetoothd whose nonsense crashes the agent at DEBUG.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge_agent.desired.contract import Reported
from edge_agent.health import Health
from edge_agent.publish.contract import Snapshot, State
from edge_agent.schema import json_schema
from simulators.canary import Canary
from tests.privacy.day import CROWD, Day
from tests.privacy.taps import LAUNCHER

pytestmark = [pytest.mark.bluez, pytest.mark.broker]

PAGES_OF_A_MEGABYTE = 256
TICK_S = 1.1  # the agent looks at its clock every second at the latest


def test_the_canary_would_find_each_secret_of_the_day(day: Day, canary: Canary) -> None:
    """Each of them is found in the hexadecimal of itself, so that finding nothing means something.

    And what may be written is found where it is: a pseudonym in the outbox, an alarm in the log.
    """
    written = b" ".join(secret.octets.hex().encode() for secret in day.secrets)
    found = {offset for offset, _, encoding in canary.find(written) if encoding == "text"}
    lengths = [2 * len(secret.octets) + 1 for secret in day.secrets]
    assert found >= {sum(lengths[:n]) for n in range(len(lengths))}
    assert len(day.secrets) > 1_000
    state = b"".join(file.read_bytes() for file in (day.folder / "state").iterdir())
    assert day.members["tag"].encode() in state
    assert b'"level": "warning"' in day.log


def test_no_address_identifier_or_key_is_on_disk(day: Day, canary: Canary) -> None:
    """Database, write-ahead log, shared memory and ballast hold none, in no encoding."""
    names = {file.name for file in (day.folder / "state").iterdir()}
    assert names >= {"outbox.db", "outbox.db.ballast"}
    assert canary.search(day.folder / "state") == []
    assert canary.search(day.folder / "run") == []


def test_none_is_in_the_log_at_debug_nor_in_the_traceback_of_a_crash(
    day: Day, canary: Canary
) -> None:
    """The agent died of a value it could not read, and says where, and nothing of the value."""
    assert day.ended == 1
    assert b"the advertisement callback failed" in day.log
    assert list(canary.find(day.log)) == []


def test_none_is_on_the_wire(day: Day, canary: Canary) -> None:
    """Every octet between agent and broker, both ways."""
    assert b"presence/v1/acme/26/0042/gw-1/events" in day.to_broker
    assert list(canary.find(day.wire)) == []


def test_none_is_in_what_commands_and_reports_say(day: Day, canary: Canary) -> None:
    """`status`, its file, `doctor`, and every health report: no address, nor who is in."""
    health = b"".join(payload for topic, payload in day.messages if topic.endswith("/health"))
    said = b"".join([*day.said.values(), health])
    assert b"adapter hci0 is scanning" in said
    assert list(canary.find(said)) == []
    assert not [name for name in day.members.values() if name.encode() in said]


def test_ten_thousand_strangers_make_no_event_and_no_octet(day: Day) -> None:
    """Thirteen kinds of them, and no file of the agent's grew or came to be."""
    assert sum(day.kinds.values()) == CROWD
    assert len(day.kinds) == 13
    assert day.quiet_events == 0
    assert day.after == day.before
    assert {event.get("subject") for event in day.events} <= {*day.members.values(), None}


def test_ten_thousand_strangers_leave_no_memory_behind(day: Day) -> None:
    """After a first crowd, a second one twice as large makes the process no larger.

    A megabyte of play: keeping but 105 octets of each stranger would take more.
    """
    before, after = day.resident
    assert after - before < PAGES_OF_A_MEGABYTE


def paths(value: object, at: str = "") -> Iterator[str]:
    """Give the path of every member of a JSON value."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield f"{at}/{name}"
            yield from paths(part, f"{at}/{name}")


def test_every_event_is_what_the_schema_allows_and_nothing_more(day: Day) -> None:
    """The published schema forbids what it does not name, and every event of the day obeys it."""
    validator = Draft202012Validator(json_schema())
    assert len(day.events) >= 10
    assert [list(validator.iter_errors(event)) for event in day.events] == [[]] * len(day.events)
    extra = {**day.events[0], "address": "x"}
    assert list(validator.iter_errors(extra))


def test_nothing_is_published_that_no_model_names(day: Day) -> None:
    """Only topics of the contract, and of `state` and `health` only the models' members."""
    models: dict[str, set[str]] = {
        "state": set(State.model_fields),
        "health": set(Health.model_fields),
        "snapshot": set(Snapshot.model_fields),
        "reported": set(Reported.model_fields),
    }
    leaves = {topic.removeprefix("presence/v1/acme/26/0042/gw-1/") for topic, _ in day.messages}
    assert leaves == {"state", "health", "events", "ack", "snapshot", "config/reported"}
    for topic, payload in day.messages:
        allowed = models.get(topic.rpartition("/")[2])
        if allowed is not None:
            assert json.loads(payload).keys() == allowed


def test_nothing_is_asked_of_bluetooth_but_to_listen(day: Day) -> None:
    """No Connect, no Pair, no call to any device: a bus monitor saw every call of the day."""
    assert {path for path, _, _ in day.bus} <= {"/", "/org/bluez/hci0", "/org/freedesktop/DBus"}
    assert {member for _, _, member in day.bus} <= {
        *("GetManagedObjects", "SetDiscoveryFilter", "StartDiscovery", "StopDiscovery"),
        *("Get", "Set", "Introspect", "Ping"),
    }
    assert ("/org/bluez/hci0", "org.bluez.Adapter1", "StartDiscovery") in day.bus


def test_no_other_connection_is_made_and_no_program_started(day: Day) -> None:
    """The interpreter's own audit: sockets to the bus and to the broker, and none of a raw kind."""
    assert "socket.connect" in LAUNCHER
    families = {said[0] for event, said in day.audit if event == "socket.__new__"}
    assert families <= {"1", "2", "10"}  # AF_UNIX, AF_INET, AF_INET6
    targets = {said[-1] for event, said in day.audit if event == "socket.connect"}
    outside = {target for target in targets if "'127.0.0.1'" not in target}
    assert outside == {day.bus_address.removeprefix("unix:path=")}
    assert any(str(day.port) in target for target in targets)
    events = {event for event, _ in day.audit}
    assert events.isdisjoint({"os.exec", "os.posix_spawn", "os.fork", "os.system", "socket.sendto"})
    programs = {said[1] for event, said in day.audit if event == "subprocess.Popen"}
    assert all("edge_agent.vault_process" in program for program in programs), programs


def test_no_file_is_written_outside_its_two_folders(day: Day) -> None:
    """State and runtime folder: the interpreter opened nothing else for writing."""
    written = {said[0] for event, said in day.audit if event == "open"}
    folders = (str(day.folder / "state"), str(day.folder / "run"))
    assert written
    paths = {path for path in written if not path.isdigit()}  # else a pipe's descriptor
    assert [path for path in paths if not path.startswith((*folders, "/dev/null"))] == []


def test_a_withdrawal_ends_the_visit_without_a_word(day: Day) -> None:
    """She was in, and had dwelt; no exit followed, and no event of hers came after."""
    kinds = [str(event["type"]).split(".")[1] for event in day.of("app")]
    assert kinds == ["enter", "dwell"]
    spoken = day.to_broker[day.told_at_withdrawal :]
    assert day.members["app"].encode() not in spoken


def spellings(pseudonym: str) -> set[bytes]:
    """Write a pseudonym in every way in which it might be stored."""
    octets = bytes.fromhex(pseudonym)
    dashed = "-".join(pseudonym[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
    texts = {pseudonym, pseudonym.upper(), dashed, dashed.upper()}
    return {
        octets,
        octets[::-1],
        base64.b64encode(octets).rstrip(b"="),
        *(text.encode(code) for text in texts for code in ("utf-8", "utf-16-le", "utf-16-be")),
        *(base64.b64encode(text.encode()).rstrip(b"=") for text in texts),
    }


def test_nothing_of_her_is_left_on_disk_to_the_byte(day: Day) -> None:
    """Database, freelist pages, write-ahead log and shared memory, at once and at the day's end."""
    at_the_end = b"".join(file.read_bytes() for file in (day.folder / "state").iterdir())
    for stored in (day.erased, at_the_end):
        assert [s for s in spellings(day.members["app"]) if s in stored] == []
    assert day.members["tag"].encode() in at_the_end


def test_a_lease_that_ends_offline_ends_every_visit(day: Day) -> None:
    """With no broker to tell it so: `lease_expired`, and no evidence after `not_after` counts."""
    for who in ("tag", "uid", "irk"):
        *_, last = day.of(who)
        data: Any = last["data"]
        assert last["type"] == "presence.exit.v1"
        assert data["reason"] == "lease_expired"
        decided = datetime.fromisoformat(data["decided_at"]).timestamp()
        assert -0.01 <= decided - day.lease_ended <= TICK_S
        assert datetime.fromisoformat(data["exited_at"]).timestamp() <= day.lease_ended


def test_its_folders_are_its_own(day: Day) -> None:
    """What it made lies in folders that it did not open to others."""
    for name in ("state", "run"):
        assert Path(day.folder / name).stat().st_mode & 0o077 == 0
