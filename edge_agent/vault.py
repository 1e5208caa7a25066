"""Where signatures are checked and seals are broken: a short-lived process beside the daemon.

    daemon --frame--> python -m edge_agent.vault_process --frame--> daemon

A process a batch: what `cryptography` and the unpacking of a snapshot cost in memory goes with it,
and the event loop waits for neither. The gateway's private keys never enter the daemon. A frame is
the be32 length of a JSON object, that object, and the octets whose lengths it lists.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_agent.identify.roster_manifest import Manifest, Refusal, RosterRefusedError
from edge_agent.identify.roster_packed import EpochRoster

if TYPE_CHECKING:  # what it costs to import, the process would pay each time
    from edge_agent.config import Config

__all__ = ["Opened", "Vault", "VaultError", "read_frame", "write_frame"]


class VaultError(Exception):
    """The process ended without an answer, which is a bug or a machine out of memory."""


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """What a look at some manifests and deltas has shown, each in order of arrival."""

    manifests: list[Manifest] = field(default_factory=list)
    deltas: list[tuple[int, EpochRoster, frozenset[bytes]]] = field(default_factory=list)
    refusals: list[RosterRefusedError] = field(default_factory=list)


def write_frame(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """Write a frame."""
    head = json.dumps(header | {"lengths": [len(blob) for blob in blobs]}).encode()
    return b"".join([len(head).to_bytes(4), head, *blobs])


def read_frame(octets: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Read a frame."""
    at = 4 + int.from_bytes(octets[:4])
    header: dict[str, Any] = json.loads(octets[4:at])
    blobs = []
    for length in header["lengths"]:
        blobs.append(octets[at : at + length])
        at += length
    return header, blobs


class Vault:
    """Asks the process; every answer is of this gateway's keys and configuration."""

    def __init__(self, config: Config) -> None:
        self._about = {
            "public_key": config.roster.public_key,
            "tenant": config.tenant,
            "store": config.store,
            "gateway": config.gateway,
            "keys": str(config.state.directory / "roster.keys"),
        }

    async def public_keys(self) -> dict[str, str]:
        """Give the gateway's public keys in base64: `seal` and `sign`; made at first asking."""
        answer, _ = await self._ask({"do": "keys"})
        return {name: answer[name] for name in ("seal", "sign")}

    async def look(
        self, manifests: Sequence[bytes], deltas: Sequence[bytes], unix: float
    ) -> Opened:
        """Verify manifests, unseal and verify deltas."""
        header = {"do": "look", "manifests": len(manifests), "unix": unix}
        answer, blobs = await self._ask(header, [*manifests, *deltas])
        return Opened(
            [Manifest.model_validate(values) for values in answer["manifests"]],
            [
                (
                    delta["seq"],
                    EpochRoster.unpack(
                        delta["epoch"],
                        added,
                        count=delta["count"],
                        consent_version=delta["consent_version"],
                    ),
                    frozenset(map(bytes.fromhex, delta["remove"])),
                )
                for delta, added in zip(answer["deltas"], blobs, strict=True)
            ],
            [_refusal(values) for values in answer["refusals"]],
        )

    async def snapshot(self, manifest: Manifest, chunks: Sequence[bytes]) -> EpochRoster:
        """Unseal a snapshot's chunks and check it against its manifest.

        Raises:
            RosterRefusedError: when it is not what was signed for.
        """
        header = {"do": "snapshot", "manifest": manifest.model_dump(mode="json")}
        return await self._roster(header, chunks)

    async def file(self, path: str, newest_seq: int, unix: float) -> tuple[Manifest, EpochRoster]:
        """Read a signed bundle.

        Raises:
            RosterRefusedError: as `open_bundle` does.
        """
        header = {"do": "file", "path": path, "newest_seq": newest_seq, "unix": unix}
        answer, (records,) = await self._granted(header)
        manifest = Manifest.model_validate(answer["manifest"])
        return manifest, await asyncio.to_thread(_unpacked, answer, records)

    async def sign(self, statement: bytes) -> str:
        """Sign with the gateway's key; base64."""
        answer, _ = await self._ask({"do": "sign"}, [statement])
        return str(answer["signature"])

    async def _roster(self, header: dict[str, Any], blobs: Sequence[bytes]) -> EpochRoster:
        answer, (records,) = await self._granted(header, blobs)
        return await asyncio.to_thread(_unpacked, answer, records)

    async def _granted(
        self, header: dict[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        answer, found = await self._ask(header, blobs)
        if "refusal" in answer:
            raise _refusal(answer)
        return answer, found

    async def _ask(
        self, header: dict[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_agent.vault_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            said, _ = await process.communicate(write_frame(self._about | header, blobs))
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise VaultError(f"the roster's process ended with {process.returncode}")
        return read_frame(said)


def _refusal(values: dict[str, Any]) -> RosterRefusedError:
    return RosterRefusedError(Refusal(values["refusal"]), values["advice"])


def _unpacked(answer: dict[str, Any], records: bytes) -> EpochRoster:
    manifest = answer["manifest"]
    return EpochRoster.unpack(
        manifest["epoch"],
        records,
        count=answer["count"],
        consent_version=manifest["consent_version"],
    )
