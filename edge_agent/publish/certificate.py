"""The certificate that this gateway shows its broker, and how it comes by the next one.

    current --two thirds of its life--> asked for --certificate comes--> candidate
    candidate --the broker accepts a connection with it--> current
    candidate --`TRIES` connections fail with it--> set aside, and asked for anew

A certificate is never trusted because it looks right: it replaces the one in use only after a
broker has accepted it, and until then every other connection goes back to the one in use. So
neither a bad authority nor a power cut in the middle locks a gateway out that nobody visits.
The key of a certificate is made here, and leaves the folder never; what is asked with is a signing
request (PKCS #10, RFC 2986). An expired certificate ends no collection: events wait in the outbox.

The configured pair begins the story, and one with a later beginning that an operator puts in its
place takes over from whatever was renewed. A renewed pair is one file, key and chain, so that it is
replaced whole. Import this only where a pair is configured: what reads X.509 costs some 7 MB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.publish import signing_request
from edge_agent.publish.channel import Outlet
from edge_agent.publish.signing_request import Certificate

__all__ = ["CertificateKeeper", "CertificateReply", "CertificateRequest"]

RENEW_AT: Final = 2.0 / 3.0  # of a certificate's life
ASK_EVERY_S: Final = 3600.0  # a request without an answer is said again, and with each connection
TRIES: Final = 3  # connections that a candidate may fail: the broker may be what is down
_MOST_OCTETS: Final = 32_768  # of a certificate with its chain

log = structlog.get_logger()


class CertificateRequest(BaseModel):
    """What a gateway asks with, on `identity/request`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    csr: str
    """A signing request in PEM; its subject is that of the certificate in use."""


class CertificateReply(BaseModel):
    """What the hub's authority answers, on `identity/certificate`."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    certificate: str = Field(max_length=_MOST_OCTETS)
    """The certificate in PEM, followed by what chains it to the broker's authority."""


class CertificateKeeper:
    """One gateway's certificates: a `Channel` to the hub's authority, asked by the link."""

    name = "identity"
    filters: Sequence[str] = ("identity/certificate",)

    def __init__(
        self,
        configured: tuple[Path, Path],
        folder: Path,
        unix: Callable[[], float | None],
        now: Callable[[], float],
    ) -> None:
        """Begin with what is there.

        Args:
            configured: the operator's certificate and key (PEM), which may be one file.
            folder: where renewed pairs are kept; made when needed, for its owner alone.
            unix: the time now in seconds, or None while the clock is not set.
            now: a monotonic clock, seconds.
        """
        self._now = now
        self._configured = configured
        self._folder = folder
        self._renewed = folder / "current.pem"
        self._candidate = folder / "candidate.pem"
        self._asked = folder / "asked.pem"  # a key, and the request made with it
        self._unix = unix
        self._outlet: Outlet | None = None
        self._asked_at = float("-inf")
        self._trying = False
        self._rested = True  # the pair in use had its turn since the candidate failed
        self._failures = 0
        self.refused = False

    @property
    def in_use(self) -> tuple[Path, Path]:
        """The pair that a broker accepted last, or the operator's where that is newer."""
        renewed = _read(self._renewed)
        if renewed is None:
            return self._configured
        given = _read(self._configured[0])
        if given is not None and given.not_valid_before_utc > renewed.not_valid_before_utc:
            return self._configured
        return self._renewed, self._renewed

    @property
    def _leaf(self) -> Certificate | None:
        return _read(self.in_use[0])

    def choose(self) -> tuple[Path, Path]:
        """Give the pair for the next connection: the candidate and the one in use take turns."""
        self._trying = self.candidate_waits
        return (self._candidate, self._candidate) if self._trying else self.in_use

    def failed(self) -> None:
        """A connection did not come about with what was chosen."""
        if not self._trying:
            self._rested = True
            return
        self._rested, self._trying = False, False
        self._failures += 1
        if self._failures >= TRIES:
            log.error("certificate_refused", advice="the one in use stays; see the authority")
            self._candidate.unlink(missing_ok=True)
            self._failures, self._asked_at, self.refused = 0, float("-inf"), True

    @property
    def candidate_waits(self) -> bool:
        """Whether the next connection would try a certificate that is not the one in use."""
        return self._rested and self._candidate.exists()

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong, in stable words with advice."""
        now, leaf = self._unix(), self._leaf
        told = []
        if leaf is None:
            told.append("certificate_unreadable: look at [mqtt] cert_file and key_file")
        elif now is not None and now >= leaf.not_valid_after_utc.timestamp():
            told.append(
                "certificate_expired: events are kept; give the gateway a new [mqtt] cert_file"
            )
        if self.refused:
            told.append("certificate_refused: the broker did not accept the renewed certificate")
        return tuple(told)

    # -- the channel

    def opened(self, outlet: Outlet) -> None:
        """A broker accepted what was chosen: a candidate is the one in use from now on."""
        self._outlet = outlet
        if self._trying:
            self._candidate.replace(self._renewed)
            self._trying, self._failures, self.refused = False, 0, False
            log.info("certificate_renewed")
        self._rested = True
        self._asked_at = float("-inf")
        self.look()

    def closed(self) -> None:
        """The connection is gone."""
        self._outlet = None

    def look(self) -> None:
        """Ask for the next certificate where it is due; call it now and then."""
        now = self._now()
        if self._outlet is None or not self._due() or now - self._asked_at < ASK_EVERY_S:
            return
        csr = self._request()
        if csr is not None and self._outlet.send(
            "identity/request", CertificateRequest(csr=csr).model_dump_json().encode()
        ):
            self._asked_at = now

    def take(self, leaf: str, payload: bytes) -> None:  # noqa: ARG002 - there is but one leaf
        """The authority has answered."""
        if len(payload) > 2 * _MOST_OCTETS:
            log.warning("certificate_ignored", reason="too large")
            return
        try:
            reply = CertificateReply.model_validate_json(payload)
        except ValidationError:
            log.warning("certificate_ignored", reason="not {certificate}")
            return
        pem = reply.certificate.encode()
        reason = self._unfit(pem)
        if reason is not None:
            log.warning("certificate_ignored", reason=reason)
            return
        key = signing_request.key_of(self._asked.read_bytes())
        try:
            _write(self._candidate, key + pem)
        except OSError as error:
            log.warning("certificate_ignored", reason=error.strerror)
            return
        self._asked.unlink()
        self._failures, self._rested = 0, True
        log.info("certificate_came", next="it is tried with the next connection")

    def _due(self) -> bool:
        now, leaf = self._unix(), self._leaf
        if now is None or leaf is None or self._candidate.exists():
            return False
        begins = leaf.not_valid_before_utc.timestamp()
        return now >= begins + RENEW_AT * (leaf.not_valid_after_utc.timestamp() - begins)

    def _request(self) -> str | None:
        """Give the signing request, made once: an answer may come after a restart."""
        leaf = self._leaf
        try:
            asked = self._asked.read_bytes() if self._asked.exists() else None
            if asked is None and leaf is not None:
                asked = signing_request.make(leaf.subject)
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _write(self._asked, asked)
        except OSError as error:
            log.warning("certificate_not_asked_for", reason=error.strerror)
            return None
        return None if asked is None else signing_request.request_of(asked).decode()

    def _unfit(self, pem: bytes) -> str | None:
        """Say why a certificate is not the one that was asked for."""
        now, leaf, current = self._unix(), signing_request.read(pem), self._leaf
        asked = self._asked.read_bytes() if self._asked.exists() else None
        if leaf is None or asked is None:
            return "not a certificate" if leaf is None else "none was asked for"
        if not signing_request.belongs(leaf, signing_request.key_of(asked)):
            return "it is for another key"
        if current is not None and leaf.subject != current.subject:
            return "it names another gateway"
        ends = leaf.not_valid_after_utc
        if now is None or now >= ends.timestamp():
            return "it has expired already"
        if current is not None and ends <= current.not_valid_after_utc:
            return "it does not last longer than the one in use"
        return None


def _read(path: Path) -> Certificate | None:
    try:
        return signing_request.read(path.read_bytes())
    except OSError:
        return None


def _write(path: Path, octets: bytes) -> None:
    """Write a file for its owner alone, on the disk before it has its name."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("r+b") as stream:
        stream.write(octets)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
