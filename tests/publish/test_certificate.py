"""A gateway's certificate: shown, renewed, promoted only once a broker has accepted it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.publish.certificate import TRIES, CertificateKeeper
from edge_agent.publish.signing_request import read
from simulators.mosquitto import Mosquitto, free_port
from tests.publish.authority import Authority
from tests.publish.conftest import Brokers, Publishing
from tests.publish.hub import PlainHub, until
from tests.publish.stories import composer, drafted, enter

WRITER = composer()
YOUNG, DUE, EXPIRED = (-1, 30), (-25, 5), (-30, -1)


class Mail:
    """An outlet that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def send(
        self,
        leaf: str,
        payload: bytes,
        *,
        retain: bool = False,
        accepted: Callable[[str | None], None] | None = None,
    ) -> bool:
        """Keep a letter."""
        assert not retain
        assert accepted is None
        self.sent.append((leaf, payload))
        return True

    @property
    def csrs(self) -> list[str]:
        """The requests in it."""
        return [json.loads(payload)["csr"] for _, payload in self.sent]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The one that the brokers trust."""
    return Authority(tmp_path, "authority")


def keeper(
    tmp_path: Path,
    pair: tuple[Path, Path],
    *,
    later: float = 0.0,
    now: Callable[[], float] = time.monotonic,
) -> CertificateKeeper:
    """Keep certificates, `later` seconds from now."""
    return CertificateKeeper(pair, tmp_path / "identity", lambda: time.time() + later, now)


def reply(certificate: str) -> bytes:
    """Write what an authority answers."""
    return json.dumps({"certificate": certificate}).encode()


@pytest.mark.parametrize(("days", "asks"), [(YOUNG, 0), (DUE, 1), (EXPIRED, 1)])
def test_a_certificate_is_asked_for_from_two_thirds_of_its_life(
    tmp_path: Path, authority: Authority, days: tuple[float, float], asks: int
) -> None:
    """On day 1 of 31 nothing is asked for; on day 25 of 30, or too late, the next one is."""
    certificates, mail = keeper(tmp_path, authority.issue("gw-1", days=days)), Mail()
    certificates.choose()
    certificates.opened(mail)
    assert [leaf for leaf, _ in mail.sent] == ["identity/request"] * asks


def test_a_request_is_repeated_each_hour_with_the_same_key(
    tmp_path: Path, authority: Authority
) -> None:
    """Asked, unanswered, asked an hour later: an answer to either is for the key that is kept."""
    at = [0.0]
    certificates = keeper(tmp_path, authority.issue("gw-1", days=DUE), now=lambda: at[0])
    mail = Mail()
    certificates.opened(mail)
    for at[0] in (10.0, 3599.0, 3600.0):
        certificates.look()
    first, second = mail.csrs
    assert first == second


def test_no_key_of_a_request_leaves_the_folder_or_can_be_read_by_others(
    tmp_path: Path, authority: Authority
) -> None:
    """What is sent is a request and no key; what is kept is for its owner alone."""
    certificates, mail = keeper(tmp_path, authority.issue("gw-1", days=DUE)), Mail()
    certificates.opened(mail)
    assert b"PRIVATE" not in b"".join(payload for _, payload in mail.sent)
    kept = list((tmp_path / "identity").iterdir())
    assert {path.stat().st_mode & 0o077 for path in (*kept, tmp_path / "identity")} == {0}
    assert kept


def test_a_candidate_is_promoted_by_a_connection_and_not_before(
    tmp_path: Path, authority: Authority
) -> None:
    """It came, it was tried, and only the broker's CONNACK made it the one in use."""
    configured = authority.issue("gw-1", days=DUE)
    certificates, mail = keeper(tmp_path, configured), Mail()
    certificates.opened(mail)
    certificates.take("identity/certificate", reply(authority.answer(mail.csrs[0])))
    assert certificates.in_use == configured
    tried = certificates.choose()
    assert tried != configured
    certificates.opened(mail)
    assert certificates.in_use != configured
    assert not tried[0].exists()
    assert keeper(tmp_path, configured).in_use == certificates.in_use


def test_a_refused_candidate_is_set_aside_and_the_old_one_has_every_other_turn(
    tmp_path: Path, authority: Authority
) -> None:
    """Tried three times, with the one in use between: then it is gone, and there is an alarm."""
    configured = authority.issue("gw-1", days=DUE)
    certificates, mail = keeper(tmp_path, configured), Mail()
    certificates.opened(mail)
    certificates.take("identity/certificate", reply(authority.answer(mail.csrs[0])))
    turns = []
    for _ in range(2 * TRIES + 1):
        turns.append(certificates.choose() == configured)
        certificates.failed()
    assert turns == [False, True] * TRIES + [True]
    assert [alarm.split(":")[0] for alarm in certificates.alarms] == ["certificate_refused"]


def test_what_was_not_asked_for_is_ignored(tmp_path: Path, authority: Authority) -> None:
    """Another's key, another's name, expired, shorter-lived, or no certificate at all."""
    configured = authority.issue("gw-1", days=DUE)
    certificates, mail = keeper(tmp_path, configured), Mail()
    foreign = authority.issue("gw-2", days=YOUNG)[0].read_text(encoding="ascii")
    certificates.take("identity/certificate", reply(foreign))  # before anything was asked for
    certificates.opened(mail)
    bad = [
        reply(foreign),
        reply(authority.answer(mail.csrs[0], days=(-3, -2))),
        reply(authority.answer(mail.csrs[0], days=(-3, 1))),
        reply("no certificate"),
        b"{",
        b"[]",
        b"\xff" * 200_000,
    ]
    for payload in bad:
        certificates.take("identity/certificate", payload)
        assert certificates.choose() == configured
    certificates.take("identity/certificate", reply(authority.answer(mail.csrs[0])))
    assert certificates.choose() != configured


def test_an_operators_newer_pair_takes_over(tmp_path: Path, authority: Authority) -> None:
    """After a renewal, somebody puts a certificate of a later beginning in place: it is used."""
    configured = authority.issue("gw-1", days=DUE)
    certificates, mail = keeper(tmp_path, configured), Mail()
    certificates.opened(mail)
    answer = authority.answer(mail.csrs[0], days=(-0.5, 30))
    certificates.take("identity/certificate", reply(answer))
    certificates.choose()
    certificates.opened(mail)
    assert certificates.in_use != configured
    authority.issue("gw-1", days=(-0.1, 10))
    assert certificates.in_use == configured


def test_nothing_is_asked_for_while_the_clock_is_not_set(
    tmp_path: Path, authority: Authority
) -> None:
    """In 1970 no certificate is due, and none is called expired."""
    pair = authority.issue("gw-1", days=EXPIRED)
    certificates = CertificateKeeper(pair, tmp_path / "identity", lambda: None, time.monotonic)
    mail = Mail()
    certificates.opened(mail)
    assert mail.sent == []
    assert certificates.alarms == ()


def strict(start_broker: Brokers, authority: Authority) -> tuple[Mosquitto, int]:
    """Start a broker that wants a certificate, and another port for the hub."""
    certificate, key = authority.issue("broker")
    plain = free_port()
    return start_broker(
        f"certfile {certificate}",
        f"keyfile {key}",
        f"cafile {authority.certificate}",
        "require_certificate true",
        f"listener {plain} 127.0.0.1",
    ), plain


async def test_a_gateway_renews_its_certificate_through_the_broker(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path, authority: Authority
) -> None:
    """Due, asked for, answered, tried, promoted: events go on, numbered on, over the new one."""
    configured = authority.issue("gw-1", days=(-2, 0.5))
    broker, plain = strict(start_broker, authority)
    certificates = keeper(tmp_path, configured)
    secure = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca_file": authority.certificate}
    secure |= {"cert_file": configured[0], "key_file": configured[1]}
    async with (
        PlainHub(plain) as hub,
        publishing(broker.port, keeper=certificates, **secure) as publisher,
    ):
        publisher.submit(drafted(WRITER, enter(number=1)))
        await until(lambda: publisher.state.watermark == 1)
        await until(lambda: hub.on("identity/request") != [])
        csr = json.loads(hub.on("identity/request")[0])["csr"]
        hub.say("identity/certificate", reply(authority.answer(csr)), retain=False)
        await until(lambda: certificates.in_use != configured, 30)
        await until(lambda: publisher.state.connected, 30)
        publisher.submit(drafted(WRITER, enter(number=2)))
        await until(lambda: publisher.state.watermark == 2, 30)
    leaf = read(certificates.in_use[0].read_bytes())
    assert leaf is not None
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc > timedelta(days=29)
    assert hub.seqs == [1, 2]


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
async def test_an_expired_certificate_loses_nothing_and_a_new_one_needs_no_restart(
    start_broker: Brokers, publishing: Publishing, tmp_path: Path, authority: Authority
) -> None:
    """Expired: events are stored and it is said why; the file replaced, they arrive."""
    configured = authority.issue("gw-1", days=EXPIRED)
    broker, plain = strict(start_broker, authority)
    certificates = keeper(tmp_path, configured)
    secure = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca_file": authority.certificate}
    secure |= {"cert_file": configured[0], "key_file": configured[1]}
    async with (
        PlainHub(plain) as hub,
        publishing(broker.port, keeper=certificates, **secure) as publisher,
    ):
        publisher.submit(drafted(WRITER, enter(number=1)))
        await until(lambda: publisher.state.outstanding == 1)
        await until(lambda: publisher.state.detail not in ("", "not connected yet"))
        assert not publisher.state.connected
        assert [alarm.split(":")[0] for alarm in certificates.alarms] == ["certificate_expired"]
        authority.issue("gw-1", days=YOUNG)
        await until(lambda: publisher.state.watermark == 1, 60)
        assert certificates.alarms == ()
    assert hub.seqs == [1]
