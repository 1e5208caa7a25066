"""The hub's side of commands: signs one, sends it, and waits for what became of it.

    python -m simulators command --tenant acme --store 0042 --gateway gw-1 --key hub.pem status

A hub that hears no result says the same command again under the same id (`--id`), as often as it
likes: it is executed once at most, and answered each time.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.hub_word import signed_octets
from edge_agent.publish.topics import Topics
from simulators.hub_link import DEFAULT_PORTS

__all__ = [
    "command_command",
    "compose_command",
    "compose_config",
    "configure_command",
    "read_key",
    "sign_word",
]

NO_ANSWER: Final = 1


def read_key(path: Path) -> Ed25519PrivateKey:
    """Read the hub's private key: PEM, or 64 hexadecimal digits.

    Raises:
        ValueError: it is neither, or of another kind.
    """
    text = path.read_bytes()
    if text.lstrip().startswith(b"-----"):
        key = load_pem_private_key(text, None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 key")
        return key
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.decode().strip()))


def sign_word(word: dict[str, Any], kind: str, key: Ed25519PrivateKey | None) -> bytes:
    """Give what goes on the wire; without a key it is unsigned, for a development machine."""
    document: dict[str, Any] = {kind: word}
    if key is not None:
        signature = key.sign(signed_octets(word, kind))
        document["signature"] = base64.b64encode(signature).decode()
    return json.dumps(document).encode()


def compose_command(
    topics: Topics,
    action: str,
    arguments: dict[str, Any],
    *,
    ident: str | None = None,
    issued: datetime | None = None,
    lasts_s: float = 300.0,
) -> dict[str, Any]:
    """Write a command as the hub does, before it is signed."""
    issued = issued or datetime.now(UTC)
    return {
        "v": 1,
        "kind": "command",
        "id": ident or secrets.token_hex(8),
        "tenant": topics.tenant,
        "store": topics.store,
        "gateway": topics.gateway,
        "action": action,
        "arguments": arguments,
        "issued_at": issued.isoformat(),
        "expires_at": (issued + timedelta(seconds=lasts_s)).isoformat(),
    }


def compose_config(topics: Topics, version: int, values: dict[str, Any]) -> dict[str, Any]:
    """Write a desired configuration as the hub does, before it is signed."""
    return {
        "v": 1,
        "kind": "config",
        "tenant": topics.tenant,
        "store": topics.store,
        "gateway": topics.gateway,
        "version": version,
        "values": values,
    }


def ask(
    broker: str,
    topic: str,
    payload: bytes,
    answers_on: str,
    is_answer: Callable[[bytes], bool],
    patience: float,
    *,
    retain: bool = False,
) -> bytes | None:
    """Publish, and give the first answer that is one, or None when none comes.

    Raises:
        OSError: the broker cannot be reached.
    """
    parts = urlsplit(broker)
    answers: list[bytes] = []
    answered = threading.Event()

    def take(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if is_answer(bytes(message.payload)):
            answers.append(bytes(message.payload))
            answered.set()

    def subscribe(client: paho.Client, *_: Any) -> None:
        client.subscribe(answers_on, qos=1)

    def publish(client: paho.Client, *_: Any) -> None:
        client.publish(topic, payload, qos=1, retain=retain)

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_subscribe, client.on_message = subscribe, publish, take
    if parts.scheme == "mqtts":
        client.tls_set()
    client.connect(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
    client.loop_start()
    answered.wait(patience)
    client.disconnect()
    client.loop_stop()
    return answers[0] if answers else None


def command_command(  # noqa: PLR0913 - as many options
    action: Annotated[str, typer.Argument(help="status, erase, log_level, restart, …")],
    *,
    tenant: Annotated[str, typer.Option(help="The retailer.")],
    store: Annotated[str, typer.Option(help="The store.")],
    gateway: Annotated[str, typer.Option(help="The gateway.")],
    broker: Annotated[str, typer.Option(help="The broker's URL.")] = "mqtt://127.0.0.1:1883",
    argument: Annotated[
        list[str] | None, typer.Option(help="One argument of the action, name=value.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The hub's Ed25519 key, PEM or hexadecimal.")
    ] = None,
    ident: Annotated[
        str | None, typer.Option("--id", help="Of a command to say again; else a new one.")
    ] = None,
    lasts: Annotated[float, typer.Option(help="Seconds until it expires.")] = 300.0,
    wait: Annotated[float, typer.Option(help="Seconds to wait for its result.")] = 30.0,
) -> None:
    """Command a gateway and print the result as JSON; exit 1 when none comes or it is not done."""
    pairs = [text.partition("=") for text in argument or []]
    if bad := [name for name, equals, _ in pairs if not equals or not name]:
        raise typer.BadParameter(f"name=value is expected, not {bad[0]!r}", param_hint="--argument")
    topics = Topics(tenant, store, gateway)
    arguments = {name: value for name, _, value in pairs}
    word = compose_command(topics, action, arguments, ident=ident, lasts_s=lasts)
    topic = topics.leaf(f"command/{word['id']}")
    payload = _signed(word, "command", key)
    answer = _answered(broker, topic, payload, f"{topic}/result", lambda _: True, wait)
    if answer is None:
        typer.echo(
            f"no result came within {wait:g} s; say it again with --id {word['id']}", err=True
        )
        raise typer.Exit(NO_ANSWER)
    typer.echo(answer.decode())
    if json.loads(answer)["status"] != "done":
        raise typer.Exit(NO_ANSWER)


def configure_command(
    values: Annotated[
        Path, typer.Argument(help='JSON: {"presence": {"exit_after_at_most": "5min"}}')
    ],
    *,
    version: Annotated[int, typer.Option(min=1, help="Higher than every one before.")],
    tenant: Annotated[str, typer.Option(help="The retailer.")],
    store: Annotated[str, typer.Option(help="The store.")],
    gateway: Annotated[str, typer.Option(help="The gateway.")],
    broker: Annotated[str, typer.Option(help="The broker's URL.")] = "mqtt://127.0.0.1:1883",
    key: Annotated[
        Path | None, typer.Option(help="The hub's Ed25519 key, PEM or hexadecimal.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the end of probation.")] = 330.0,
) -> None:
    """Desire a configuration and print what was reported; exit 1 unless it was applied."""
    try:
        desired = json.loads(values.read_bytes())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="VALUES") from None
    topics = Topics(tenant, store, gateway)
    payload = _signed(compose_config(topics, version, desired), "config", key)

    def is_answer(report: bytes) -> bool:
        told = json.loads(report)
        about_this = told["version"] == version and told["state"] != "probation"
        return about_this or (told["version"] is None and told["state"] == "refused")

    leaves = topics.leaf("config/desired"), topics.leaf("config/reported")
    answer = _answered(broker, leaves[0], payload, leaves[1], is_answer, wait, retain=True)
    if answer is None:
        typer.echo(f"nothing was reported of version {version} within {wait:g} s", err=True)
        raise typer.Exit(NO_ANSWER)
    typer.echo(answer.decode())
    if json.loads(answer)["state"] != "applied":
        raise typer.Exit(NO_ANSWER)


def _signed(word: dict[str, Any], kind: str, key: Path | None) -> bytes:
    """Sign, or explain why not."""
    try:
        return sign_word(word, kind, None if key is None else read_key(key))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--key") from None


def _answered(broker: str, *parts: Any, **options: Any) -> bytes | None:
    """Ask, or explain why not."""
    try:
        return ask(broker, *parts, **options)
    except OSError as error:
        typer.echo(f"the broker {broker} cannot be reached: {error}", err=True)
        raise typer.Exit(NO_ANSWER) from None
