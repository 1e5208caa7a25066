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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    models_json_schema,
)

from edge_agent.commands.contract import Command, Result
from edge_agent.desired.contract import Desired, Reported
from edge_agent.health import Health
from edge_agent.identify.roster_manifest import Applied, SignedManifest
from edge_agent.publish.contract import (
    DATA_TYPES,
    SCHEMA_ROOT,
    Acknowledgement,
    Event,
    EventType,
    GapData,
    Snapshot,
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
    "p": "The roster's epoch: Unix time >> 16.",
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


def _signed(word: str, model: type[BaseModel]) -> type[BaseModel]:
    """Make the envelope of what one side signs: Ed25519 over RFC 8785, in base64."""
    fields: dict[str, Any] = {word: (model, ...), "signature": (str, ...)}
    return create_model(
        f"Signed{model.__name__}",
        __config__=ConfigDict(extra="forbid"),
        __doc__=f"{model.__name__}, signed: Ed25519 over its RFC 8785 form, base64.",
        **fields,
    )


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
    Leaf("snapshot", (Snapshot,), "gateway", 1, retained=False, summary="The open visits."),
    Leaf("health", (Health,), "gateway", 0, retained=True, summary="How the gateway is."),
    Leaf(
        "command/{id}",
        (_signed("command", Command),),
        "hub",
        1,
        retained=False,
        summary="Executed at most once, and answered always.",
    ),
    Leaf(
        "command/{id}/result",
        (Result,),
        "gateway",
        1,
        retained=False,
        summary="What became of a command.",
    ),
    Leaf(
        "config/desired",
        (_signed("config", Desired),),
        "hub",
        1,
        retained=True,
        summary="Over the gateway's file, on probation.",
    ),
    Leaf(
        "config/reported",
        (Reported,),
        "gateway",
        1,
        retained=True,
        summary="What became of it, and what is in force.",
    ),
    Leaf(
        "roster/manifest/{p}",
        (SignedManifest,),
        "hub",
        1,
        retained=True,
        summary="What a roster's snapshot for an epoch must be.",
    ),
    Leaf(
        "roster/ack",
        (_signed("statement", Applied),),
        "gateway",
        1,
        retained=False,
        summary="A roster is in force, and who is no longer on it is erased.",
    ),
)


def json_schema(leaf: Leaf = LEAVES[0]) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a leaf's messages: exactly one of the models."""
    return {
        "$schema": _DRAFT,
        "$id": f"{SCHEMA_ROOT}:{leaf.key}",
        "title": leaf.name,
        "description": leaf.summary,
        "oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in leaf.models],
        "$defs": _definitions((leaf,), "#/$defs/{model}"),
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
            "schemas": _definitions(LEAVES, "#/components/schemas/{model}"),
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


class _AsWritten(GenerateJsonSchema):
    """A member that may be left out is never null; all others are always written."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def model_field_schema(self, schema: Any) -> JsonSchemaValue:
        told = super().model_field_schema(schema)
        if self.mode == "serialization" and "serialization_exclude_if" in schema:
            forms = told.pop("anyOf")
            told.update(next(form for form in forms if form["type"] != "null"))
            told.pop("default", None)
        return told


def _definitions(leaves: Sequence[Leaf], template: str) -> dict[str, Any]:
    """Give the messages and all that they refer to: as they are sent, or as they are accepted."""
    modes: dict[str, JsonSchemaMode] = {"gateway": "serialization", "hub": "validation"}
    _, schema = models_json_schema(
        [(model, modes[leaf.sender]) for leaf in leaves for model in leaf.models],
        by_alias=True,
        ref_template=template,
        schema_generator=_AsWritten,
    )
    definitions: dict[str, Any] = schema["$defs"]
    gap = definitions.get("GapEvent")
    if gap is not None:  # it inherits a subject that it never has: nobody's
        del gap["properties"]["subject"]
    return definitions


def _write() -> None:
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write()
