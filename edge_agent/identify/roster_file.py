"""The door for a development roster: an unsigned JSON file (DESIGN section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge_agent.identify.roster import Member, Roster, RosterError

__all__ = ["read_unsigned_roster"]


def _sixteen_octets(value: object) -> bytes:
    try:
        octets = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        octets = b""
    if len(octets) != 16:  # noqa: PLR2004 - a key's octets
        msg = "32 hexadecimal digits are expected"
        raise ValueError(msg)
    return octets


Key = Annotated[bytes, BeforeValidator(_sixteen_octets)]
Number16 = Annotated[int, Field(ge=0, le=0xFFFF)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        """Print nothing of what is held: it is keys."""
        return iter(())


class _IBeacon(_Record):
    uuid: UUID
    major: Number16
    minor: Number16

    def key(self) -> bytes:
        return self.uuid.bytes + self.major.to_bytes(2) + self.minor.to_bytes(2)


class _MemberRecord(_Record):
    visitor: Annotated[str, Field(min_length=1, max_length=128)]
    ik: Key | None = None
    tk: dict[int, Key] = {}
    ibeacon: _IBeacon | None = None
    eddystone_uid: Key | None = None
    irk: Key | None = None
    wifi_keyid: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    staff: bool = False

    def member(self) -> Member:
        return Member(
            visitor=self.visitor,
            identity_key=self.ik,
            temporary_keys=self.tk,
            ibeacon=self.ibeacon.key() if self.ibeacon else None,
            eddystone_uid=self.eddystone_uid,
            irk=self.irk,
            wifi_keyid=self.wifi_keyid,
            staff=self.staff,
        )


class _RosterRecord(_Record):
    members: tuple[_MemberRecord, ...]


def _place(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location]
    if "tk" in parts:
        parts = parts[: parts.index("tk") + 1]  # what follows came from the file: it may be a key
    return ".".join(parts) or "the file"


def read_unsigned_roster(path: Path) -> Roster:
    """Read a development roster.

    Raises:
        RosterError: when the file cannot be read or a value is wrong: each by its path, without it,
            since it may be a key.
    """
    try:
        record = _RosterRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RosterError(f"cannot read the roster {path}: {error.strerror}") from error
    except ValidationError as error:
        faults = [
            f"{_place(fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise RosterError(f"the roster {path} is not usable: " + "; ".join(faults)) from None
    return Roster.of([member.member() for member in record.members])
