"""No value of the package prints an address, a key or octets: found by walking the package.

Every dataclass, model and class with a repr of its own is taken up by itself, so that a new one
that prints what it holds fails here before anybody has thought of it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, SecretStr

import edge_agent
from edge_agent.model import RadioAddress

SECRET = bytes.fromhex("c49a1f73e80b6d5e")
TEXT = "only-hers-53ae7f"
# Fields of text that hold a key or an address by what they are called.
TELLING = ("key", "keyid", "irk", "eid", "address", "password", "secret", "snapshot", "topic_key")
# A field called so is none: a file's name, the hub's public half, a broker's URL.
HARMLESS = {"public_key", "key_file"}


def classes() -> Iterator[type]:
    """Give every class that the package defines."""
    for info in pkgutil.walk_packages(edge_agent.__path__, "edge_agent."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for thing in vars(module).values():
            if inspect.isclass(thing) and thing.__module__ == info.name:
                yield thing


def fields(kind: type) -> dict[str, Any]:
    """Give the names and types of what a value of a class holds, where it is declared."""
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError):  # named for the type checker alone
        hints = dict.fromkeys(getattr(kind, "__annotations__", {}), "")
    if dataclasses.is_dataclass(kind):
        return {field.name: hints.get(field.name, field.type) for field in dataclasses.fields(kind)}
    return {name: hints[name] for name in getattr(kind, "_fields", ()) if name in hints}


def secret_of(name: str, kind: object) -> object | None:
    """Give what a field would hold if it held a secret; None where it cannot."""
    said = str(kind)
    if kind is SecretStr or "SecretStr" in said:
        return SecretStr(TEXT)
    if "RadioAddress" in said:
        return [RadioAddress(int.from_bytes(SECRET[:6]))]
    if "ndarray" in said:
        return np.frombuffer(SECRET, dtype=np.uint8)
    if "bytes" in said:
        return {SECRET: SECRET}
    telling = any(name == word or name.endswith(f"_{word}") for word in TELLING)
    return TEXT if telling and "str" in said and name not in HARMLESS else None


def filled(kind: type) -> object | None:
    """Make a value of a class with a secret in each field that may hold one; None without any."""
    secrets = {name: secret_of(name, annotation) for name, annotation in fields(kind).items()}
    if not any(secret is not None for secret in secrets.values()):
        return None
    values: dict[str, Any] = {
        name: _anything(fields(kind)[name]) if secret is None else secret
        for name, secret in secrets.items()
    }
    if issubclass(kind, BaseModel):
        return kind.model_construct(**values)
    if not dataclasses.is_dataclass(kind):
        return kind(**values)
    value: object = object.__new__(kind)
    for name, held in values.items():
        object.__setattr__(value, name, held)
    return value


def _anything(kind: object) -> object:
    """Give a value of a field that holds no secret."""
    return next(iter(kind)) if inspect.isclass(kind) and issubclass(kind, Enum) else 0.0


def shows(text: str) -> bool:
    """Whether a secret can be read in a text."""
    numbers = ", ".join(str(octet) for octet in SECRET[:3])
    array = np.array2string(np.frombuffer(SECRET, dtype=np.uint8))[1:12]
    forms = (repr(SECRET)[2:-1], SECRET.hex(), SECRET[:6].hex(":"), TEXT, numbers, array)
    return any(form.lower() in text.lower() for form in forms)


HOLDERS = [kind for kind in classes() if filled(kind) is not None]


@pytest.mark.parametrize("kind", HOLDERS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_what_holds_octets_does_not_print_them(kind: type) -> None:
    """However it is turned into text; a field of octets, an array, an address or a key is left out.

    Leave it out with `repr=False`, on the field or on the class.
    """
    value = filled(kind)
    assert not shows(f"{value!r} {value}")


def test_those_that_matter_are_among_them() -> None:
    """The walk finds what it is for: observations, claims, members, tables, payloads, passwords."""
    names = {kind.__name__ for kind in HOLDERS}
    assert names >= {"Advertisement", "Station", "PortalAction", "AppClaim", "TagClaim", "Member"}
    assert names >= {"Roster", "WindowTable", "Mqtt", "Bundle", "Letter", "Message"}


def test_the_walk_would_notice() -> None:
    """A class that prints what it holds is caught."""

    @dataclasses.dataclass
    class Loose:
        irk: bytes
        mask: tuple[int, ...]

    assert shows(repr(filled(Loose)))


def test_nothing_writes_its_own_repr_unseen() -> None:
    """Who writes a repr by hand is named here, and shown to be redacted there.

    RadioAddress, Advertisement, Station, PortalAction: `identify/test_redaction.py`. BleSource and
    Adapter: `sources/test_ble_privacy.py`.
    """
    by_hand = {
        kind.__name__
        for kind in classes()
        if "__repr__" in vars(kind)
        and inspect.getsourcefile(vars(kind)["__repr__"]) == inspect.getsourcefile(kind)
    }
    assert by_hand <= {
        *("RadioAddress", "Advertisement", "Station", "PortalAction", "BleSource", "Adapter")
    }
