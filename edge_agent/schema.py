"""The contract as files: JSON Schema of what is sent, AsyncAPI 3 of where; generated.

    LEAVES: leaf of the topic -> models, who sends, QoS, retained
      |-- json_schema(leaf)   edge_agent/contract/{leaf}.schema.json
      `-- asyncapi()          edge_agent/contract/asyncapi.json

A message joins the contract by a line of `LEAVES`. The files lie in the tree so that a hub team
reads a change of the contract as a change of text; `python -m edge_agent.schema` writes them, and
a test fails when they have drifted. What may change in them says `contract/CHANGELOG.md`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, create_model
from pydantic.json_schema import models_json_schema

from edge_agent.publish.contract import (
    DATA_TYPES,
    SCHEMA_ROOT,
    Acknowledgement,
    Event,
    EventType,
    GapData,
    State,
)

__all__ = ["CONTRACT", "FOLDER", "LEAVES", "Leaf", "asyncapi", "documents", "json_schema"]

CONTRACT: Final = "1.0.0"  # of the contract, not of the program; `contract/CHANGELOG.md` has each
FOLDER: Final = Path(__file__).with_name("contract")
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_ROOT: Final = ("tenant", "shard", "store", "gateway")
_PARAMETERS: Final = {
    "tenant": "The retailer.",
    "shard": "CRC-32 of the store's UTF-8 name modulo 64, two decimal digits.",
    "store": "The store.",
    "gateway": "The gateway in the store.",
    "id": "Chosen by the hub, unique.",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One topic under a gateway's root, and what crosses there."""

    name: str  # such as `events`; `command/{id}` has a parameter
    models: tuple[type[BaseModel], ...]  # a message is exactly one of these
    sender: Literal["gateway", "hub"]
    qos: Literal[0, 1]
    retained: bool
    summary: str

    @property
    def key(self) -> str:
        """Names it in the document and among the files: letters, digits and `-`."""
        return self.name.replace("{", "").replace("}", "").replace("/", "-")


def _envelope(kind: EventType) -> type[BaseModel]:
    """Make the envelope that holds one type of event and no other."""
    data = DATA_TYPES[kind]
    fields: dict[str, Any] = {
        "type": (Literal[kind], ...),
        "dataschema": (Literal[Event.schema_of(kind)], ...),
        "data": (data, ...),
    }
    if data is not GapData:
        fields["subject"] = (str, ...)
    name = f"{data.__name__.removesuffix('Data')}Event"
    return create_model(name, __base__=Event, __doc__=data.__doc__, **fields)


LEAVES: Final = (
    Leaf(
        "events",
        tuple(_envelope(kind) for kind in DATA_TYPES),
        "gateway",
        1,
        retained=False,
        summary="All events, in the order of their numbers: CloudEvents 1.0, structured JSON.",
    ),
    Leaf("ack", (Acknowledgement,), "hub", 1, retained=True, summary="How far the hub has got."),
    Leaf("state", (State,), "gateway", 1, retained=True, summary="Birth and will."),
)


def json_schema(leaf: Leaf = LEAVES[0]) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a leaf's messages: exactly one of the models."""
    return {
        "$schema": _DRAFT,
        "$id": f"{SCHEMA_ROOT}:{leaf.key}",
        "title": leaf.name,
        "description": leaf.summary,
        "oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in leaf.models],
        "$defs": _definitions(leaf.models, "#/$defs/{model}"),
    }


def asyncapi() -> dict[str, Any]:
    """Give the AsyncAPI 3.0 document of what a gateway sends and hears."""
    models = tuple(model for leaf in LEAVES for model in leaf.models)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "In-store presence edge agent",
            "version": CONTRACT,
            "description": "What crosses between a gateway and its hub, as the gateway sees it.",
        },
        "defaultContentType": "application/json",
        "channels": {leaf.key: _channel(leaf) for leaf in LEAVES},
        "operations": {leaf.key: _operation(leaf) for leaf in LEAVES},
        "components": {
            "messages": {
                model.__name__: {
                    "name": model.__name__,
                    "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
                }
                for model in models
            },
            "schemas": _definitions(models, "#/components/schemas/{model}"),
        },
    }


def documents() -> dict[str, str]:
    """Give every generated file, by name."""
    all_of_them = {f"{leaf.key}.schema.json": json_schema(leaf) for leaf in LEAVES}
    all_of_them["asyncapi.json"] = asyncapi()
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in all_of_them.items()
    }


def _channel(leaf: Leaf) -> dict[str, Any]:
    address = "/".join(["presence/v1", *(f"{{{part}}}" for part in _ROOT), leaf.name])
    return {
        "address": address,
        "description": leaf.summary,
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}
            for model in leaf.models
        },
        "parameters": {
            name: {"description": text}
            for name, text in _PARAMETERS.items()
            if f"{{{name}}}" in address
        },
    }


def _operation(leaf: Leaf) -> dict[str, Any]:
    return {
        "action": "send" if leaf.sender == "gateway" else "receive",
        "channel": {"$ref": f"#/channels/{leaf.key}"},
        "summary": leaf.summary,
        "bindings": {"mqtt": {"qos": leaf.qos, "retain": leaf.retained, "bindingVersion": "0.2.0"}},
    }


def _definitions(models: tuple[type[BaseModel], ...], template: str) -> dict[str, Any]:
    """Give the models and all that they refer to, as they are written."""
    _, schema = models_json_schema(
        [(model, "serialization") for model in models], by_alias=True, ref_template=template
    )
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        _as_written(definition)
    gap = definitions.get("GapEvent")
    if gap is not None:  # it inherits a subject that it never has: nobody's
        del gap["properties"]["subject"]
    return definitions


def _as_written(definition: dict[str, Any]) -> None:
    """An optional member is left out and never null, and all others are always there."""
    members = definition.get("properties", {})
    optional = {name for name, member in members.items() if member.get("default", 0) is None}
    for name in optional:
        forms = [form for form in members[name].pop("anyOf") if form != {"type": "null"}]
        del members[name]["default"]
        members[name].update(*forms)
    if members:
        definition["required"] = [name for name in members if name not in optional]


def _write() -> None:
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write()
