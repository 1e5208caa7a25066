"""Certificates: expired, renewed, and of the wrong authority or host. Collecting never stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulators.fault_matrix.gate import relay_octets
from simulators.fault_matrix.gateway import Gateway, until
from simulators.fault_matrix.scenario import Length, Scenario, Verdict
from simulators.fault_matrix.stand import Stand
from simulators.mosquitto import free_port

if TYPE_CHECKING:
    import trustme

__all__ = ["SCENARIOS"]

_VISITS: Final = 20


class _Papers:
    """An authority, a broker's certificate, and the gateway's files, which may be replaced."""

    def __init__(self, folder: Path) -> None:
        import trustme  # noqa: PLC0415 - only developers have it

        self._folder = folder
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        self.ca_file = folder / "authority.pem"
        self.cert_file, self.key_file = folder / "gateway.pem", folder / "gateway.key"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.renew()

    def renew(self, *, expired: bool = False, authority: trustme.CA | None = None) -> None:
        """Put another certificate of the gateway in place."""
        now = datetime.now(UTC)
        papers = (authority or self.authority).issue_cert(
            "gw-1.stores.example",
            not_before=now - timedelta(days=2),
            not_after=now + timedelta(days=-1 if expired else 1),
        )
        papers.cert_chain_pems[0].write_to_path(str(self.cert_file))
        papers.private_key_pem.write_to_path(str(self.key_file))

    def trust(self, authority: trustme.CA) -> None:
        """Let the gateway believe an authority."""
        authority.cert_pem.write_to_path(str(self.ca_file))

    def broker(self, host: str) -> list[str]:
        """Give the configuration of a second listener, which wants certificates."""
        papers = self.authority.issue_cert(host)
        certificate, key = self._folder / "broker.pem", self._folder / "broker.key"
        papers.cert_chain_pems[0].write_to_path(str(certificate))
        papers.private_key_pem.write_to_path(str(key))
        authority = self._folder / "clients.pem"
        self.authority.cert_pem.write_to_path(str(authority))
        self.port = free_port()
        return [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            f"cafile {authority}",
            f"certfile {certificate}",
            f"keyfile {key}",
            "require_certificate true",
        ]


def _set_up(folder: Path, papers: _Papers, host: str = "127.0.0.1") -> tuple[Stand, Gateway]:
    """A broker that wants certificates, and a gateway that has some."""
    stand = Stand(folder, broker=papers.broker(host))
    stand.gate.upstream = papers.port
    stand.gate.manner = relay_octets
    return stand, stand.gateway(
        ca_file=papers.ca_file, cert_file=papers.cert_file, key_file=papers.key_file
    )


def _over_tls(stand: Stand, gateway: Gateway) -> None:
    gateway.settings |= {"url": f"mqtts://127.0.0.1:{stand.gate.port}", "allow_plaintext": False}


async def _refused_then_mended(
    folder: Path, papers: _Papers, mend: Any, hint: str, host: str = "127.0.0.1"
) -> Verdict:
    """The papers are bad when the gateway starts; it stores all, and is mended as it runs."""
    stand, gateway = _set_up(folder, papers, host)
    async with stand:
        _over_tls(stand, gateway)
        async with gateway.life() as publisher:
            await gateway.visits(_VISITS)
            await gateway.stored()
            told = await until(lambda: any(hint in detail for detail in gateway.details), 30)
            stand.expect(told, f"the state never said {hint!r}, but {gateway.details}")
            stand.expect(publisher.state.outstanding == len(gateway.told), "not all is stored")
            stand.expect(not publisher.state.connected, "connected all the same")
            stand.injected = 1
            said = next((detail for detail in gateway.details if hint in detail), "")
            mend()
            await gateway.visits(_VISITS)
            stand.expect(await gateway.settled(), "not settled once it is mended")
        return stand.verdict(f"it says: {said}")


async def _expired(folder: Path, length: Length, seed: int) -> Verdict:
    """The gateway's certificate has run out; a good one put in place is used without a restart."""
    del length, seed
    papers = _Papers(folder)
    papers.renew(expired=True)
    return await _refused_then_mended(folder, papers, papers.renew, "expired")


async def _foreign(folder: Path, length: Length, seed: int) -> Verdict:
    """The gateway's certificate is of an authority that the broker does not know."""
    del length, seed
    papers = _Papers(folder)
    papers.renew(authority=papers.stranger)
    return await _refused_then_mended(folder, papers, papers.renew, "unknown ca")


async def _untrusted(folder: Path, length: Length, seed: int) -> Verdict:
    """The broker's certificate is of an authority that the gateway does not trust."""
    del length, seed
    papers = _Papers(folder)
    papers.trust(papers.stranger)
    return await _refused_then_mended(
        folder, papers, lambda: papers.trust(papers.authority), "certificate verify failed"
    )


async def _wrong_host(folder: Path, length: Length, seed: int) -> Verdict:
    """The broker's certificate is good and somebody else's; one for its own name mends it."""
    del length, seed
    papers = _Papers(folder)
    stand, gateway = _set_up(folder, papers, "elsewhere.example")
    async with stand:
        _over_tls(stand, gateway)
        async with gateway.life() as publisher:
            await gateway.visits(_VISITS)
            hint = "IP address mismatch"
            told = await until(lambda: any(hint in detail for detail in gateway.details), 30)
            stand.expect(told, f"the state never said {hint!r}, but {gateway.details}")
            await gateway.stored()
            stand.expect(publisher.state.outstanding == len(gateway.told), "not all is stored")
        stand.injected = 1
        gateway.settings |= {
            "url": f"mqtt://127.0.0.1:{stand.broker.port}",
            "allow_plaintext": True,
        }
        async with gateway.life():
            stand.expect(await gateway.settled(), "not settled once it is mended")
        return stand.verdict("refused, and named")


async def _rotated(folder: Path, length: Length, seed: int) -> Verdict:
    """A certificate is replaced under a connection: the next one uses it, nothing is restarted."""
    del seed
    rounds = 2 if length is Length.SHORT else 10
    papers = _Papers(folder)
    stand, gateway = _set_up(folder, papers)
    async with stand:
        _over_tls(stand, gateway)
        async with gateway.life() as publisher:
            for _ in range(rounds):
                await until(lambda: publisher.state.connected)
                await gateway.visits(_VISITS)
                papers.renew()
                stand.gate.cut()
                stand.injected += 1
            stand.expect(await gateway.settled(), "not settled")
        return stand.verdict(f"{len(stand.gate.passages)} connections")


SCENARIOS: Final = (
    Scenario("certificate expired", _expired),
    Scenario("certificate of another CA", _foreign),
    Scenario("broker of another CA", _untrusted),
    Scenario("broker of another name", _wrong_host),
    Scenario("certificate rotated", _rotated),
)
