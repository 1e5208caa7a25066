"""What phones advertise, and when, against the vectors and the recordings."""

from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest

from simulators.credentials import (
    NAMESPACE,
    WINDOW_S,
    android_service_data,
    ephemeral_id,
    ios_service_uuid,
    resolvable_address,
    temporary_key,
)
from simulators.phones import (
    Emissions,
    Kind,
    Phone,
    WallClock,
    address_lifetime,
    advertise,
    app_opened,
    awake,
    carried,
)
from simulators.radio import Floats
from simulators.stations import StationHabits, connect, heard_times

IK = bytes.fromhex("0102030405060708090a111213141516")
CLOCK = WallClock(datetime(2026, 11, 1, 9, tzinfo=UTC))


def _phone(kind: Kind, clock_offset: float = 0.0) -> Phone:
    return Phone.draw(np.random.default_rng(3), "v-1", kind, clock_offset)


def _sent(kind: Kind, until: float = 3600.0, clock_offset: float = 0.0) -> Emissions:
    phone = _phone(kind, clock_offset)
    return advertise(np.random.default_rng(4), phone, [(0.0, until)], CLOCK)


def test_the_eddystone_vector() -> None:
    """The published vector with K = 0 at time 0 gives its temporary key and EID."""
    key = bytes.fromhex("7c91330e61dfea4606b5b3ecb4457d76")
    assert temporary_key(key, 0).hex() == "4d7ad123b3f67bb3c7ac3ffd02599f6a"
    assert ephemeral_id(key, 0, exponent=0).hex() == "436bfe57d5a09505"


@pytest.mark.parametrize(
    ("unix", "eid"),
    [
        (0, "a9b76a71c5f89290"),
        (2000, "4144413e45fefa58"),
        (1750000000, "438b0be8656b8d6c"),
        (1750000000 - WINDOW_S, "854be6db8579c9c1"),
        (1750000000 + WINDOW_S, "aadd8716172f87b4"),
    ],
)
def test_an_eid_lasts_1024_seconds(unix: int, eid: str) -> None:
    """With K = 10, each window has the EID of the design's vectors."""
    assert ephemeral_id(IK, unix).hex() == eid


def test_the_temporary_key_of_a_later_epoch() -> None:
    """The epoch's number enters the temporary key."""
    assert temporary_key(IK, 1750000000).hex() == "c3613c7c455cf2efdcd52a1e21a214c5"


def test_the_android_advert_is_31_bytes() -> None:
    """Flags, namespace, version, tx C5 and EID make the vector's 31 bytes."""
    data = android_service_data(bytes.fromhex("438b0be8656b8d6c"), -59)
    advert = bytes.fromhex("0201061b21") + NAMESPACE.bytes[::-1] + data
    assert advert.hex() == "0201061b21135fb6a7e2d0419c684f2d5b109e3c7a10c5438b0be8656b8d6c"
    assert len(advert) == 31


def test_the_ios_service_uuid() -> None:
    """An iPhone lists half the namespace followed by the EID."""
    uuid = ios_service_uuid(NAMESPACE, bytes.fromhex("438b0be8656b8d6c"))
    assert uuid == "7a3c9e10-5b2d-4f68-438b-0be8656b8d6c"


def test_a_resolvable_address_carries_its_hash() -> None:
    """The Core specification's sample: prand 708194 hashes to 0dfbaa."""
    irk = bytes.fromhex("ec0234a357c8ad05341010a60a397d9b")
    assert resolvable_address(irk, 0x708194) == "70:81:94:0D:FB:AA"


@pytest.mark.parametrize("offset", [0.0, 1.9, -1.9, 300.0])
def test_a_phone_follows_its_own_clock(offset: float) -> None:
    """Every packet shows the EID of the window in which the phone believes to be."""
    sent, phone = _sent(Kind.ANDROID, clock_offset=offset), _phone(Kind.ANDROID, offset)
    shown = [sent.adverts[n]["service_data"][str(NAMESPACE)][4:] for n in sent.which]
    believed = [int(CLOCK.unix(at) + offset) for at in sent.times]
    assert shown == [ephemeral_id(phone.identity_key, unix).hex() for unix in believed]
    assert len(set(shown)) in (4, 5)


def test_a_faster_playback_shows_the_windows_of_the_wall_clock() -> None:
    """A day played at 60-fold speed crosses a 1024 s window once in 17 h of its own time."""
    assert len(WallClock(speed=60.0).window_starts(0.0, 60.0 * WINDOW_S)) == 1


def test_a_new_eid_comes_with_a_new_address() -> None:
    """No address is seen with two EIDs, else the rotation would link them."""
    sent = _sent(Kind.ANDROID, until=4 * 3600.0)
    assert len({advert["address"] for advert in sent.adverts}) == len(sent.adverts)


def test_addresses_live_for_minutes() -> None:
    """A resolvable address lives 12.6 min in the median, p5 9.0, p95 22.7 (dp3t)."""
    rng = np.random.default_rng(5)
    lives = np.array([address_lifetime(rng) for _ in range(20_000)]) / 60.0
    assert np.quantile(lives, (0.05, 0.5, 0.95)) == pytest.approx((9.0, 12.6, 22.7), rel=0.03)


def test_an_android_advertises_at_its_period() -> None:
    """Between restarts the packets are a period and at most 10 ms apart."""
    steps = np.diff(_sent(Kind.ANDROID).times)
    period = _phone(Kind.ANDROID).period
    assert period <= np.median(steps) <= period + 0.01
    assert steps.max() < period + 0.5


def test_an_iphone_lists_a_service_and_no_data() -> None:
    """On iOS there is no service data to advertise: half a namespace and an EID is all."""
    sent = _sent(Kind.IPHONE)
    assert all(not advert["service_data"] for advert in sent.adverts)
    heads = {UUID(advert["service_uuids"][0]).bytes[:8] for advert in sent.adverts}
    assert heads == {NAMESPACE.bytes[:8]}


def test_an_iphone_speaks_in_bouts() -> None:
    """The app is open for a third of a visit, for 20 s at a time, in 0.5 % never."""
    rng = np.random.default_rng(6)
    opened = [app_opened(rng, 100.0, 1300.0) for _ in range(1000)]
    bouts = np.array([ends - begins for spans in opened for begins, ends in spans])
    locked = [b[0] - a[1] for spans in opened for a, b in pairwise(spans)]
    assert bouts.sum() / (1000 * 1200.0) == pytest.approx(0.34, abs=0.03)
    assert np.median(bouts) == pytest.approx(22.0, abs=2.0)
    assert np.quantile(locked, (0.5, 0.95)) == pytest.approx((41.0, 170.0), rel=0.15)
    assert np.mean([not spans for spans in opened]) == pytest.approx(0.005, abs=0.004)
    assert all(100.0 <= begins <= ends <= 1300.0 for spans in opened for begins, ends in spans)


def test_power_saving_makes_gaps_of_minutes() -> None:
    """A slow Android is silent for 30 to 286 s at a time (starksm64), after some three minutes."""
    spans = awake(np.random.default_rng(7), 0.0, 360_000.0)
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    assert min(gaps) >= 30.0
    assert max(gaps) <= 286.0
    assert np.median(gaps) == pytest.approx(82.0, rel=0.05)
    assert np.mean([ends - begins for begins, ends in spans]) == pytest.approx(160.0, rel=0.1)


@pytest.mark.parametrize("kind", [Kind.IBEACON, Kind.EDDYSTONE])
def test_a_tag_never_changes(kind: Kind) -> None:
    """A tag sends one payload from one static random address."""
    sent = _sent(kind)
    assert len(sent.adverts) == 1
    assert int(sent.adverts[0]["address"][:2], 16) >> 6 == 0b11


def test_tags_send_what_the_roster_knows() -> None:
    """The roster's iBeacon and Eddystone identifiers stand in the advertisements."""
    beacon, fob = _phone(Kind.IBEACON), _phone(Kind.EDDYSTONE)
    payload = _sent(Kind.IBEACON).adverts[0]["manufacturer_data"]["76"]
    frame = next(iter(_sent(Kind.EDDYSTONE).adverts[0]["service_data"].values()))
    assert payload.startswith("0215" + UUID(str(beacon.tag["uuid"])).hex)
    assert payload.endswith("c5")
    assert frame == f"00ea{fob.enrolled()['eddystone_uid']}0000"


def _longest_silences() -> Floats:
    rng = np.random.default_rng(8)
    silences = []
    for _ in range(1500):
        times = np.concatenate(([0.0], heard_times(rng, 0.0, 900.0), [900.0]))
        silences.append(np.diff(times).max())
    return np.array(silences)


def test_an_associated_station_is_often_silent() -> None:
    """Longest gap in 15 min: median 82 s; 71 % > 60, 33 % > 120, 20 % > 180, 2 % > 300 s."""
    longest = _longest_silences()
    shares = [np.mean(longest > seconds) for seconds in (60.0, 120.0, 180.0, 300.0)]
    assert np.median(longest) == pytest.approx(82.0, rel=0.1)
    assert shares == pytest.approx([0.71, 0.33, 0.20, 0.02], abs=0.04)


def test_a_station_is_called_silent_only_after_three_minutes() -> None:
    """`silent` follows at least 180 s without a frame, and a leaver is `silent` or says goodbye."""
    rng = np.random.default_rng(9)
    for _ in range(200):
        heard, ended = 0.0, False
        lines = connect(rng, "v-1", "gw-1", (100.0, 2000.0), StationHabits())
        for at, line in sorted(lines, key=lambda timed: timed[0]):
            station = line.get("wifi")
            event = station["event"] if isinstance(station, dict) else "portal"
            ended = event in ("silent", "disassociated")
            assert event != "silent" or at - heard >= 180.0
            heard = at if event in ("heard", "associated") else heard
        assert ended


def test_pockets_cost_what_was_measured() -> None:
    """A pocket costs 3 dB, two bodies 16 dB instead of a turn; pairs differ by sd 3 dB (dp3t)."""
    rng = np.random.default_rng(10)
    emitters = [carried(rng, -59) for _ in range(4000)]
    losses = {emitter.carry_loss for emitter in emitters}
    assert {0.0, 3.0, 16.0} < losses
    powers = np.array([emitter.power for emitter in emitters])
    assert powers.mean() == pytest.approx(-59.0, abs=0.2)
    assert powers.std() == pytest.approx(3.0, abs=0.2)
    turning = [emitter.body_loss for emitter in emitters if emitter.carry_loss < 16.0]
    assert 7.0 <= min(turning) <= max(turning) <= 14.0
    assert all(not e.body_loss for e in emitters if e.carry_loss == 16.0)
