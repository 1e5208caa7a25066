"""The contract as files: JSON Schema of the events, AsyncAPI 3 of the topics; generated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, create_model
from pydantic.json_schema import models_json_schema

from edge_agent import __version__
from edge_agent.publish.contract import DATA_TYPES, Acknowledgement, Event, State

__all__ = ["asyncapi", "json_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an event: exactly one of the types, and nothing more."""
    names, definitions = _definitions("#/$defs/{model}")
    return {
        "$schema": _DRAFT,
        "title": "Presence event",
        "description": "A CloudEvents 1.0 structured JSON object on the topic `events`.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in names],
        "$defs": definitions,
    }


def asyncapi() -> dict[str, Any]:
    """Give the AsyncAPI 3.0 document of what a gateway sends and hears."""
    names, schemas = _definitions("#/components/schemas/{model}")
    messages = {
        **{name: {"payload": {"$ref": f"#/components/schemas/{name}"}} for name in names},
        "Acknowledgement": {"payload": {"$ref": "#/components/schemas/Acknowledgement"}},
        "State": {"payload": {"$ref": "#/components/schemas/State"}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "In-store presence edge agent",
            "version": __version__,
            "description": "Shards: crc32 of the store's UTF-8 name modulo 64, two digits.",
        },
        "channels": {
            "events": _channel("events", names),
            "ack": _channel("ack", ["Acknowledgement"]),
            "state": _channel("state", ["State"]),
        },
        "operations": {
            "sendEvent": {"action": "send", "channel": {"$ref": "#/channels/events"}},
            "receiveWatermark": {"action": "receive", "channel": {"$ref": "#/channels/ack"}},
            "sendState": {"action": "send", "channel": {"$ref": "#/channels/state"}},
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(leaf: str, messages: list[str]) -> dict[str, Any]:
    parts = ("tenant", "shard", "store", "gateway")
    return {
        "address": "presence/v1/" + "/".join(f"{{{part}}}" for part in parts) + f"/{leaf}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "parameters": {part: {} for part in parts},
    }


def _definitions(template: str) -> tuple[list[str], dict[str, Any]]:
    """Give each event type as an envelope of its own, with all that they refer to."""
    envelopes = [
        _envelope(f"{data.__name__.removesuffix('Data')}Event", kind, data)
        for kind, data in DATA_TYPES.items()
    ]
    models: list[type[BaseModel]] = [*envelopes, Acknowledgement, State]
    _, schema = models_json_schema(
        [(model, "serialization") for model in models], by_alias=True, ref_template=template
    )
    return [model.__name__ for model in envelopes], schema["$defs"]


def _envelope(name: str, kind: str, data: type[BaseModel]) -> type[BaseModel]:
    """Make the envelope that holds one type of event and no other."""
    fields: dict[str, Any] = {"type": (Literal[kind], ...), "data": (data, ...)}
    return create_model(name, __base__=Event, __doc__=data.__doc__, **fields)
